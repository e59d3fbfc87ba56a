" Shardline in Vim 9 by yegappan/lsp. Copy to ~/.vim/plugin/shardline.vim

augroup shardline
  autocmd!
  autocmd User LspSetup call LspAddServer([#{
        \ name: 'shardline',
        \ path: 'shardline',
        \ filetype: ['python'],
        \ }])
  autocmd User LspAttached setlocal omnifunc=g:LspOmniFunc
augroup END
