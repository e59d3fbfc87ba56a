;;; Types into the files of the cases by lsp-mode, as session.el does by eglot.  -*- lexical-binding: t -*-

;; Arguments: the folder of the project, and for each case its file, the line of the cursor, at whose end it stands, and
;; what is typed.

(setq make-backup-files nil
      lsp-enable-suggest-server-download nil
      lsp-warn-no-matched-clients nil)
(lsp-workspace-folders-add (pop command-line-args-left))

(defun session-wait-until-ready ()
  "Wait until the model of this buffer's server is ready."
  (while (not (and lsp--buffer-workspaces
                   (eq 'initialized (lsp--workspace-status (car lsp--buffer-workspaces)))
                   (equal "ready" (lsp-get (lsp-request "workspace/executeCommand" '(:command "shardline.status"))
                                           :state))))
    (accept-process-output nil 0.02)))

(defun session-complete (file line typed)
  "Type TYPED at the end of LINE of FILE, complete, and save."
  (find-file file)
  (setq indent-tabs-mode (and (re-search-forward "^\t" nil t) t)) ; who indents with tabs has said so
  (lsp)
  (session-wait-until-ready)
  (goto-char (point-min))
  (forward-line (1- line))
  (end-of-line)
  (execute-kbd-macro typed)
  (company-manual-begin)
  (company-complete-selection)
  (save-buffer))

(while command-line-args-left
  (session-complete (pop command-line-args-left)
                    (string-to-number (pop command-line-args-left))
                    (pop command-line-args-left)))
