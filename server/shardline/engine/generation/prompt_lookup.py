"""Drafts for speculative decoding, looked up in the prompt."""

from collections.abc import Sequence
from typing import Protocol

SIZES = (4, 2)
"""How many tokens must match, longest first."""

GUESSES = 3
"""Tokens in a draft: with the one before them four, which packed weights multiply at once."""

MAX_PAUSE = 32
"""Tokens that a draft stays silent for at most."""


class Draft(Protocol):
    """A guesser of the tokens that follow a growing text."""

    def add(self, token: int) -> None:
        """Append the next token of the text."""

    def guess_after(self, token: int) -> list[int]:
        """Append the next token; return those that may follow it, maybe none."""

    def learn(self, guessed: int, right: int) -> None:
        """Learn that of `guessed` tokens the first `right` were right, once they have been verified."""


class Patience:
    """A backoff for drafts: a pause after each that does not pay, each time twice as long."""

    def __init__(self) -> None:
        self._pause, self._silent = 1, 0

    def is_over(self) -> bool:
        """Return whether to stay silent this time, and count it."""
        if self._silent:
            self._silent -= 1
            return True
        return False

    def learn(self, *, paid: bool) -> None:
        """Reset the pause if the draft paid; else begin one."""
        if paid:
            self._pause = 1
        else:
            self._silent = self._pause
            self._pause = min(2 * self._pause, MAX_PAUSE)


class PromptLookup:
    """A draft that repeats what followed the last tokens where they stood before (Saxena 2023).

    `text` are the tokens to search; the prompt is at their end. Without any it never guesses.
    """

    def __init__(self, text: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        """For each run of `SIZES` tokens the index behind its last occurrence."""
        self._patience = Patience()
        self._is_used = bool(text)
        for token in text:
            self.add(token)

    def add(self, token: int) -> None:
        """Append the next token of the text."""
        for size in SIZES:
            if len(self._ids) >= size:
                self._after[tuple(self._ids[-size:])] = len(self._ids)
        self._ids.append(token)

    def guess_after(self, token: int) -> list[int]:
        """Append the next token; return those that may follow it, maybe none."""
        if not self._is_used:
            return []
        self.add(token)
        if self._patience.is_over():
            return []
        for size in SIZES:
            begin = self._after.get(tuple(self._ids[-size:]))
            if begin is not None:
                return self._from(begin)
        return []

    def _from(self, begin: int) -> list[int]:
        """Return the tokens from `begin` on; at the end of the text they repeat."""
        guesses = self._ids[begin : begin + GUESSES]
        known = len(guesses)
        return [guesses[index % known] for index in range(GUESSES)]

    def learn(self, guessed: int, right: int) -> None:
        """Learn that of `guessed` tokens the first `right` were right: one is enough to pay."""
        if guessed:
            self._patience.learn(paid=right > 0)


class FirstOf:
    """Several drafts for one text: the first that guesses anything counts."""

    def __init__(self, *drafts: Draft) -> None:
        self._drafts = drafts
        self._guessers: Sequence[Draft] = drafts

    def add(self, token: int) -> None:
        """Append the next token of the text."""
        for draft in self._drafts:
            draft.add(token)

    def guess_after(self, token: int) -> list[int]:
        """Append the next token; return the first guesses there are."""
        guesses: list[int] = []
        self._guessers = self._drafts
        for draft in self._drafts:
            if guesses:
                draft.add(token)
            elif guesses := draft.guess_after(token):
                self._guessers = [draft]
        return guesses

    def learn(self, guessed: int, right: int) -> None:
        """Let the one that guessed learn, or all if none did."""
        for draft in self._guessers:
            draft.learn(guessed, right)
