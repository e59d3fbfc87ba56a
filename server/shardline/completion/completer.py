"""The way of a suggestion: join the running one or begin anew, generate, stop where it should end, trim."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from shardline.completion import Source, Suggestion, context, shape, trim
from shardline.engine import Engine, FinishReason, Request
from shardline.errors import SupersededError
from shardline.settings import Settings


@dataclass(frozen=True)
class _Key:
    """What two requests must share to be answered by one suggestion."""

    document: str
    line: int
    column: int
    prefix: str
    suffix: str


class _Running:
    """A suggestion being made, and how many are waiting for it."""

    def __init__(self, key: _Key, task: "asyncio.Task[Suggestion]") -> None:
        self.key = key
        self.task = task
        self.waiting = 0


class Completer:
    """Makes suggestions, at most one at a time for each document; the newest request wins.

    Without `healing` or `trimming` it shows what these are worth: `shardline eval` compares.
    """

    def __init__(self, engine: Engine, settings: Settings, *, healing: bool = True, trimming: bool = True) -> None:
        self._engine = engine
        self._healing = healing
        self._trimming = trimming
        self.settings = settings
        self._running: dict[str, _Running] = {}

    async def suggest(self, source: Source) -> Suggestion:
        """Suggest what could follow the cursor.

        Raises `SupersededError` when a newer request for the same document arrives, and `EngineError`.
        Cancelling the task ends the generation, unless another request waits for the same one.
        """
        running = self._join_or_begin(source)
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        except asyncio.CancelledError:
            if running.task.cancelled() and not _being_cancelled():
                raise SupersededError("A newer request came.") from None
            raise
        finally:
            running.waiting -= 1
            if not running.waiting:
                running.task.cancel()
                if self._running.get(source.document) is running:
                    del self._running[source.document]

    def cancel(self, document: str) -> None:
        """End what is running for `document`; those who wait are told that it was superseded."""
        running = self._running.pop(document, None)
        if running:
            running.task.cancel()

    def cancel_all(self) -> None:
        """End everything that is running."""
        for document in list(self._running):
            self.cancel(document)

    def _join_or_begin(self, source: Source) -> _Running:
        prefix, suffix = context.window(source)
        key = _Key(source.document, source.line, source.column, prefix, suffix)
        running = self._running.get(source.document)
        if running and running.key == key and not running.task.done():
            return running
        self.cancel(source.document)
        task = asyncio.create_task(self._generate(source, prefix, suffix))
        running = self._running[source.document] = _Running(key, task)
        return running

    async def _generate(self, source: Source, prefix: str, suffix: str) -> Suggestion:
        wish = self.settings.generation
        request = Request(
            document=source.document,
            prefix=prefix,
            suffix=suffix,
            infilling=self.settings.completion.infilling,
            healing=self._healing,
            max_tokens=wish.max_tokens,
            temperature=wish.temperature,
            top_p=wish.top_p,
            top_k=wish.top_k,
            seed=wish.seed,
            stop=(*shape.stop_sequences(source, self.settings.completion), *wish.stop),
        )
        text, usage = "", None
        end = shape.End(source, self.settings.completion)
        async with aclosing(self._engine.complete(request)) as stream:
            async for chunk in stream:
                text += chunk.text
                usage = chunk.usage
                at = end.find(text, finished=chunk.finish_reason is not None)
                if at is not None:
                    text = text[:at]
                    break
                if chunk.finish_reason is FinishReason.LENGTH:
                    text = shape.whole_lines(text)
        text, repeats = trim.trim(source, text) if self._trimming else (text, ())
        return Suggestion(text=text, repeats=repeats, usage=usage)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
