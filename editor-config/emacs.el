;;; Shardline in Emacs, by eglot (part of Emacs from 29 on).  Copy into your init file.

(require 'eglot)

;; The modes of this list share one server, with one model in memory, for each project; add yours.
;; Eglot speaks to one server in a buffer: in these modes Shardline takes the place of another, and no items of others
;; wait for it, so that it may take its time; any key ends the waiting.
(add-to-list 'eglot-server-programs
             '((python-mode python-ts-mode) . ("shardline" "--set" "completion.popupBudget=5000")))
(add-hook 'python-mode-hook #'eglot-ensure)
(add-hook 'python-ts-mode-hook #'eglot-ensure)

;; (setq-default eglot-workspace-configuration
;;               '(:shardline (:model (:name "codellama/CodeLlama-7b-hf"
;;                                     :maxMemory (:0 "10GiB" :cpu "30GiB"))
;;                             :generation (:maxTokens 128))))

(defun shardline-explain ()
  "Show what became of the last suggestions in this file, and why nothing showed where nothing did."
  (interactive)
  (let* ((uri (plist-get (eglot--TextDocumentIdentifier) :uri))
         (answer (eglot-execute-command (eglot--current-server-or-lose) 'shardline.explain (vector uri))))
    (with-help-window "*Shardline*"
      (princ (plist-get answer :page)))))
