-- Shardline in Neovim 0.11 or newer. Copy to ~/.config/nvim/plugin/shardline.lua

-- Ghost text for Neovim 0.11, which has none of its own. Returns a function that accepts what is shown, if anything.
local namespace = vim.api.nvim_create_namespace('shardline')
local function ghost_text(client, buf)
  local turn = 0 -- counts cursor positions: an answer to an earlier one is stale
  local request, shown

  local function forget()
    turn = turn + 1
    if request then
      client:cancel_request(request)
    end
    request, shown = nil, nil
    vim.api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
  end

  local function show(item)
    shown = item
    local tab = (' '):rep(vim.bo[buf].tabstop)
    local lines = vim.tbl_map(function(line)
      return { { line:gsub('\t', tab), 'Comment' } }
    end, vim.split(item.insertText, '\n'))
    local row, column = unpack(vim.api.nvim_win_get_cursor(0))
    vim.api.nvim_buf_set_extmark(buf, namespace, row - 1, column, {
      virt_text = lines[1],
      virt_text_pos = 'inline',
      virt_lines = vim.list_slice(lines, 2),
    })
  end

  local function ask()
    forget()
    local mine = turn
    vim.defer_fn(function()
      if turn ~= mine then
        return -- typing went on
      end
      local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
      params.context = { triggerKind = 2 } -- automatic
      local function receive(_, answer)
        if turn ~= mine then
          return
        end
        request = nil
        local item = answer and (answer.items or answer)[1]
        if item then
          show(item)
        end
      end
      request = select(2, client:request('textDocument/inlineCompletion', params, receive, buf))
    end, 100)
  end

  local group = vim.api.nvim_create_augroup('shardline.' .. buf, {})
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, buffer = buf, callback = callback })
  end
  on({ 'InsertEnter', 'CursorMovedI', 'TextChangedP' }, ask)
  on({ 'InsertLeave', 'BufLeave' }, forget)

  return function()
    local item = shown
    if item then
      vim.schedule(function() -- a mapping with expr may not change the text itself
        forget()
        -- Brackets closed by a plugin are part of the suggestion.
        vim.lsp.util.apply_text_edits({ { range = item.range, newText = '' } }, buf, client.offset_encoding)
        vim.api.nvim_paste(item.insertText, true, -1)
        if item.command then
          client:exec_cmd(item.command)
        end
      end)
    end
    return item ~= nil
  end
end

-- Neovim 0.12 goes on showing a suggestion while one types it, but would insert it where it began, typed text and all.
local function without_typed(item)
  local row, column = item.range:to_extmark()
  local cursor_row, cursor_column = unpack(vim.api.nvim_win_get_cursor(0))
  local ok, typed = pcall(vim.api.nvim_buf_get_text, 0, row, column, cursor_row - 1, cursor_column, {})
  if ok and vim.startswith(item.insert_text, table.concat(typed, '\n')) then
    vim.api.nvim_buf_set_text(0, row, column, cursor_row - 1, cursor_column, {})
    return item
  end
end

vim.lsp.config('shardline', {
  cmd = { 'shardline' },
  -- Neither filetypes nor root_markers: one server, with one model in memory, for all files.
  capabilities = { textDocument = { inlineCompletion = { dynamicRegistration = false } } },
  -- settings = {
  --   shardline = {
  --     model = { name = 'codellama/CodeLlama-7b-hf', maxMemory = { ['0'] = '10GiB', cpu = '30GiB' } },
  --     generation = { maxTokens = 128 },
  --   },
  -- },
  on_attach = function(client, buf)
    vim.bo[buf].completeopt = 'menuone,noselect,popup' -- by default the first item would be inserted unasked
    vim.lsp.completion.enable(true, client.id, buf) -- only when asked: the pop-up would cover the ghost text

    -- What is ghost text already is not to be in the pop-up of nvim-cmp or blink.cmp too; blink-cmp.lua and nvim-cmp.lua
    -- show it there instead. Both plugins may be loaded late.
    vim.api.nvim_create_autocmd('InsertEnter', {
      buffer = buf,
      callback = vim.schedule_wrap(function()
        if package.loaded['blink.cmp'] or package.loaded['cmp'] then
          client.server_capabilities.completionProvider = nil
        end
      end),
    })

    local accept
    if vim.lsp.inline_completion then
      vim.lsp.inline_completion.enable(true, { client_id = client.id })
      accept = function()
        return vim.lsp.inline_completion.get({ on_accept = without_typed })
      end
    else
      accept = ghost_text(client, buf)
    end
    vim.keymap.set('i', '<Tab>', function()
      if accept() then
        return vim.fn.pumvisible() == 1 and '<C-y>' or '' -- the pop-up has said the same and is out of date
      elseif vim.snippet.active({ direction = 1 }) then
        return '<Cmd>lua vim.snippet.jump(1)<CR>' -- what Tab does in Neovim without this mapping
      end
      return '<Tab>'
    end, { buffer = buf, expr = true, desc = 'Accept the ghost text' })
  end,
})

vim.api.nvim_create_user_command('ShardlineExplain', function()
  local client = vim.lsp.get_clients({ name = 'shardline' })[1]
  if not client then
    return vim.notify('Shardline is not running; :checkhealth vim.lsp says why.', vim.log.levels.WARN)
  end
  local params = { command = 'shardline.explain', arguments = { vim.uri_from_bufnr(0) } }
  client:request('workspace/executeCommand', params, function(err, answer)
    vim.cmd.new()
    vim.bo.buftype, vim.bo.bufhidden, vim.bo.filetype = 'nofile', 'wipe', 'markdown'
    vim.api.nvim_buf_set_lines(0, 0, -1, true, vim.split(err and err.message or answer.page, '\n'))
  end)
end, { desc = 'Why Shardline showed nothing' })

vim.lsp.enable('shardline')
