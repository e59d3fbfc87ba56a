"""Engine over a remote server, with local prompts and stop sequences."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar

from shardline.engine import Chunk, Engine, Progress, Report, Request, never_lost
from shardline.engine.plan import Plan
from shardline.engine.remote.answer_stream import MALFORMED, GrammarIgnored, answer, no_completion
from shardline.engine.remote.detection import Served, infills, recognize
from shardline.engine.remote.dialect import Dialect
from shardline.engine.remote.http_client import UNKNOWN, Connection
from shardline.engine.remote.llama_cpp import LlamaCpp
from shardline.engine.remote.ollama import Ollama
from shardline.engine.remote.openai import OpenAI
from shardline.engine.remote.prompts import MAX_CHARACTERS_PER_TOKEN, Ids, Text
from shardline.engine.remote.shardline import Shardline
from shardline.engine.remote.tokenizer_match import find_codec
from shardline.engine.remote.vllm import SGLang, Vllm
from shardline.errors import NotReadyError, RemoteRefusedError, ShardlineError
from shardline.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


class RemoteEngine:
    """The server of `settings.remote`; `settings.model` may name the same model for its tokenizer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._dialect: Dialect | None = None
        self._heals = True  # until the server ignores or refuses a grammar
        self._warming: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "shardline-prompts")  # encoding would block the event loop for too long

    async def load(self, report: Report, *, beside: Engine | None = None) -> None:  # noqa: ARG002  takes no memory
        """Detect the server's kind and abilities; raises `EngineError`, and `AwayError` if it does not answer."""
        await self.wait_closed()  # of the previous attempt
        connection = self._connection = Connection(self._settings.remote)
        report(Progress(activity=f"Asking {connection.root}"))
        try:
            served = await recognize(connection, self._settings.remote)
        except MALFORMED as error:
            raise no_completion(connection) from error
        self._dialect = await self._choose(connection, served, report)

    async def wait_lost(self) -> ShardlineError:
        """Wait for ever: each request tries a server that was away again."""
        return await never_lost()

    async def complete(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """Stream the completion; raises `EngineError`."""
        connection, dialect = self._loaded()
        self._stop_warming()
        while True:
            tried = replace(request, healing=request.healing and self._heals)
            question = await self._in_thread(dialect.question, tried)
            try:
                async with aclosing(answer(connection, dialect, question, request)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            except GrammarIgnored:
                self._heals = False
            except RemoteRefusedError as error:
                if error.status not in UNKNOWN:
                    raise
                if question.removed:
                    self._heals = False
                elif not dialect.learn(tried):
                    raise

    async def warm(self, request: Request) -> None:
        """Let the server prefill the prompt of `request`; raises `EngineError`."""
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
        """Do nothing: the server knows no documents."""

    @property
    def infills(self) -> bool:
        """Whether the model supports infilling; False until it is loaded."""
        return self._dialect is not None and self._dialect.infills

    @property
    def placement(self) -> Plan | None:
        """None: no layer is on this machine."""
        return None

    def close(self) -> None:
        """Refuse further requests; running streams end with the tasks that read them."""
        self._dialect = None
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def wait_closed(self) -> None:
        """Close the connections."""
        connection, self._connection = self._connection, None
        if connection:
            await connection.close()

    async def _choose(self, connection: Connection, served: Served, report: Report) -> Dialect:
        """Return the dialect of the server, with the best prompts it accepts."""
        tokens = min(self._settings.model.context_tokens, served.context_tokens or self._settings.model.context_tokens)
        text = Text(tokens)
        if served.kind == "shardline":
            await connection.get("/health")  # fails until its model is loaded
            return Shardline(Text(tokens, characters_per_token=MAX_CHARACTERS_PER_TOKEN), infills=served.takes_suffix)
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
            raise NotReadyError("The remote server is not connected.")
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
