-- Shardline in the pop-up of nvim-cmp, with cmp-nvim-lsp, in Neovim 0.11 or newer.
-- Copy to ~/.config/nvim/plugin/shardline.lua

-- A source of its own, for which nvim-cmp does not wait: a slow model holds back no other items, and the suggestion joins
-- them as soon as it is made.
local function add_source(client)
  local cmp, nvim_lsp, lsp_source = require('cmp'), require('cmp_nvim_lsp'), require('cmp_nvim_lsp.source')
  if not nvim_lsp.client_source_map[client.id] then
    local source, id = lsp_source.new(client), nil
    source.complete = function(...)
      cmp.get_registered_sources()[id].incomplete = true -- those are not waited for
      lsp_source.complete(...)
    end
    id = cmp.register_source('shardline', source)
    nvim_lsp.client_source_map[client.id] = id -- else it becomes one more source by the name of nvim_lsp
  end

  local sources = cmp.get_config().sources
  local function is_ours(each)
    return each.name == 'shardline'
  end
  if not vim.iter(sources):any(is_ours) then
    local group = sources[1] and sources[1].group_index -- of those that are shown together
    local ours = { name = 'shardline', priority = 100, group_index = group }
    cmp.setup({ sources = vim.list_extend({ ours }, sources) })
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
  on_attach = add_source,
})

vim.api.nvim_create_user_command('ShardlineExplain', function()
  local client = assert(vim.lsp.get_clients({ name = 'shardline' })[1], 'Shardline is not running.')
  local params = { command = 'shardline.explain', arguments = { vim.uri_from_bufnr(0) } }
  client:request('workspace/executeCommand', params, function(err, answer)
    vim.cmd.new()
    vim.bo.buftype, vim.bo.bufhidden, vim.bo.filetype = 'nofile', 'wipe', 'markdown'
    vim.api.nvim_buf_set_lines(0, 0, -1, true, vim.split(err and err.message or answer.page, '\n'))
  end)
end, { desc = 'Why Shardline showed nothing' })

vim.lsp.enable('shardline')
