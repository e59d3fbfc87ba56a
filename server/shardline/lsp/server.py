"""The language server and its handlers."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from shardline import logs
from shardline.completion import Source, Suggestion, eligibility, request_log
from shardline.completion.request_log import History, Kind
from shardline.errors import EngineError, NotReadyError, SupersededError
from shardline.lsp import items, notebooks
from shardline.lsp.acceptance_recorder import Recorder, add_to_own_file
from shardline.lsp.capabilities import PLAIN, encoding, tastes
from shardline.lsp.client_settings import merge_client
from shardline.lsp.documents import Documents
from shardline.lsp.hosting.engine_host import EngineHost, OpenEngine
from shardline.lsp.popup import Unhurried
from shardline.lsp.protocol import Protocol, converter
from shardline.lsp.registration import COMPLETION, INLINE_COMPLETION, Registrations
from shardline.lsp.report_page import Page
from shardline.lsp.status import Status
from shardline.settings import Settings

SECTION = "shardline"
CLIENT_SECONDS = 5.0
"""The model loads without the client's settings after this long."""

log = logging.getLogger(__name__)


class ShardlineServer(LanguageServer):
    """A language server that offers a model's suggestions as pop-up items and as ghost text."""

    protocol: Protocol

    def __init__(
        self, version: str, settings: Settings, open_engine: OpenEngine, *, key_names: Collection[str] = ()
    ) -> None:
        super().__init__(
            "shardline",
            version,
            notebook_document_sync=notebooks.SYNC,
            protocol_cls=Protocol,
            converter_factory=converter,
        )
        self.base = settings
        """The settings of the command line, which the client overrides."""
        self.key_names = key_names
        """Further environment variables that the client may name."""
        self.settings = settings
        self.tastes = PLAIN
        """How the client inserts pop-up items."""
        self.status = Status(self)
        self.host = EngineHost(open_engine, self.status, Registrations(self).offer)
        self.recorder = Recorder(add_to_own_file)
        self.history = History()
        self.page = Page(self, "why-nothing-showed")
        self._unhurried = Unhurried()
        self._deleted: str | None = None  # the document whose last change only deleted text
        self._initial: Mapping[str, Any] = {}  # the settings of `initialize`
        self._configured: Mapping[str, Any] = {}  # the latest settings of the client's configuration
        _register(self)

    @property
    def documents(self) -> Documents:
        """The open documents."""
        return self.protocol.documents

    def take_settings(self, *, initial: Any = None, configured: Any = None) -> None:
        """Merge the client's settings into those of the command line; show the problems to the user."""
        self._initial = _section(initial) or self._initial
        if isinstance(configured, Mapping):
            self._configured = _section(configured)
        settings, problems = merge_client(self.base, self._initial, self.key_names)
        self.settings, more_problems = merge_client(settings, self._configured, self.key_names)
        logs.configure(self.settings.log.level)
        self.recorder.apply(self.settings)
        if problems or more_problems:
            self.status.show(" ".join([*problems, *more_problems]), types.MessageType.Warning)

    async def pull_settings(self) -> None:
        """Request the client's settings if it answers such requests."""
        workspace = self.client_capabilities.workspace
        if not (workspace and workspace.configuration):
            return
        params = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
        try:
            async with asyncio.timeout(CLIENT_SECONDS):
                answers = await self.workspace_configuration_async(params)
        except Exception as error:  # noqa: BLE001  a client that fails here keeps the settings it sent before
            log.warning("The client did not send its settings (%s).", type(error).__name__)
            return
        self.take_settings(configured=answers[0] if answers else None)

    async def watch_settings(self) -> None:
        """Register for changes of settings if the client allows it."""
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
        except Exception as error:  # noqa: BLE001  then settings are only read at the start
            log.warning("The client does not report changed settings (%s).", type(error).__name__)

    def close(self) -> None:
        """End all work, write the statistics and remove the page."""
        self.host.close()
        self.recorder.close()
        self.page.close()

    def look_at(self, uri: str, cursor: types.Position) -> None:
        """Read ahead at a cursor, where the user is likely to be."""
        if (source := self.documents.source(uri, cursor)) and self._objection(source) is None:
            self.host.look_at(source)

    def follow(self, uri: str, changes: Sequence[types.TextDocumentContentChangeEvent]) -> None:
        """Follow an edit; the user is likely to be where the last change ended."""
        source = self.documents.source(uri, self.documents.end_of(changes[-1]))
        self._deleted = uri if changes[-1].text == "" else None
        if source:
            self.recorder.follow(uri, source.lines, changes)
        if source and self._objection(source) is None:
            self.host.follow(source)

    async def suggest(self, source: Source, kind: Kind, *, by_hand: bool = False) -> list[Suggestion]:
        """Return what could follow the cursor, best first; empty if nothing fits or an error occurs.

        The history records the outcome. Raises `SupersededError`.
        """
        entry = self.history.begin(source, kind)
        if why := self._objection(source, by_hand=by_hand):
            entry.end("skipped", why)
            return []
        try:
            several = by_hand and kind != "pop-up"  # clients do not say which pop-ups are asked for by hand
            answer = await self.host.answer(source, by_hand=several)
        except NotReadyError as error:
            entry.end("failed", str(error))  # the status shows it too
            return []
        except EngineError as error:
            entry.end("failed", str(error))
            self.status.show(str(error))
            return []
        except SupersededError:
            entry.end("superseded", "A newer request took its place.")
            raise
        except asyncio.CancelledError:
            entry.end("cancelled", "The editor did not wait for it.")
            raise
        entry.answer(answer, budget=self.settings.completion.popup_budget if kind == "pop-up" else None)
        return [suggestion for suggestion in answer.suggestions if suggestion.text]

    async def suggest_in_time(self, source: Source, *, by_hand: bool) -> list[Suggestion]:
        """Return the suggestion for a pop-up, as complete as it is after `completion.popupBudget`; the rest goes on."""
        asked = self.documents.get(source.document)

        async def finish() -> list[Suggestion]:
            if self.documents.get(source.document) is not asked:
                return []  # closed or changed meanwhile
            try:
                return await self.suggest(source, "pop-up", by_hand=by_hand)
            except SupersededError:
                return []

        suggestions = await self._unhurried.wait(finish(), self.settings.completion.popup_budget / 1000)
        if suggestions is None:
            suggestions = [lines] if (lines := self.host.ready(source)) else []
        return suggestions[:1]

    def _objection(self, source: Source, *, by_hand: bool = True) -> str | None:
        deleted = source.document == self._deleted
        return eligibility.objection(source, self.settings.completion, by_hand=by_hand, deleted=deleted)


def _register(server: ShardlineServer) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.documents.encoding = encoding(params)
        server.tastes = tastes(params)
        server.take_settings(initial=params.initialization_options)

    @server.feature(types.INITIALIZED)
    async def initialized(_: types.InitializedParams) -> None:
        await server.pull_settings()
        await server.watch_settings()
        server.host.apply(server.settings)
        server.page.remove_left()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(params: types.DidChangeConfigurationParams) -> None:
        if isinstance(params.settings, Mapping):
            server.take_settings(configured=params.settings)
        else:
            await server.pull_settings()  # the notification has no settings
        server.host.apply(server.settings)

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        server.look_at(params.text_document.uri, types.Position(0, 0))

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        if params.content_changes:
            server.follow(params.text_document.uri, params.content_changes)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        server.host.close_document(params.text_document.uri)
        server.recorder.close_document(params.text_document.uri)
        server.history.drop(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, COMPLETION)
    async def completion(params: types.CompletionParams) -> types.CompletionList:
        began, source = time.perf_counter(), server.documents.source(params.text_document.uri, params.position)
        if source is None:
            return types.CompletionList(is_incomplete=True, items=[])
        suggestions = await server.suggest_in_time(source, by_hand=_may_be_by_hand(params))
        inserted = [Suggestion(text=text) for suggestion in suggestions if (text := suggestion.insertion)]
        number = server.recorder.show(source, inserted, "popup", time.perf_counter() - began)
        return items.completion_list(source, inserted, server.documents, server.tastes, number)

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, INLINE_COMPLETION)
    async def inline_completion(
        params: types.InlineCompletionParams,
    ) -> list[types.InlineCompletionItem] | None:
        began, source = time.perf_counter(), server.documents.source(params.text_document.uri, params.position)
        if source is None:
            return []
        chosen = params.context.selected_completion_info
        if chosen and not (source := server.documents.with_chosen(source, chosen)):
            return []
        by_hand = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        try:
            suggestions = await server.suggest(source, "ghost text", by_hand=by_hand)
        except SupersededError:
            return None  # keeps the ghost text shown; an empty list would clear it
        number = server.recorder.show(source, suggestions, "ghost", time.perf_counter() - began)
        return items.inline_items(source, suggestions, server.documents, chosen, number, server.tastes)

    @server.command(items.ACCEPTED)
    def accepted(*arguments: Any) -> None:
        server.recorder.accept(arguments)

    @server.command("shardline.status")
    def status(*_: Any) -> dict[str, Any]:
        return server.status.as_json()

    @server.command("shardline.explain")
    def explain(*documents: Any) -> dict[str, Any]:
        entries = server.history.of(next((name for name in documents if isinstance(name, str)), None))
        page = request_log.page(entries, server.status.message)
        if not documents:
            server.page.show(page)  # else the client shows it
        return {"page": page, "requests": [entry.as_json() for entry in entries]}

    @server.command("shardline.plan")
    def plan(*_: Any) -> dict[str, Any]:
        return server.host.placement.as_json() if server.host.placement else {}

    @server.command("shardline.restart")
    async def restart(*_: Any) -> None:
        server.host.restart(server.settings)


def _may_be_by_hand(params: types.CompletionParams) -> bool:
    """Return False if the pop-up was certainly not asked for by hand; clients do not say more."""
    return params.context is None or params.context.trigger_kind == types.CompletionTriggerKind.Invoked


def _section(values: Any) -> Mapping[str, Any]:
    """Return our section of the settings; some clients send it alone, some under our name."""
    if not isinstance(values, Mapping):
        return {}
    inner = values.get(SECTION)
    return inner if isinstance(inner, Mapping) else values
