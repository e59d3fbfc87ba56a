"""Clients for tests: pytest-lsp's, in the clothes of real editors, waiting for what the server tells."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pytest_lsp import LanguageClient, client_capabilities, make_test_lsp_client

GHOST_TEXT = {"visual-studio-code": True, "neovim": False}
"""The editors that have it, and whether they can be told at any time that there is some."""
URI = "file:///work/a.py"
LEAVE_SECONDS = 20
PATIENT = {"popupBudget": 60_000}
"""Settings of completion for tests of what pop-ups hold, whenever they come."""


class Client:
    """A pytest-lsp client that also knows how the model is, and what the server has registered.

    `refuses` are the methods that it does not let the server register.
    """

    def __init__(self, *, refuses: Sequence[str] = (), **configuration: Any) -> None:
        self.lsp: LanguageClient = make_test_lsp_client()
        self.lsp.set_configuration({"shardline": configuration})
        self.lsp.feature("shardline/status")(lambda params: self._take_status(params))
        self.lsp.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda params: self._register(params))
        self.lsp.feature(types.CLIENT_UNREGISTER_CAPABILITY)(lambda params: self._unregister(params))
        self._refuses = refuses
        self._statuses: asyncio.Queue[Any] = asyncio.Queue()
        self.capabilities = types.ServerCapabilities()
        self.registered: dict[str, types.Registration] = {}
        self.events: list[str] = []
        """What happened, in its order: the states that the server told, and what it registered and unregistered."""

    def _take_status(self, params: Any) -> None:
        if params.state not in self.events[-1:]:
            self.events.append(params.state)
        self._statuses.put_nowait(params)

    def _register(self, params: types.RegistrationParams) -> None:
        for registration in params.registrations:
            if registration.method in self._refuses:
                raise JsonRpcException("It is refused.")
            self.events.append(f"+ {registration.method}")
            self.registered[registration.id] = registration

    def _unregister(self, params: types.UnregistrationParams) -> None:
        for unregistration in params.unregisterations:
            self.events.append(f"- {self.registered.pop(unregistration.id).method}")

    async def until(self, *states: str, message: str = "") -> Any:
        """Return the next status with one of these states, whose message has `message` in it."""
        async with asyncio.timeout(120):
            while True:
                status = await self._statuses.get()
                if status.state in states and message in status.message:
                    return status

    async def until_settled(self) -> Any:
        """Return the status when the model has been loaded, or has failed, the next time."""
        await self.until("loading")
        return await self.until("ready", "failed")

    @property
    def messages(self) -> list[str]:
        """What the user was shown."""
        return [params.message for params in self.lsp.messages]

    def open(self, text: str) -> None:
        item = types.TextDocumentItem(uri=URI, language_id="python", version=1, text=text)
        self.lsp.text_document_did_open(types.DidOpenTextDocumentParams(item))

    async def ghost(self, text: str, kind: int = 2) -> list[types.InlineCompletionItem] | None:
        """Open a document that holds `text` and ask for ghost text at its end."""
        self.open(text)
        answer = await self.lsp.text_document_inline_completion_async(asking(text, kind))
        if answer is None:
            return None
        return list(answer.items if isinstance(answer, types.InlineCompletionList) else answer)

    async def popup(self, text: str) -> types.CompletionList:
        """Open a document that holds `text` and ask for pop-up items at its end."""
        self.open(text)
        params = types.CompletionParams(types.TextDocumentIdentifier(URI), end_of(text))
        answer = await self.lsp.text_document_completion_async(params)
        assert isinstance(answer, types.CompletionList)
        return answer

    async def command(self, name: str) -> Any:
        return await self.lsp.workspace_execute_command_async(types.ExecuteCommandParams(command=name))

    def configure(self, **configuration: Any) -> None:
        """Change the settings as an editor does that has to be asked for them."""
        self.lsp.set_configuration({"shardline": configuration})
        self.lsp.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=None))


def asking(text: str, kind: int = 2) -> types.InlineCompletionParams:
    return types.InlineCompletionParams(
        context=types.InlineCompletionContext(types.InlineCompletionTriggerKind(kind)),
        text_document=types.TextDocumentIdentifier(URI),
        position=end_of(text),
    )


def end_of(text: str) -> types.Position:
    return types.Position(text.count("\n"), len(text.rpartition("\n")[2].encode("utf-16-le")) // 2)


def capabilities_of(editor: str) -> types.ClientCapabilities:
    """Those of pytest-lsp, where VS Code and Neovim are too old to know of ghost text."""
    capabilities = client_capabilities(editor)
    if editor in GHOST_TEXT:
        assert capabilities.text_document
        capabilities.text_document.inline_completion = types.InlineCompletionClientCapabilities(GHOST_TEXT[editor])
    return capabilities


@asynccontextmanager
async def started(
    command: Sequence[str],
    *,
    editor: str = "visual-studio-code",
    options: Any = None,
    refuses: Sequence[str] = (),
    **configuration: Any,
) -> AsyncIterator[Client]:
    """Yield a client of `editor` with a server it has started and greeted."""
    client = Client(refuses=refuses, **configuration)
    await client.lsp.start_io(*command)
    capabilities = capabilities_of(editor)
    capabilities.experimental = {"shardlineStatus": True}
    client.lsp.capabilities = capabilities  # which pytest-lsp checks the server by
    params = types.InitializeParams(capabilities=capabilities, initialization_options=options)
    client.capabilities = (await client.lsp.initialize_async(params)).capabilities
    client.lsp.initialized(types.InitializedParams())
    try:
        yield client
    finally:
        await client.lsp.shutdown_async(None)
        client.lsp.exit(None)
        async with asyncio.timeout(LEAVE_SECONDS):
            await client.lsp.stop()  # type: ignore[no-untyped-call]
