"""A language server of pygls that does nothing, to be run as a child: what any server written in it costs."""

from pygls.lsp.server import LanguageServer

if __name__ == "__main__":
    LanguageServer("bare", "0").start_io()
