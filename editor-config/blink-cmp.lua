-- Shardline in the pop-up of blink.cmp, in Neovim 0.11 or newer. Copy to ~/.config/nvim/plugin/shardline.lua

local triggers = {} -- characters behind which the server wants to be asked

local function shardline()
  return vim.lsp.get_clients({ name = 'shardline', bufnr = 0 })[1]
end

-- A source of its own, beside blink's for all other servers: it is asynchronous, so that their items do not wait for a
-- slow model, and the suggestion joins them as soon as it is made.
local source = {
  name = 'Shardline',
  module = 'blink.cmp.sources.lsp', -- which runs the command by which accepted items are counted
  async = true,
  score_offset = 100, -- first in the list
  enabled = function()
    return shardline() ~= nil
  end,
  override = {
    get_trigger_characters = function()
      return triggers
    end,
    resolve = function(_, item, callback)
      callback(item)
    end,
    get_completions = function(_, context, callback)
      local client = shardline()
      local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
      params.context = { triggerKind = context.trigger.kind, triggerCharacter = context.trigger.character }
      local _, request = client:request('textDocument/completion', params, function(_, answer)
        local items = answer and answer.items or {}
        for _, item in ipairs(items) do
          item.client_id, item.cursor_column = client.id, context.cursor[2]
        end
        callback({ items = items, is_incomplete_forward = true, is_incomplete_backward = true })
      end)
      return function()
        client:cancel_request(request)
      end
    end,
  },
}

local known = {} -- the file types that have the source
local function add_source(filetype)
  local blink = require('blink.cmp')
  if not next(known) then
    blink.add_source_provider('shardline', source)
  end
  if not known[filetype] then
    known[filetype] = true
    blink.add_filetype_source(filetype, 'shardline')
  end
end

vim.lsp.config('shardline', {
  cmd = { 'shardline' },
  -- Neither filetypes nor root_markers: one server, with one model in memory, for all files.
  capabilities = { textDocument = { completion = { completionItem = { snippetSupport = true } } } },
  settings = {
    shardline = {
      completion = { popupBudget = 10000 }, -- no other server waits
      -- model = { name = 'codellama/CodeLlama-7b-hf', maxMemory = { ['0'] = '10GiB', cpu = '30GiB' } },
      -- generation = { maxTokens = 128 },
    },
  },
  on_attach = function(client, buf)
    local provider = client.server_capabilities.completionProvider
    if provider then
      triggers = provider.triggerCharacters
      client.server_capabilities.completionProvider = nil -- else blink's own source asks too, and waits
    end
    add_source(vim.bo[buf].filetype)
  end,
})

vim.api.nvim_create_user_command('ShardlineExplain', function()
  local client = assert(shardline(), 'Shardline is not running; :checkhealth vim.lsp says why.')
  local params = { command = 'shardline.explain', arguments = { vim.uri_from_bufnr(0) } }
  client:request('workspace/executeCommand', params, function(err, answer)
    vim.cmd.new()
    vim.bo.buftype, vim.bo.bufhidden, vim.bo.filetype = 'nofile', 'wipe', 'markdown'
    vim.api.nvim_buf_set_lines(0, 0, -1, true, vim.split(err and err.message or answer.page, '\n'))
  end)
end, { desc = 'Why Shardline showed nothing' })

vim.lsp.enable('shardline')
