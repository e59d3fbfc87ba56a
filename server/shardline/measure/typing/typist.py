"""Typist: types in real time, asks as an editor, accepts right text."""

import asyncio
import random
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any

from shardline.lsp.client.buffer import Buffer
from shardline.lsp.client.edit import Edit
from shardline.lsp.client.editor import Editor
from shardline.lsp.client.profiles import ENDED, Client
from shardline.measure.typing.keystrokes import Keystroke
from shardline.measure.typing.outcomes import Outcome, Record, Request
from shardline.measure.typing.passages import Passage

ACCEPTED = 0.3
"""The share of right suggestions that are accepted; over the others one types on."""

WORTH_ACCEPTING = 4
"""Shorter ones, in characters, are sooner typed than read."""

REACTION = 2.0
"""Time to read a suggestion and accept it, in times of an average key."""


class Session:
    """Types in `editor`, at most `most` keys, as one does who uses `client`; writes `record`.

    `triggers` are the characters behind which the server wants to be asked.
    """

    def __init__(
        self,
        editor: Editor,
        client: Client,
        record: Record,
        *,
        triggers: str,
        max_keystrokes: int,
        speed: float,
        chance: random.Random,
        on_keystroke: Callable[[], None] = lambda: None,
    ) -> None:
        self._editor = editor
        self._client = client
        self._record = record
        self._triggers = triggers
        self._max_keystrokes = max_keystrokes
        self._speed = speed
        self._chance = chance
        self._on_keystroke = on_keystroke
        self._newest = ""  # the id of the request that was sent last
        self._waiting: dict[str, Future[Any]] = {}
        self._asking: asyncio.TimerHandle | None = None
        self._shown: Edit | None = None
        self._read = ""  # the document as the suggestion would make it that was read last

    def is_over(self) -> bool:
        """Whether all keys were pressed."""
        return self._record.keystrokes >= self._max_keystrokes

    async def type(self, passage: Passage, keys: Iterable[Keystroke], buffer: Buffer) -> None:
        """Type a passage into `buffer`, which has its head and tail; raises `ProtocolError` where the server ends."""
        self._buffer, self._shown = buffer, None
        begin = len(passage.head)
        stands = typed = begin  # the document is right up to `stands`; the keys would have made it up to `typed`
        overtaken = -1  # what a suggestion brought, to here
        for key in keys:
            place = begin + key.done
            if place > overtaken:
                if self.is_over():
                    return
                await self._editor.stay(key.delay)
                if await self._accepts(passage):
                    stands = overtaken = self._buffer.cursor
                    if self.is_over():
                        return
                    await self._editor.stay(key.delay)
            if place > overtaken:
                wrong = self._buffer.cursor - stands
                self._press(erase=min(key.erase, wrong), text=key.text[max(0, overtaken - typed) :])
                stands = place
            typed = place

    async def settle(self, seconds: float) -> None:
        """Ask what is still to be asked, and wait for all answers, but no longer than `seconds`."""
        if self._asking:
            await self._editor.stay(self._client.pause)
        if self._waiting:
            answers = asyncio.gather(*map(asyncio.wrap_future, self._waiting.values()), return_exceptions=True)
            await self._editor.stay(seconds, answers)
            answers.cancel()

    async def _accepts(self, passage: Passage) -> bool:
        """Read what is shown, if it is new, and accept it perhaps, if it is right."""
        made = self._made_right(passage)
        if made is None or made.text == self._read or made.cursor - self._buffer.cursor < WORTH_ACCEPTING:
            return False
        self._read = made.text
        if self._chance.random() >= ACCEPTED:
            return False
        await self._editor.stay(REACTION / self._speed)
        if self._shown is None or self._made_right(passage) is None:
            return False  # it has changed meanwhile
        start, end, text = self._shown.applied(self._buffer)
        self._buffer = self._editor.change(self._buffer, start, end, text)
        self._record.accepted += 1
        self._ask_after("")
        return True

    def _made_right(self, passage: Passage) -> Buffer | None:
        """Return the document with the shown suggestion in it; None where the file has other text."""
        if self._shown is None or not self._shown.fits_now(self._buffer):
            return None
        made = self._buffer.edited(*self._shown.applied(self._buffer))
        right = (passage.head + passage.text).startswith(made.text[: made.cursor])
        return made if right and made.text[made.cursor :] == passage.tail else None

    def _press(self, *, erase: int, text: str) -> None:
        cursor = self._buffer.cursor
        self._buffer = self._editor.change(self._buffer, cursor - erase, cursor, text)
        self._ask_after(text)

    def _ask_after(self, typed: str) -> None:
        """Ask as the client does after a key typed this text."""
        self._record.keystrokes += 1
        self._on_keystroke()
        if self._client.cancels and self._newest in self._waiting:
            self._editor.cancel(self._newest)
            self._record.requests[self._newest].outcome = Outcome.CANCELLED
            del self._waiting[self._newest]
        if self._asking:
            self._asking.cancel()
            self._asking = None
        if self._client.asks(typed, self._triggers):
            loop = asyncio.get_running_loop()
            request = Request(keystroke=self._record.keystrokes, pressed=loop.time())
            if self._client.pause:
                self._asking = loop.call_later(self._client.pause, self._ask, request)
            else:
                self._ask(request)

    def _ask(self, request: Request) -> None:
        self._asking = None
        self._newest, answer = self._editor.ask(self._client.method, self._client.params(self._buffer))
        self._record.requests[self._newest], self._waiting[self._newest] = request, answer
        answer.add_done_callback(partial(self._take, self._newest, self._buffer))

    def _take(self, number: str, asked: Buffer, answer: "Future[Any]") -> None:
        """Judge an answer by the document as it is now."""
        if self._waiting.pop(number, None) is None or answer.cancelled():
            return
        request = self._record.requests[number]
        request.seconds = asyncio.get_running_loop().time() - request.pressed
        if error := answer.exception():
            request.outcome = Outcome.SUPERSEDED if getattr(error, "code", 0) in ENDED else Outcome.FAILED
            return
        edit = self._client.edit(answer.result(), asked)
        if edit is None:
            request.outcome = Outcome.EMPTY if number == self._newest else Outcome.SUPERSEDED
        elif not edit.fits:
            request.outcome = Outcome.UNTRUE
        elif not edit.fits_now(self._buffer):
            request.outcome = Outcome.STALE
        else:
            request.outcome, self._shown = Outcome.SHOWN, edit
