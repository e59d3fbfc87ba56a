"""Windows in front of a remote engine."""

import sys

from tests.lsp.clients import Client

COMMAND = [sys.executable, "-m", "shardline"]


LINE = "x = 1  # say: and more"


QUIET = {"prepare": False, "warm": False, "debounce": 0}


async def ghost(client: Client, text: str = LINE) -> str:
    items = await client.ghost(text)
    return str(items[0].insert_text) if items else ""
