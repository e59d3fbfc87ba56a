"""Requests and their answers: a cached, a running or a new suggestion."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from shardline.completion import Source, Suggestion
from shardline.completion.cache import SuggestionCache
from shardline.completion.code import embedding
from shardline.completion.position import CLOSERS, Place
from shardline.completion.prefetch import Ahead
from shardline.completion.stream import Stream
from shardline.completion.writer import Writer
from shardline.engine import Engine, Usage
from shardline.errors import SupersededError
from shardline.settings import Settings


class Origin(StrEnum):
    """Where an answer came from."""

    KNOWN = "known"
    """It was made before: for this place, or for one before what was typed of it."""
    JOINED = "joined"
    """It was being made already."""
    GENERATED = "generated"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The suggestions for one request, the best first; not `finished` where there was no time for more lines."""

    suggestions: list[Suggestion]
    origin: Origin
    finished: bool = True


class _Turn:
    """The place in a document that was asked for last; `over` when another one is."""

    def __init__(self, document: str, place: Place, count: int) -> None:
        self.document = document
        self.place = place
        self.count = count
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Completer:
    """Makes suggestions, at most for one cursor at a time in each document; the newest request wins.

    Without `healing` or `trimming` it shows what these are worth: `shardline eval` compares. `on_usage` is told what
    each candidate has cost that was begun, finished or not, within the context of the request that it was begun for,
    and whether it was made ahead, which no request has asked for.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        healing: bool = True,
        trimming: bool = True,
        on_usage: Callable[[Usage, bool], None] = lambda _usage, _ahead: None,
    ) -> None:
        self._engine = engine
        self._healing = healing
        self._trimming = trimming
        self._on_usage = on_usage
        self._settings = settings
        self._known = SuggestionCache()
        self._turns: dict[str, _Turn] = {}
        self._streams: dict[str, Stream] = {}
        self._ahead = Ahead()

    @property
    def settings(self) -> Settings:
        """What is wished; other wishes make other suggestions: those known are forgotten, those begun begin anew."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        if settings != self._settings:
            self._known.clear()
            self._ahead.stop()
            for document in list(self._streams):
                self._drop(document)
        self._settings = settings

    async def suggest(self, source: Source) -> Suggestion:
        """Suggest what could follow the cursor, when it is finished; see `answer`."""
        return (await self._answer(source, 1, delay=0.0, budget=None)).suggestions[0]

    async def answer(self, source: Source, *, by_hand: bool = False) -> Answer:
        """Suggest what could follow the cursor; `by_hand`, several and without delay.

        When a suggestion has been made for as long as `completion.timeBudget`, what is ready is the answer, in complete
        lines, and the rest goes on to be made. Where no line is complete by then, the first one is waited for.

        Raises `SupersededError` when a request for another place in the document arrives, and `EngineError`. Cancelling
        the task ends the generation, unless another request waits for the same one, or a key was typed that agrees.
        """
        options = self.settings.completion
        if by_hand:
            answer = await self._answer(source, options.candidates, delay=0.0, budget=None)
        else:
            delay, budget = options.debounce / 1000, options.time_budget / 1000
            answer = await self._answer(source, 1, delay=delay, budget=budget)
        self._look_ahead(source, answer)
        return answer

    def ready(self, source: Source) -> Suggestion | None:
        """Return the complete lines so far of the suggestion that is being made for the cursor, if there are any."""
        stream = self._streams.get(source.document)
        return stream.ready_at(Place.of(source)) if stream else None

    def follow(self, source: Source) -> None:
        """Take the document's new state: end its stream unless that may go on."""
        stream = self._streams.get(source.document)
        if stream is None:
            return
        places = [Place.of(source)]
        if source.before.endswith(tuple(CLOSERS.values())):
            places.append(Place.of(source.moved(-1)))  # the editor may have closed what was typed
        for place in places:
            if stream.leads_to(place, stream.count):
                stream.join(place)
                return
        self.cancel(source.document)

    async def warm(self, source: Source) -> None:
        """Let the engine read ahead around the cursor, unless it has to answer; raises `EngineError`."""
        if self.settings.completion.warm and not self._streams and not self._ahead.works:
            await self._writer(source, Place.of(source)).warm()

    def close_document(self, document: str) -> None:
        """Cancel the work for a document that was closed and drop its suggestions."""
        self.cancel(document)
        self._ahead.stop_for(document)
        self._known.drop(document)

    def cancel(self, document: str) -> None:
        """End what is running for `document`; waiters get `SupersededError`."""
        self._end_turn(document)
        self._drop(document)

    def cancel_all(self) -> None:
        """End everything that is running."""
        for document in [*self._streams, *self._turns]:
            self.cancel(document)
        self._ahead.stop()

    async def _answer(self, source: Source, count: int, *, delay: float, budget: float | None) -> Answer:
        turn = self._take_turn(source, count)
        known = self._known.find(turn.document, turn.place) if count == 1 else None
        if known:
            return Answer(suggestions=[known], origin=Origin.KNOWN)
        if delay and turn.document not in self._streams:
            await asyncio.wait({turn.over}, timeout=delay)
        origin = Origin.JOINED
        while not turn.over.done():
            stream = self._find_stream(turn)
            if stream is None:
                stream, origin = self._begin(source, turn), Origin.GENERATED
            ready = await stream.wait(turn.place, turn.over, budget)
            if turn.over.done():
                break
            if ready and (lines := stream.lines):
                self._known.add(turn.document, stream.made_for, lines)  # known while it is typed and the rest is made
                return Answer(suggestions=[ready], origin=origin, finished=False)
            if stream.task.cancelled():
                continue  # its text was not how typing went on
            suggestions = stream.task.result()
            if stream.made_for == turn.place:
                return Answer(suggestions=suggestions, origin=origin)
            if left := self._known.find(turn.document, turn.place):
                return Answer(suggestions=[left], origin=origin)
        raise SupersededError("A newer request came.")

    def _take_turn(self, source: Source, count: int) -> _Turn:
        """Take the turn of this position: end the document's other request, and a stream that does not lead here."""
        place = Place.of(source)
        turn = self._turns.get(source.document)
        if turn is None or (turn.place, turn.count) != (place, count):
            self._end_turn(source.document)
            turn = self._turns[source.document] = _Turn(source.document, place, count)
            stream = self._streams.get(source.document)
            if stream and stream.leads_to(place, count):
                stream.join(place)
            elif stream:
                self._drop(source.document)
        return turn

    def _end_turn(self, document: str) -> None:
        if turn := self._turns.pop(document, None):
            turn.over.set_result(None)

    def _find_stream(self, turn: _Turn) -> Stream | None:
        """Return the document's stream that leads here, or the prefetched one."""
        stream = self._streams.get(turn.document)
        if stream and stream.leads_to(turn.place, turn.count):
            return stream
        self._drop(turn.document)
        if stream := self._ahead.take(turn.document, turn.place, turn.count):
            stream.join(turn.place)
            self._adopt(turn.document, stream)
        return stream

    def _begin(self, source: Source, turn: _Turn) -> Stream:
        stream = self._open(source, turn.place, turn.count)
        self._adopt(turn.document, stream)
        return stream

    def _adopt(self, document: str, stream: Stream) -> None:
        def let_go(_: object) -> None:
            if self._streams.get(document) is stream:
                del self._streams[document]

        self._streams[document] = stream
        stream.task.add_done_callback(let_go)

    def _drop(self, document: str) -> None:
        if stream := self._streams.pop(document, None):
            stream.end()

    def _open(self, source: Source, place: Place, count: int, *, ahead: bool = False) -> Stream:
        writer = self._writer(source, place)

        async def work(on_growth: Callable[[], None]) -> list[Suggestion]:
            try:
                suggestions = await writer.several(count, on_growth)
                self._known.add(source.document, place, suggestions[0])
                return suggestions
            finally:
                for usage in writer.usages.values():
                    self._on_usage(usage, ahead)

        return Stream(place, count, writer, work, kept=ahead)

    def _writer(self, source: Source, place: Place) -> Writer:
        return Writer(
            self._engine,
            self.settings,
            embedding.at_cursor(source),
            prefix=place.prefix,
            suffix=place.suffix,
            healing=self._healing,
            trimming=self._trimming,
        )

    def _look_ahead(self, source: Source, answer: Answer) -> None:
        """Prepare what would follow the acceptance of what is shown now."""
        shown = answer.suggestions[0]
        if not (self.settings.completion.prepare and shown.text and answer.finished):
            return
        accepted = source.accepting(shown)
        place = Place.of(accepted)
        if self._known.find(source.document, place) is None:
            self._ahead.prepare(source.document, place, lambda: self._open(accepted, place, 1, ahead=True))
