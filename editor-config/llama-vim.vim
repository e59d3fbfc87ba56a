" llama.vim before `shardline serve --port 8765`. Copy to ~/.config/nvim/plugin/shardline.vim, in Vim to
" ~/.vim/plugin/shardline.vim

" The key is that of the server. Your vimrc may set another address in g:shardline_url, and what else llama.vim knows in
" g:llama_config.
let g:llama_config = extend({
      \ 'endpoint_fim': get(g:, 'shardline_url', 'http://127.0.0.1:8765') .. '/infill',
      \ 'api_key': $SHARDLINE_API_KEY,
      \ }, get(g:, 'llama_config', {}))
