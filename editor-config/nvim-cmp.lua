-- Shardline in the pop-up of nvim-cmp, with cmp-nvim-lsp, in Neovim 0.11 or newer.
-- Copy to ~/.config/nvim/plugin/shardline.lua

-- A source of its own behind all others: nvim-cmp shows what is there before it without waiting for a slow model, and
-- the suggestion joins it as soon as it is made.
local function add_source(client)
  local cmp, nvim_lsp = require('cmp'), require('cmp_nvim_lsp')
  if not nvim_lsp.client_source_map[client.id] then
    local source = require('cmp_nvim_lsp.source').new(client)
    nvim_lsp.client_source_map[client.id] = cmp.register_source('shardline', source)
  end
  local sources = cmp.get_config().sources
  local function is_ours(each)
    return each.name == 'shardline'
  end
  if not vim.iter(sources):any(is_ours) then
    cmp.setup({ sources = vim.list_extend(vim.deepcopy(sources), { { name = 'shardline', priority = 100 } }) })
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
