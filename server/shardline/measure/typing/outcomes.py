"""Outcomes of the requests of a typing session."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """Outcome of a request."""

    UNANSWERED = "unanswered"
    CANCELLED = "cancelled"
    """By the editor, before there was an answer."""
    SUPERSEDED = "superseded"
    """Ended by the server: as cancelled or outdated, or with nothing when a newer one had been sent."""
    FAILED = "failed"
    """Answered with any other error."""
    EMPTY = "empty"
    """Answered: there is nothing to suggest."""
    SHOWN = "shown"
    """Answered with a suggestion that fits the document as it was when the answer came."""
    STALE = "stale"
    """Answered with one that fits the document it was asked for, but that has gone on otherwise since."""
    UNTRUE = "untrue"
    """Answered with one that does not fit the document it was asked for."""


@dataclass(kw_only=True)
class Request:
    """A request, what became of it, and the tokens that the server has read and written for it."""

    keystroke: int
    pressed: float
    outcome: Outcome = Outcome.UNANSWERED
    seconds: float = 0.0
    """From the key to the answer."""
    generated: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(kw_only=True)
class Record:
    """All requests by their ids, and how many keys were pressed, of which `accepted` took a suggestion."""

    requests: dict[str, Request] = field(default_factory=dict)
    keystrokes: int = 0
    accepted: int = 0
    tells_usage: bool = False
    """Whether the server reports usage; a request without usage was answered from earlier work."""

    def spent(self, number: str, usage: Mapping[str, int]) -> None:
        """Record the usage that the server reports for a request."""
        if request := self.requests.get(number):
            request.generated = request.generated or not usage["ahead"]
            request.prompt_tokens += usage["prompt_tokens"] - usage["cached_tokens"]
            request.completion_tokens += usage["completion_tokens"]
