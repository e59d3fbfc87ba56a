"""Emacs in tests."""

YASNIPPET = ("--eval", "(progn (require 'yasnippet) (yas-global-mode))")


GUARD_SECONDS = 120
