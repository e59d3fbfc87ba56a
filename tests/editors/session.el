;;; Types into the files of the cases and completes there, as the keys of a user would.  -*- lexical-binding: t -*-

;; Arguments: the file for the page that explains, and for each case its file, the line of the cursor, at whose end it
;; stands, and what is typed.

(setq make-backup-files nil)

(defun session-wait-until-ready ()
  "Wait until the model of this buffer's server is ready."
  (let ((server (eglot-current-server)))
    (while (not (equal "ready" (plist-get (eglot-execute-command server 'shardline.status []) :state)))
      (accept-process-output nil 0.02))))

(defun session-complete (file line typed)
  "Type TYPED at the end of LINE of FILE, complete, and save."
  (find-file file)
  (setq indent-tabs-mode (and (re-search-forward "^\t" nil t) t)) ; who indents with tabs has said so
  (run-hooks 'post-command-hook)        ; by which `eglot-ensure' connects
  (session-wait-until-ready)
  (goto-char (point-min))
  (forward-line (1- line))
  (end-of-line)
  (execute-kbd-macro typed)
  (execute-kbd-macro (kbd "C-M-i"))
  (save-buffer))

(defvar session-page (pop command-line-args-left))

(while command-line-args-left
  (session-complete (pop command-line-args-left)
                    (string-to-number (pop command-line-args-left))
                    (pop command-line-args-left)))

(shardline-explain)
(with-current-buffer "*Shardline*"
  (write-region nil nil session-page))
