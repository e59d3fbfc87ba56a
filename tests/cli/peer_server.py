"""A language server that is not ours, to be run as a child: MODE says how it answers, FILE what it knows.

`right` answers with the rest of the line in FILE, `lies` with a change that would destroy what was typed, `silent`
never, `fails` with an error, `outdated` with the error that the document has changed, `dies` by ending at the third
request.
"""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

mode, whole = sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8")
server = LanguageServer("peer", "1")
turns = itertools.count(1)


@server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
async def inline_completion(params: types.InlineCompletionParams) -> list[types.InlineCompletionItem]:
    turn = next(turns)
    at, document = params.position, server.workspace.get_text_document(params.text_document.uri)
    if mode == "silent":
        await asyncio.Event().wait()
    if mode == "fails":
        raise JsonRpcException("It fails.")
    if mode == "outdated":
        raise JsonRpcException("It changed.", code=types.LSPErrorCodes.ContentModified)
    if mode == "dies" and turn == 3:
        os._exit(7)
    if mode == "lies":
        start = types.Position(at.line, max(0, at.character - 1))
        return [types.InlineCompletionItem(insert_text="\0", range=types.Range(start, at))]
    before = document.source[: document.offset_at_position(at)]
    if not whole.startswith(before):
        return []
    return [types.InlineCompletionItem(insert_text=whole[len(before) :].partition("\n")[0])]


server.start_io()
