" Shardline in Vim by vim-lsp, asyncomplete.vim and asyncomplete-lsp.vim. Copy to ~/.vim/plugin/shardline.vim

augroup shardline
  autocmd!
  autocmd User lsp_setup call lsp#register_server({
        \ 'name': 'shardline',
        \ 'cmd': ['shardline'],
        \ 'allowlist': ['*'],
        \ })
augroup END

imap <C-Space> <Plug>(asyncomplete_force_refresh)
imap <C-@> <Plug>(asyncomplete_force_refresh)

" To change the model, put this into the braces above:
"       \ 'workspace_config': {'shardline': {
"       \   'model': {'name': 'codellama/CodeLlama-7b-hf', 'maxMemory': {'0': '10GiB', 'cpu': '30GiB'}},
"       \   'generation': {'maxTokens': 128},
"       \ }},
