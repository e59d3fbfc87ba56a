"""Client of the engine process that a user's language servers share."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from shardline.engine import Chunk, Engine, Progress, Report, Request, serialization
from shardline.engine.plan import Plan
from shardline.engine.shared import control, launcher, registry
from shardline.engine.shared.h11_client import Connection
from shardline.engine.shared.registry import Entry
from shardline.errors import AwayError, EngineError, NotReadyError, ShardlineError
from shardline.settings import Settings

TRIES = 3
"""Attempts for a request whose engine is lost before its first chunk."""

AWAY_SECONDS = 60.0
"""How long a request waits for a lost engine to be loaded again."""


class SharedEngine:
    """The engine process for these settings of the model, which may run already or is started.

    While it is lost, requests wait until it is loaded again. After `silence` seconds without a line it is killed.
    """

    def __init__(self, settings: Settings, *, silence: float = control.SILENCE_SECONDS) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._settings = settings
        self._silence = silence
        self._path = f"/engine/clients/{secrets.token_hex(8)}"
        self._state: Mapping[str, Any] = {}  # as last reported by the engine when ready
        self._found: asyncio.Future[Entry] = loop.create_future()
        self._lost: asyncio.Future[ShardlineError] = loop.create_future()
        self._following: asyncio.Task[None] | None = None
        self._left: Entry | None = None  # the engine that still has to hear that this client left
        self._connections: set[Connection] = set()
        self._free: list[Connection] = []  # the idle ones
        self._forgetting: set[asyncio.Task[None]] = set()

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:
        """Find or start the engine and wait until it is ready; raises `EngineError`."""
        try:
            entry = await launcher.find_or_start(self._settings, beside.placement if beside else None, report)
            self._left = entry
            ready: asyncio.Future[None] = self._loop.create_future()
            self._following = asyncio.create_task(self._follow(entry, report, ready))
            await ready
        except ShardlineError as error:
            self._lose(error)
            raise
        except asyncio.CancelledError:
            self.close()
            raise
        if self._found.done():
            self._found = self._loop.create_future()
        self._lost = self._loop.create_future()
        self._found.set_result(entry)

    async def wait_lost(self) -> ShardlineError:
        """Wait until the engine is lost and return the reason."""
        return await asyncio.shield(self._lost)

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream the completion; raises `EngineError`. Only `wait_lost` reports the loss of the engine."""
        asked = "POST", f"{self._path}/complete", {"request": serialization.write(request)}
        for tries_left in reversed(range(TRIES)):
            has_begun = False
            try:
                async with self._connected() as connection, aclosing(connection.lines(*asked)) as lines:
                    async for values in lines:
                        _check(values)
                        has_begun = True
                        yield serialization.read(values, Chunk)
                return
            except AwayError as error:
                if has_begun or not tries_left:
                    raise NotReadyError(str(error)) from error

    async def warm(self, request: Request) -> None:
        """Prefill the prompt of `request` ahead; raises `EngineError`."""
        await self._post("warm", request=serialization.write(request))

    def forget(self, document: str) -> None:
        """Free the KV cache of a closed document; a lost engine has none."""
        if self._found.done():
            task = asyncio.create_task(self._forget(document))
            self._forgetting.add(task)
            task.add_done_callback(self._forgetting.discard)

    @property
    def infills(self) -> bool:
        """Whether the model supports infilling; False until it is loaded."""
        return bool(self._state.get("infills"))

    @property
    def placement(self) -> Plan | None:
        """The plan of the model; None until it is loaded."""
        placement = self._state.get("placement")
        return Plan.from_json(placement) if placement else None

    def close(self) -> None:
        """Leave the engine, which ends after its last client has left."""
        if not self._loop.is_closed():  # else the connections end with this process
            self._lose(NotReadyError("The model was closed."))

    async def wait_closed(self) -> None:
        """Wait until the engine knows that this client has left."""
        if leaving := [task for task in (self._following, *self._forgetting) if task]:
            await asyncio.wait(leaving)
        if self._left:
            await control.leave(self._left, self._path)
            self._left = None

    async def _follow(self, entry: Entry, report: Report, ready: "asyncio.Future[None]") -> None:
        """Stay a client of the engine until it is lost."""
        error: ShardlineError = AwayError("The engine has ended.")
        try:
            try:
                await self._receive_states(entry, report, ready)
            except TimeoutError:
                self._withdraw()  # pending requests go to the next engine
                error = await self._kill(entry)
        except ShardlineError as reason:
            error = reason
        self._left = None  # an engine that has ended needs no notice
        if isinstance(error, AwayError):
            error = AwayError(f"{error} It is started again; its log is {registry.log_file(entry.id)}.")
        if ready.done():
            self._lose(error)
        else:
            ready.set_exception(error)

    async def _receive_states(self, entry: Entry, report: Report, ready: "asyncio.Future[None]") -> None:
        """Receive the states of the engine until it ends; raises `TimeoutError` if it hangs."""
        connection = await control.within(self._silence, Connection.open(entry))
        async with aclosing(connection.lines("GET", self._path)) as states:
            while state := await control.within(self._silence, _next(states)):
                _check(state)
                if state["ready"]:
                    self._state = state
                    if not ready.done():
                        ready.set_result(None)
                elif "progress" in state:
                    report(serialization.read(state["progress"], Progress))

    async def _kill(self, entry: Entry) -> ShardlineError:
        """Kill the engine, which hangs; returns the error to report."""
        ended = await control.kill(entry)
        result = "was killed" if ended else f"its process {entry.pid} cannot be killed"
        return AwayError(f"The engine said nothing for {self._silence:g} seconds, and {result}.")

    def _lose(self, error: ShardlineError) -> None:
        """Mark the engine as lost: requests wait for another one, or raise `error` if none will come."""
        if self._following:
            self._following.cancel()
        self._withdraw()
        if not isinstance(error, AwayError):
            self._found.set_exception(error)
            self._found.exception()  # else asyncio logs it as never retrieved
        if not self._lost.done():
            self._lost.set_result(error)

    def _withdraw(self) -> None:
        """Abort all pending requests; later ones wait for the next engine."""
        if self._found.done():
            self._found = self._loop.create_future()
        for connection in self._connections:
            connection.abort()
        self._connections.clear()
        self._free.clear()

    async def _connect(self) -> Connection:
        found = self._found
        try:
            async with asyncio.timeout(AWAY_SECONDS):
                entry = await asyncio.shield(found)
                while self._free:
                    connection = self._free.pop()
                    if connection.is_free:
                        return connection
                    self._drop(connection)
                connection = await Connection.open(entry)
        except TimeoutError:
            raise NotReadyError("The engine has ended, and no other is there yet.") from None
        self._connections.add(connection)
        if found is not self._found:
            self._drop(connection)
            raise AwayError("The engine was lost.")
        return connection

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        connection.close()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Connection, None]:
        connection = await self._connect()
        try:
            yield connection
        finally:
            if connection.is_free and connection in self._connections:
                self._free.append(connection)
            else:
                self._drop(connection)

    async def _post(self, action: str, **asked: Any) -> None:
        async with self._connected() as connection:
            _check(await connection.ask("POST", f"{self._path}/{action}", asked))

    async def _forget(self, document: str) -> None:
        with contextlib.suppress(EngineError):
            await self._post("forget", document=document)


async def _next(values: AsyncGenerator[Any, None]) -> Any:
    """Return the next of `values`, or None at their end."""
    return await anext(values, None)


def _check(values: Any) -> None:
    """Raise the error in the engine's answer, if there is one."""
    if "error" in values:
        raise serialization.read_error(values)
