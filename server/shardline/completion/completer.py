"""Scheduling of suggestions: cached, joined or generated."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from shardline.completion import Source, Suggestion
from shardline.completion.cache import SuggestionCache
from shardline.completion.code import embedding
from shardline.completion.position import CLOSERS, Position
from shardline.completion.prefetch import Prefetch
from shardline.completion.stream import Stream
from shardline.completion.writer import Writer
from shardline.engine import Engine, Usage
from shardline.errors import SupersededError
from shardline.settings import Settings


class Origin(StrEnum):
    """The source of an answer."""

    KNOWN = "known"
    """The cache: made for this position, or for one before the text typed since."""
    JOINED = "joined"
    """A stream that was running already."""
    GENERATED = "generated"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The suggestions for one request, best first; not `finished` if the time budget ended before the last line."""

    suggestions: list[Suggestion]
    origin: Origin
    finished: bool = True


class _Turn:
    """The latest position requested in a document; `over` is done when another position is requested."""

    def __init__(self, document: str, position: Position, count: int) -> None:
        self.document = document
        self.position = position
        self.count = count
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Completer:
    """Suggestions for at most one cursor at a time in each document; the newest request wins.

    `healing` and `trimming` can be turned off to measure their effect: `shardline eval` compares. `on_usage` receives
    the usage of each candidate, finished or not, and whether it was prefetched, in the context of its request.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        healing: bool = True,
        trimming: bool = True,
        on_usage: Callable[[Usage, bool], None] = lambda _usage, _prefetched: None,
    ) -> None:
        self._engine = engine
        self._healing = healing
        self._trimming = trimming
        self._on_usage = on_usage
        self._settings = settings
        self._known = SuggestionCache()
        self._turns: dict[str, _Turn] = {}
        self._streams: dict[str, Stream] = {}
        self._prefetch = Prefetch()

    @property
    def settings(self) -> Settings:
        """The settings in use; a change clears the cache and restarts running streams."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        if settings != self._settings:
            self._known.clear()
            self._prefetch.stop()
            for document in list(self._streams):
                self._drop(document)
        self._settings = settings

    async def suggest(self, source: Source) -> Suggestion:
        """Return the finished suggestion for the cursor, without debounce or time budget; see `answer`."""
        return (await self._answer(source, 1, delay=0.0, budget=None)).suggestions[0]

    async def answer(self, source: Source, *, by_hand: bool = False) -> Answer:
        """Return what could follow the cursor; `by_hand`, up to `completion.candidates` texts without debounce.

        A suggestion in the making for `completion.timeBudget` is answered with its complete lines, and goes on. Without
        a complete line, the first one is waited for.

        Raises `EngineError`, and `SupersededError` when a request for another position in the document arrives.
        Cancelling the task ends the generation, unless another request waits for it or an agreeing key was typed.
        """
        options = self.settings.completion
        if by_hand:
            answer = await self._answer(source, options.candidates, delay=0.0, budget=None)
        else:
            delay, budget = options.debounce / 1000, options.time_budget / 1000
            answer = await self._answer(source, 1, delay=delay, budget=budget)
        self._schedule_prefetch(source, answer)
        return answer

    def ready(self, source: Source) -> Suggestion | None:
        """Return the complete lines so far of the running suggestion for the cursor, or None."""
        stream = self._streams.get(source.document)
        return stream.ready_at(Position.of(source)) if stream else None

    def follow(self, source: Source) -> None:
        """Cancel the document's stream, unless it may go on as the document now does."""
        stream = self._streams.get(source.document)
        if stream is None:
            return
        positions = [Position.of(source)]
        if source.before.endswith(tuple(CLOSERS.values())):
            positions.append(Position.of(source.moved(-1)))  # the editor may have closed what was typed
        for position in positions:
            if stream.leads_to(position, stream.count):
                stream.join(position)
                return
        self.cancel(source.document)

    async def warm(self, source: Source) -> None:
        """Prefill around the cursor if nothing else runs; raises `EngineError`."""
        if self.settings.completion.warm and not self._streams and not self._prefetch.is_running:
            await self._writer(source, Position.of(source)).warm()

    def close_document(self, document: str) -> None:
        """Cancel the work for a document that was closed and drop its suggestions."""
        self.cancel(document)
        self._prefetch.stop_for(document)
        self._known.drop(document)

    def cancel(self, document: str) -> None:
        """Cancel the work for `document`; its waiters get `SupersededError`."""
        self._end_turn(document)
        self._drop(document)

    def cancel_all(self) -> None:
        """Cancel all work."""
        for document in [*self._streams, *self._turns]:
            self.cancel(document)
        self._prefetch.stop()

    async def _answer(self, source: Source, count: int, *, delay: float, budget: float | None) -> Answer:
        turn = self._take_turn(source, count)
        known = self._known.find(turn.document, turn.position) if count == 1 else None
        if known:
            return Answer(suggestions=[known], origin=Origin.KNOWN)
        if delay and turn.document not in self._streams:
            await asyncio.wait({turn.over}, timeout=delay)
        origin = Origin.JOINED
        while not turn.over.done():
            stream = self._find_stream(turn)
            if stream is None:
                stream, origin = self._begin(source, turn), Origin.GENERATED
            ready = await stream.wait(turn.position, turn.over, budget)
            if turn.over.done():
                break
            if ready and (lines := stream.lines):
                self._known.add(turn.document, stream.made_for, lines)  # answers while the user types on
                return Answer(suggestions=[ready], origin=origin, finished=False)
            if stream.task.cancelled():
                continue  # its text disagreed with what was typed
            suggestions = stream.task.result()
            if stream.made_for == turn.position:
                return Answer(suggestions=suggestions, origin=origin)
            if left := self._known.find(turn.document, turn.position):
                return Answer(suggestions=[left], origin=origin)
        raise SupersededError("A newer request came.")

    def _take_turn(self, source: Source, count: int) -> _Turn:
        """Return the turn of this position; end the document's other turn, and its stream if it does not lead here."""
        position = Position.of(source)
        turn = self._turns.get(source.document)
        if turn is None or (turn.position, turn.count) != (position, count):
            self._end_turn(source.document)
            turn = self._turns[source.document] = _Turn(source.document, position, count)
            stream = self._streams.get(source.document)
            if stream and stream.leads_to(position, count):
                stream.join(position)
            elif stream:
                self._drop(source.document)
        return turn

    def _end_turn(self, document: str) -> None:
        if turn := self._turns.pop(document, None):
            turn.over.set_result(None)

    def _find_stream(self, turn: _Turn) -> Stream | None:
        """Return the document's stream or the prefetched one if it leads to this position."""
        stream = self._streams.get(turn.document)
        if stream and stream.leads_to(turn.position, turn.count):
            return stream
        self._drop(turn.document)
        if stream := self._prefetch.take(turn.document, turn.position, turn.count):
            stream.join(turn.position)
            self._adopt(turn.document, stream)
        return stream

    def _begin(self, source: Source, turn: _Turn) -> Stream:
        stream = self._open(source, turn.position, turn.count)
        self._adopt(turn.document, stream)
        return stream

    def _adopt(self, document: str, stream: Stream) -> None:
        def release(_: object) -> None:
            if self._streams.get(document) is stream:
                del self._streams[document]

        self._streams[document] = stream
        stream.task.add_done_callback(release)

    def _drop(self, document: str) -> None:
        if stream := self._streams.pop(document, None):
            stream.end()

    def _open(self, source: Source, position: Position, count: int, *, prefetched: bool = False) -> Stream:
        writer = self._writer(source, position)

        async def work(on_growth: Callable[[], None]) -> list[Suggestion]:
            try:
                suggestions = await writer.several(count, on_growth)
                self._known.add(source.document, position, suggestions[0])
                return suggestions
            finally:
                for usage in writer.usages.values():
                    self._on_usage(usage, prefetched)

        return Stream(position, count, writer, work, kept=prefetched)

    def _writer(self, source: Source, position: Position) -> Writer:
        return Writer(
            self._engine,
            self.settings,
            embedding.at_cursor(source),
            prefix=position.prefix,
            suffix=position.suffix,
            healing=self._healing,
            trimming=self._trimming,
        )

    def _schedule_prefetch(self, source: Source, answer: Answer) -> None:
        """Prefetch what would follow the acceptance of the shown suggestion."""
        shown = answer.suggestions[0]
        if not (self.settings.completion.prepare and shown.text and answer.finished):
            return
        accepted = source.accepting(shown)
        position = Position.of(accepted)
        if self._known.find(source.document, position) is None:
            self._prefetch.schedule(
                source.document, position, lambda: self._open(accepted, position, 1, prefetched=True)
            )
