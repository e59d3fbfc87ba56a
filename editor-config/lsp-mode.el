;;; Shardline in Emacs by lsp-mode.  Copy into your init file.

(require 'lsp-mode)
(require 'lsp-completion)

;; Beside the language's own server, in all modes that lsp-mode is used in; one server, with one model in memory.
(lsp-register-client
 (make-lsp-client :new-connection (lsp-stdio-connection '("shardline"))
                  :activation-fn (lambda (&rest _) t)
                  :server-id 'shardline
                  :add-on? t
                  :multi-root t))

;; (lsp-register-custom-settings
;;  '(("shardline.model.name" "codellama/CodeLlama-7b-hf")
;;    ("shardline.generation.maxTokens" 128)))
