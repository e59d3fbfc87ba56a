"""The handlers: each tells in a few verbs what happens when the client says something."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from shardline import logs
from shardline.completion import Source, Suggestion
from shardline.errors import EngineError, NotReadyError, SupersededError
from shardline.lsp import items, notebooks
from shardline.lsp.documents import Documents
from shardline.lsp.host import EngineHost, OpenEngine
from shardline.lsp.protocol import Protocol, converter
from shardline.lsp.status import Status
from shardline.settings import Settings, merge

SECTION = "shardline"
TRIGGER_CHARACTERS = [".", "(", "[", "="]
CLIENT_SECONDS = 5.0
"""How long a client may take to answer about its settings before the model is loaded without them."""

log = logging.getLogger(__name__)


class ShardlineServer(LanguageServer):
    """A language server that offers a model's suggestions as pop-up items and as ghost text."""

    protocol: Protocol

    def __init__(self, version: str, settings: Settings, open_engine: OpenEngine) -> None:
        super().__init__(
            "shardline",
            version,
            notebook_document_sync=notebooks.SYNC,
            protocol_cls=Protocol,
            converter_factory=converter,
        )
        self.base = settings
        """The settings of the command line, which the client's are laid over."""
        self.settings = settings
        self.status = Status(self)
        self.host = EngineHost(open_engine, self.status)
        self._initial: Mapping[str, Any] = {}  # what came with `initialize`
        self._configured: Mapping[str, Any] = {}  # what the client's configuration said last
        _register(self)

    @property
    def documents(self) -> Documents:
        """The open documents."""
        return self.protocol.documents

    def take_settings(self, *, initial: Any = None, configured: Any = None) -> None:
        """Lay what the client sent over the settings of the command line; say in words what cannot be used."""
        self._initial = _section(initial) or self._initial
        if isinstance(configured, Mapping):
            self._configured = _section(configured)
        settings, problems = merge(self.base, self._initial)
        self.settings, more_problems = merge(settings, self._configured)
        logs.configure(self.settings.log.level)
        if problems or more_problems:
            self.status.tell(" ".join([*problems, *more_problems]), types.MessageType.Warning)

    async def pull_settings(self) -> None:
        """Ask the client for its settings, if it can be asked."""
        workspace = self.client_capabilities.workspace
        if not (workspace and workspace.configuration):
            return
        params = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                answers = await self.workspace_configuration_async(params)
        except Exception as error:  # noqa: BLE001  a client that fails here keeps the settings it sent before
            log.warning("The client did not tell its settings (%s).", type(error).__name__)
            return
        self.take_settings(configured=answers[0] if answers else None)

    async def watch_settings(self) -> None:
        """Ask to be told when settings change, where the client wants to be asked."""
        workspace = self.client_capabilities.workspace
        changes = workspace and workspace.did_change_configuration
        if not (changes and changes.dynamic_registration):
            return
        registration = types.Registration(
            id="shardline/settings",
            method=types.WORKSPACE_DID_CHANGE_CONFIGURATION,
            register_options=types.DidChangeConfigurationRegistrationOptions(section=SECTION),
        )
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                await self.client_register_capability_async(types.RegistrationParams([registration]))
        except Exception as error:  # noqa: BLE001  then settings are read at the start only
            log.warning("The client does not tell about changed settings (%s).", type(error).__name__)

    def look_at(self, uri: str, cursor: types.Position) -> None:
        """The user is likely to be there: let the model read ahead when it has nothing else to do."""
        source = self.documents.source(uri, cursor)
        if source:
            self.host.look_at(source)

    async def suggest(self, source: Source, *, several: bool = False) -> list[Suggestion]:
        """Suggest what follows the cursor, the best first; nothing where there is nothing to say, or no way to."""
        try:
            suggestions = await self.host.suggest(source, several=several)
        except NotReadyError:
            return []  # the status says why
        except EngineError as error:
            self.status.tell(str(error))
            return []
        return [suggestion for suggestion in suggestions if suggestion.text]


def _register(server: ShardlineServer) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.documents.encoding = _encoding(params)
        server.take_settings(initial=params.initialization_options)

    @server.feature(types.INITIALIZED)
    async def initialized(_: types.InitializedParams) -> None:
        await server.pull_settings()
        await server.watch_settings()
        server.host.apply(server.settings)

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(params: types.DidChangeConfigurationParams) -> None:
        if isinstance(params.settings, Mapping):
            server.take_settings(configured=params.settings)
        else:
            await server.pull_settings()  # told only that something changed
        server.host.apply(server.settings)

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        server.look_at(params.text_document.uri, types.Position(0, 0))

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        if params.content_changes:
            server.look_at(params.text_document.uri, server.documents.end_of(params.content_changes[-1]))

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        server.host.forget(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=TRIGGER_CHARACTERS))
    async def completion(params: types.CompletionParams) -> types.CompletionList:
        nothing = types.CompletionList(is_incomplete=True, items=[])
        source = server.documents.source(params.text_document.uri, params.position)
        if source is None:
            return nothing
        try:
            suggestions = await server.suggest(source)
        except SupersededError:
            return nothing
        return items.completion_list(source, suggestions, server.documents, items.tastes(server.client_capabilities))

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(
        params: types.InlineCompletionParams,
    ) -> list[types.InlineCompletionItem] | None:
        source = server.documents.source(params.text_document.uri, params.position)
        if source is None:
            return []
        chosen = params.context.selected_completion_info
        if chosen and not (source := server.documents.with_chosen(source, chosen)):
            return []
        by_hand = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        try:
            suggestions = await server.suggest(source, several=by_hand)
        except SupersededError:
            return None  # leaves what is shown alone; an empty list would clear it
        return items.inline_items(source, suggestions, server.documents, chosen)

    @server.command("shardline.status")
    def status(*_: Any) -> dict[str, Any]:
        return server.status.as_json()

    @server.command("shardline.plan")
    def plan(*_: Any) -> dict[str, Any]:
        return dict(server.host.placement)

    @server.command("shardline.restart")
    async def restart(*_: Any) -> None:
        server.host.restart(server.settings)


def _encoding(params: types.InitializeParams) -> types.PositionEncodingKind:
    """The first encoding the client offers that we know, which is also what pygls tells it."""
    general = params.capabilities.general
    offered = (general and general.position_encodings) or []
    known = {kind.value for kind in types.PositionEncodingKind}
    return next(
        (types.PositionEncodingKind(kind) for kind in offered if kind in known),
        types.PositionEncodingKind.Utf16,
    )


def _section(values: Any) -> Mapping[str, Any]:
    """Our part of what a client sent: some send it alone, some inside an object under our name."""
    if not isinstance(values, Mapping):
        return {}
    inner = values.get(SECTION)
    return inner if isinstance(inner, Mapping) else values
