"""Requests and what answers them: what is known already, the suggestion that is being made, or a new one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from shardline.completion import Source, Suggestion, context
from shardline.completion.cache import SuggestionCache
from shardline.completion.writer import Writer
from shardline.engine import Engine, Usage
from shardline.errors import SupersededError
from shardline.settings import Settings


@dataclass(frozen=True)
class _Key:
    """What two requests must share to be answered by the same suggestions."""

    document: str
    line: int
    column: int
    prefix: str
    suffix: str
    count: int


class _Running:
    """Suggestions being made, and how many are waiting for them."""

    def __init__(self, key: _Key, task: "asyncio.Task[list[Suggestion]]") -> None:
        self.key = key
        self.task = task
        self.waiting = 0


class Completer:
    """Makes suggestions, at most for one cursor at a time in each document; the newest request wins.

    Without `healing` or `trimming` it shows what these are worth: `shardline eval` compares. `on_usage` is told what
    each candidate has cost that was begun, finished or not, within the context of the request that it was begun for.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        healing: bool = True,
        trimming: bool = True,
        on_usage: Callable[[Usage], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._healing = healing
        self._trimming = trimming
        self._on_usage = on_usage
        self._settings = settings
        self._known = SuggestionCache()
        self._running: dict[str, _Running] = {}

    @property
    def settings(self) -> Settings:
        """What is wished; other wishes make other suggestions, so that those known are forgotten."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        if settings != self._settings:
            self._known.clear()
        self._settings = settings

    async def suggest(self, source: Source) -> Suggestion:
        """Suggest what could follow the cursor.

        Raises `SupersededError` when a newer request for the same document arrives, and `EngineError`.
        Cancelling the task ends the generation, unless another request waits for the same one.
        """
        return (await self._suggest(source, 1))[0]

    async def suggest_several(self, source: Source) -> list[Suggestion]:
        """Suggest `completion.candidates` different texts, or as many as there are, the best first; see `suggest`."""
        return await self._suggest(source, self.settings.completion.candidates)

    async def warm(self, source: Source) -> None:
        """Let the engine read ahead around the cursor, unless it has to answer; raises `EngineError`."""
        if self.settings.completion.warm and not self._running:
            await self._writer(source, *context.window(source)).warm()

    def forget(self, document: str) -> None:
        """Free what is known of a document that was closed, and end what is running for it."""
        self.cancel(document)
        self._known.forget(document)

    def cancel(self, document: str) -> None:
        """End what is running for `document`; those who wait are told that it was superseded."""
        running = self._running.pop(document, None)
        if running:
            running.task.cancel()

    def cancel_all(self) -> None:
        """End everything that is running."""
        for document in list(self._running):
            self.cancel(document)

    async def _suggest(self, source: Source, count: int) -> list[Suggestion]:
        prefix, suffix = context.window(source)
        known = self._known.find(source.document, prefix, suffix) if count == 1 else None
        if known:
            self.cancel(source.document)
            return [known]
        running = self._join_or_begin(source, prefix, suffix, count)
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

    def _join_or_begin(self, source: Source, prefix: str, suffix: str, count: int) -> _Running:
        key = _Key(source.document, source.line, source.column, prefix, suffix, count)
        running = self._running.get(source.document)
        if running and running.key == key and not running.task.done():
            return running
        self.cancel(source.document)
        task = asyncio.create_task(self._generate(source, prefix, suffix, count))
        running = self._running[source.document] = _Running(key, task)
        return running

    def _writer(self, source: Source, prefix: str, suffix: str) -> Writer:
        return Writer(
            self._engine,
            self.settings,
            source,
            prefix=prefix,
            suffix=suffix,
            healing=self._healing,
            trimming=self._trimming,
        )

    async def _generate(self, source: Source, prefix: str, suffix: str, count: int) -> list[Suggestion]:
        writer = self._writer(source, prefix, suffix)
        try:
            suggestions = await writer.several(count)
            self._known.add(source.document, prefix, suffix, suggestions[0])
            return suggestions
        finally:
            for usage in writer.usages.values():
                self._on_usage(usage)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
