" Shardline in Vim 9 or Neovim by coc.nvim. Copy to ~/.vim/plugin/shardline.vim,
" in Neovim to ~/.config/nvim/plugin/shardline.vim

" Suggestions are items of the pop-up. For ghost text instead, put `let g:shardline_ghost_text = 1` into your vimrc; coc
" cannot show ghost text that begins with a line break.
let g:coc_user_config = extend(get(g:, 'coc_user_config', {}), {
      \ 'languageserver.shardline': {
      \   'command': 'shardline',
      \   'filetypes': ['*'],
      \   'disabledFeatures': [get(g:, 'shardline_ghost_text') ? 'completion' : 'inlineCompletion'],
      \ }})

" Tab accepts ghost text, and Ctrl-Space asks for the pop-up anywhere.
inoremap <silent> <expr> <Tab> coc#inline#visible() ? coc#inline#accept() : "\<Tab>"
inoremap <silent> <expr> <C-Space> coc#refresh()
inoremap <silent> <expr> <C-@> coc#refresh()

" To change the model, put this into the braces above:
"     \   'settings': {'shardline': {
"     \     'model': {'name': 'codellama/CodeLlama-7b-hf', 'maxMemory': {'0': '10GiB', 'cpu': '30GiB'}},
"     \     'generation': {'maxTokens': 128},
"     \   }},
