"""Headless editor that drives a real server process.

It speaks to the child over its standard input and output.
"""

import asyncio
import contextlib
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import IO, Any

from lsprotocol import types
from pygls.io_ import run_async
from pygls.lsp.client import LanguageClient

from shardline import __version__, children
from shardline.errors import ProtocolError
from shardline.lsp.client.buffer import Buffer
from shardline.lsp.status import NOTIFICATION, USAGE, State

CAPABILITIES = types.ClientCapabilities(
    general=types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf8]),
    text_document=types.TextDocumentClientCapabilities(
        completion=types.CompletionClientCapabilities(),
        inline_completion=types.InlineCompletionClientCapabilities(),
    ),
    experimental={"shardlineStatus": True},
)

LEAVE_SECONDS = 5.0
"""The time for the server to end by itself."""

OnStatus = Callable[[Mapping[str, Any]], None]
OnUsage = Callable[[str, Mapping[str, int]], None]
"""Receives the id of a request and its usage in tokens, with `ahead` for a prefetch."""


class Editor:
    """A client of one server process. Use as `async with Editor(command) as editor`."""

    def __init__(
        self,
        command: Sequence[str],
        on_status: OnStatus = lambda _: None,
        *,
        capabilities: types.ClientCapabilities = CAPABILITIES,
        on_usage: OnUsage = lambda _id, _usage: None,
        surroundings: children.Surroundings | None = None,
    ) -> None:
        self._command = command
        self._on_status = on_status
        self._capabilities = capabilities
        self._on_usage = on_usage
        self._surroundings = surroundings
        self._client = LanguageClient("shardline-editor", __version__)
        self._stop = threading.Event()
        self._log: IO[bytes]  # from __aenter__ to __aexit__
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._settled: asyncio.Future[Mapping[str, Any]] | None = None
        self.registered: dict[str, Any] = {}
        """The options of the methods that the server has registered dynamically."""
        self.messages: list[str] = []
        """The messages shown to the user."""

    async def __aenter__(self) -> "Editor":
        self._settled = asyncio.get_running_loop().create_future()
        self._listen()
        pipe = asyncio.subprocess.PIPE
        surroundings = self._surroundings or children.surroundings()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed in __aexit__
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=self._log, **surroundings
            )
        except OSError as error:
            self._log.close()
            raise ProtocolError(f"{self._command[0]} cannot be started: {error.strerror}.") from error
        if self._process.stdin is None or self._process.stdout is None:
            raise ProtocolError("The server has no standard input or output.")
        self._client.protocol.set_writer(self._process.stdin)
        reading = run_async(self._stop, self._process.stdout, self._client.protocol)
        self._tasks = [asyncio.create_task(reading), asyncio.create_task(self._watch(self._process))]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._client.shutdown_async(None)
                    self._client.exit(None)
                    await self._process.wait()
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._log.close()

    async def initialize(self, options: Mapping[str, Any] | None = None) -> types.InitializeResult:
        """Initialize the server with settings as `initializationOptions`; it starts loading its model."""
        params = types.InitializeParams(capabilities=self._capabilities, initialization_options=options)
        result: types.InitializeResult = await self._ask(self._client.initialize_async(params))
        self._client.initialized(types.InitializedParams())
        return result

    async def ready(self) -> None:
        """Wait until the model is ready; raises `ProtocolError` with the server's reason if loading fails."""
        if self._settled is None:
            raise ProtocolError("The server was not started.")
        status = await asyncio.shield(self._settled)
        if status["state"] != State.READY:
            raise ProtocolError(str(status["message"]))

    def open(self, uri: str, language: str, text: str) -> None:
        """Open a document."""
        item = types.TextDocumentItem(uri=uri, language_id=language, version=1, text=text)
        self._client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def close(self, uri: str) -> None:
        """Close a document."""
        identifier = types.TextDocumentIdentifier(uri)
        self._client.text_document_did_close(types.DidCloseTextDocumentParams(identifier))

    def change(self, buffer: Buffer, start: int, end: int, text: str) -> Buffer:
        """Replace the text between two indices of `buffer`, and return the new buffer."""
        self._client.text_document_did_change(buffer.change(start, end, text))
        return buffer.edited(start, end, text)

    def ask(self, method: str, params: Any) -> tuple[str, "Future[Any]"]:
        """Send a request, and return its id and the future answer."""
        number = str(uuid.uuid4())
        return number, self._client.protocol.send_request(method, params, msg_id=number)

    def cancel(self, number: str) -> None:
        """Cancel the request with this id."""
        self._client.cancel_request(types.CancelParams(id=number))

    async def stay(self, seconds: float, until: "asyncio.Future[Any] | None" = None) -> None:
        """Wait for `seconds` or for `until`; raises `ProtocolError` if the server ends meanwhile."""
        if self._process is None:
            raise ProtocolError("The server was not started.")
        ending = asyncio.ensure_future(self._process.wait())
        waited = {ending, until} if until else {ending}
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            raise ProtocolError(self._why_ended(self._process.returncode))
        ending.cancel()

    async def popup(self, uri: str, line: int, character: int) -> types.CompletionList:
        """Request pop-up items at a line and a character, both counted from 0, the character in UTF-8 bytes."""
        params = types.CompletionParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
        answer = await self._ask(self._client.text_document_completion_async(params))
        if not isinstance(answer, types.CompletionList):
            raise ProtocolError("The server did not answer with a completion list.")
        return answer

    async def ghost(self, uri: str, line: int, character: int) -> list[types.InlineCompletionItem]:
        """Request ghost text at a line and a character, counted as for `popup`."""
        params = types.InlineCompletionParams(
            context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
            text_document=types.TextDocumentIdentifier(uri),
            position=types.Position(line, character),
        )
        answer = await self._ask(self._client.text_document_inline_completion_async(params))
        return list(answer.items if isinstance(answer, types.InlineCompletionList) else answer or [])

    async def command(self, name: str) -> Any:
        """Run one of the server's commands."""
        params = types.ExecuteCommandParams(command=name)
        return await self._ask(self._client.workspace_execute_command_async(params))

    def log(self) -> str:
        """Return the server's standard error so far."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def _listen(self) -> None:
        self._client.feature(NOTIFICATION)(lambda params: self._take_status(params))
        self._client.feature(USAGE)(lambda params: self._take_usage(params))
        self._client.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda params: self._register(params))
        self._client.feature(types.CLIENT_UNREGISTER_CAPABILITY)(lambda params: self._unregister(params))
        self._client.feature(types.WINDOW_SHOW_MESSAGE)(lambda params: self._take_message(params))

    def _take_status(self, params: Any) -> None:
        values = {name: getattr(params, name) for name in ("state", "message", "model")}
        self._on_status(values)
        if values["state"] in (State.READY, State.FAILED) and self._settled and not self._settled.done():
            self._settled.set_result(values)

    def _register(self, params: types.RegistrationParams) -> None:
        for registration in params.registrations:
            self.registered[registration.method] = registration.register_options

    def _unregister(self, params: types.UnregistrationParams) -> None:
        for unregistration in params.unregisterations:
            self.registered.pop(unregistration.method, None)

    def _take_usage(self, params: Any) -> None:
        names = ("ahead", "prompt_tokens", "cached_tokens", "completion_tokens")
        self._on_usage(params.id, {name: getattr(params, name) for name in names})

    def _take_message(self, params: types.ShowMessageParams) -> None:
        self.messages.append(params.message)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Settle as failed when the process ends by itself."""
        code = await process.wait()
        if self._settled and not self._settled.done():
            self._settled.set_result({"state": State.FAILED, "message": self._why_ended(code)})

    async def _ask(self, request: Any) -> Any:
        if self._process is None:
            raise ProtocolError("The server was not started.")
        asking = asyncio.ensure_future(request)
        ending = asyncio.ensure_future(self._process.wait())
        await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not asking.done():
            asking.cancel()
            raise ProtocolError(self._why_ended(self._process.returncode))
        try:
            return asking.result()
        except Exception as error:
            raise ProtocolError(f"The server answered with an error: {error}") from error

    def _why_ended(self, code: int | None) -> str:
        lines = self.log().strip().splitlines()
        return f"The server ended with exit code {code}" + (f": {lines[-1]}" if lines else ".")
