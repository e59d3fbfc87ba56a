"""A language server beside Shardline, which answers at once: four items behind each word and each dot."""

from lsprotocol import types
from pygls.lsp.server import LanguageServer

NAMES = ["other_one", "other_two", "return_of_other", "self_of_other"]

if __name__ == "__main__":
    server = LanguageServer("other", "1")

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["."]))
    def completion(_: types.CompletionParams) -> types.CompletionList:
        """Offer the same everywhere."""
        return types.CompletionList(is_incomplete=False, items=[types.CompletionItem(label=name) for name in NAMES])

    server.start_io()
