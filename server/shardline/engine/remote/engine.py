"""The engine over a server elsewhere: our prompts, our stop rules, and a stream that is closed when they say so."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from shardline.engine import Chunk, Engine, Progress, Report, Request, never_lost
from shardline.engine.remote.answer_stream import NO_ANSWER, NotHeld, answer, no_completion
from shardline.engine.remote.detection import Served, infills, recognize
from shardline.engine.remote.dialect import Dialect
from shardline.engine.remote.http_client import UNKNOWN, Connection
from shardline.engine.remote.llama_cpp import LlamaCpp
from shardline.engine.remote.ollama import Ollama
from shardline.engine.remote.openai import OpenAI
from shardline.engine.remote.prompts import LONGEST, Ids, Text
from shardline.engine.remote.shardline import Shardline
from shardline.engine.remote.tokenizer_match import find_codec
from shardline.engine.remote.vllm import SGLang, Vllm
from shardline.errors import NotReadyError, RemoteRefusedError, ShardlineError
from shardline.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


class RemoteEngine:
    """Has `settings.remote` complete; `settings.model` says what is known here of the model there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._dialect: Dialect | None = None
        self._heals = True  # until the server has shown that it cannot hold an answer to a grammar
        self._warming: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "shardline-prompts")  # encoding takes longer than a loop may stand still

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:  # noqa: ARG002  takes no room
        """Find out what the server is and what it can; raises `EngineError`, and `AwayError` where it is not there."""
        await self.wait_closed()  # of the attempt before
        connection = self._connection = Connection(self._settings.remote)
        report(Progress(activity=f"Asking {connection.root}"))
        try:
            served = await recognize(connection, self._settings.remote)
        except NO_ANSWER as error:
            raise no_completion(connection) from error
        self._dialect = await self._choose(connection, served, report)

    async def wait_lost(self) -> ShardlineError:
        """Never: who asks a server that is away is told so, and the next one is asked again."""
        return await never_lost()

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream what follows the prefix; raises `EngineError`."""
        connection, dialect = self._loaded()
        self._stop_warming()
        while True:
            asked = replace(request, healing=request.healing and self._heals)
            question = await self._in_thread(dialect.question, asked)
            try:
                async with aclosing(answer(connection, dialect, question, request)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except NotHeld:
                self._heals = False
            except RemoteRefusedError as error:
                if error.status not in UNKNOWN:
                    raise
                if question.removed:
                    self._heals = False
                elif not dialect.learn(asked):
                    raise

    async def warm(self, request: Request) -> None:
        """Let the server read the prompt of `request`; raises `EngineError`."""
        connection, dialect = self._loaded()
        self._stop_warming()
        question = await self._in_thread(dialect.reading, request)
        if question is None:
            return
        reading = self._warming = asyncio.ensure_future(_drain(connection.events(question.path, question.body)))
        try:
            await asyncio.wait({reading})
        finally:
            reading.cancel()
        if not reading.cancelled():
            reading.result()

    def forget(self, document: str) -> None:
        """The server knows of no documents."""

    @property
    def infills(self) -> bool:
        """Whether the model can be shown what follows the cursor; False until it is known."""
        return self._dialect is not None and self._dialect.infills

    @property
    def placement(self) -> Mapping[str, Any]:
        """Nothing lies on this machine."""
        return {}

    def close(self) -> None:
        """Ask no more; what is being streamed ends with the tasks that wait for it."""
        self._dialect = None
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def wait_closed(self) -> None:
        """Close the connections."""
        connection, self._connection = self._connection, None
        if connection:
            await connection.close()

    async def _choose(self, connection: Connection, served: Served, report: Report) -> Dialect:
        """The way to speak to the server, with the best prompts that it can be sent."""
        tokens = min(self._settings.model.context_tokens, served.context_tokens or self._settings.model.context_tokens)
        text = Text(tokens)
        if served.kind == "shardline":
            await connection.get("/health")  # which fails until its model is loaded
            return Shardline(Text(tokens, characters_per_token=LONGEST), infills=served.takes_suffix)
        if served.kind == "openai":
            return OpenAI(served.model, text, infills=served.takes_suffix)
        if served.kind == "ollama":
            return Ollama(served.model, text, infills=await infills(connection, served))
        codec = await find_codec(connection, served, self._settings, report, self._thread)
        prompts = Ids(codec, tokens) if codec else text
        if served.kind == "vllm":
            return Vllm(served.model, prompts)
        if served.kind == "sglang":
            return SGLang(served.model, prompts)
        return LlamaCpp(prompts, infills=codec is None and await infills(connection, served))

    def _loaded(self) -> tuple[Connection, Dialect]:
        if self._connection is None or self._dialect is None:
            raise NotReadyError("The server has not been asked what it is.")
        return self._connection, self._dialect

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, functools.partial(work, *args, **kwargs))

    def _stop_warming(self) -> None:
        if self._warming:
            self._warming.cancel()
        self._warming = None


async def _drain(messages: AsyncGenerator[Any, None]) -> None:
    async with aclosing(messages):
        async for _ in messages:
            pass
