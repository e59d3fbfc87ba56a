"""Drafts: what may come next, guessed cheaply, so that several tokens are read at once."""

from collections.abc import Sequence
from typing import Protocol

SIZES = (4, 2)
"""How many tokens must agree: the longer match is tried first."""

GUESSES = 3
"""How many tokens are guessed: with the one before them four, which packed weights multiply at once."""

LONGEST_PAUSE = 32


class Draft(Protocol):
    """Guesses what follows a text that grows."""

    def add(self, token: int) -> None:
        """Take the next token of the text."""

    def guess_after(self, token: int) -> list[int]:
        """Take the next token; returns those that may follow it, none where there is no telling."""

    def learn(self, guessed: int, right: int) -> None:
        """Take into account that of `guessed` tokens the first `right` were right, and that they have been read."""


class Patience:
    """Whether to guess: not for a while where it does not pay, and each time longer."""

    def __init__(self) -> None:
        self._pause, self._silent = 1, 0

    def is_over(self) -> bool:
        """Whether to stay silent this time."""
        if self._silent:
            self._silent -= 1
            return True
        return False

    def learn(self, *, paid: bool) -> None:
        """Go on if it paid; else fall silent."""
        if paid:
            self._pause = 1
        else:
            self._silent = self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)


class PromptLookup:
    """Where the last tokens stood before, what followed them then is guessed to follow again (Saxena 2023).

    `text` are the tokens that may be repeated; those just before the first to be guessed are at its end. With none,
    nothing is ever guessed.
    """

    def __init__(self, text: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        """For tokens that agree, where what followed them the last time begins."""
        self._patience = Patience()
        self._is_used = bool(text)
        for token in text:
            self.add(token)

    def add(self, token: int) -> None:
        """Take the next token of the text."""
        for size in SIZES:
            if len(self._ids) >= size:
                self._after[tuple(self._ids[-size:])] = len(self._ids)
        self._ids.append(token)

    def guess_after(self, token: int) -> list[int]:
        """Take the next token; returns those that may follow it, none where there is no telling."""
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
        """The tokens from `begin` on; at the end of the text, those guessed already are gone through again."""
        guesses = self._ids[begin : begin + GUESSES]
        known = len(guesses)
        return [guesses[number % known] for number in range(GUESSES)]

    def learn(self, guessed: int, right: int) -> None:
        """Take into account that of `guessed` tokens the first `right` were right: looking them up costs nothing."""
        if guessed:
            self._patience.learn(paid=right > 0)


class FirstOf:
    """Several drafts for one text: the first that has something to say is heard."""

    def __init__(self, *drafts: Draft) -> None:
        self._drafts = drafts
        self._heard: Sequence[Draft] = drafts

    def add(self, token: int) -> None:
        """Take the next token of the text."""
        for draft in self._drafts:
            draft.add(token)

    def guess_after(self, token: int) -> list[int]:
        """Take the next token; returns the first guesses there are."""
        guesses: list[int] = []
        self._heard = self._drafts
        for draft in self._drafts:
            if guesses:
                draft.add(token)
            elif guesses := draft.guess_after(token):
                self._heard = [draft]
        return guesses

    def learn(self, guessed: int, right: int) -> None:
        """Tell the one that was heard, or all where none was."""
        for draft in self._heard:
            draft.learn(guessed, right)
