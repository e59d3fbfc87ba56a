" Shardline in Vim 9 or Neovim by coc.nvim. Copy to ~/.vim/plugin/shardline.vim,
" in Neovim to ~/.config/nvim/plugin/shardline.vim

let g:coc_user_config = extend(get(g:, 'coc_user_config', {}), {
      \ 'languageserver.shardline': {
      \   'command': 'shardline',
      \   'filetypes': ['*'],
      \ }})

inoremap <silent> <expr> <Tab> coc#inline#visible() ? coc#inline#accept() : "\<Tab>"
inoremap <silent> <expr> <C-Space> coc#refresh()
inoremap <silent> <expr> <C-@> coc#refresh()
