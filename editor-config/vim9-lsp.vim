" Shardline in Vim 9 by yegappan/lsp. Copy to ~/.vim/plugin/shardline.vim

augroup shardline
  autocmd!
  autocmd User LspSetup call LspAddServer([#{
        \ name: 'shardline',
        \ path: 'shardline',
        \ filetype: ['python'],
        \ }])
augroup END

" To change the model, put this into the braces above:
"       \ initializationOptions: #{
"       \   model: #{name: 'codellama/CodeLlama-7b-hf', maxMemory: {'0': '10GiB', 'cpu': '30GiB'}},
"       \   generation: #{maxTokens: 128},
"       \ },
