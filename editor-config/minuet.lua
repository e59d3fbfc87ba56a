-- minuet before `shardline serve --port 8765`, in Neovim 0.11 or newer. Copy to ~/.config/nvim/plugin/shardline.lua

require('minuet').setup({
  provider = 'openai_fim_compatible',
  provider_options = {
    openai_fim_compatible = {
      name = 'Shardline',
      end_point = (vim.g.shardline_url or 'http://127.0.0.1:8765') .. '/v1/completions',
      api_key = 'SHARDLINE_API_KEY', -- the variable that has the key of the server
      model = '', -- the one that the server has
      optional = { max_tokens = 64, temperature = 0, stop = { '\n\n' } },
      template = {
        prompt = function(before) -- without the comments on language and indentation, which are no part of the file
          return before
        end,
      },
    },
  },
  n_completions = 1, -- with temperature 0 all are the same
  throttle = 0, -- the model is your own
  debounce = 100,
  virtualtext = { auto_trigger_ft = { '*' } },
})

local ghost_text = require('minuet.virtualtext').action
vim.keymap.set('i', '<Tab>', function()
  if ghost_text.is_visible() then
    vim.schedule(ghost_text.accept) -- a mapping with expr may not change the text itself
    return ''
  end
  return '<Tab>'
end, { expr = true, desc = 'Accept the ghost text' })
