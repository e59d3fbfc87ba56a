"""Drafts: what may come next, guessed from what was written before, so that several tokens are read at once.

Prompt lookup (Saxena 2023): where the last tokens stood before, what followed them then is guessed to follow again.
"""

from collections.abc import Sequence

SIZES = (3, 2)
"""How many tokens must agree: the longer match is tried first."""

GUESSES = 3
"""How many tokens are guessed: with the one before them four, which packed weights multiply at once."""

LONGEST_PAUSE = 32


class Draft:
    """Guesses tokens, and falls silent for a while where it is wrong.

    `text` are the tokens that may be repeated; those just before the first to be guessed are at its end. With none,
    nothing is ever guessed.
    """

    def __init__(self, text: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}
        """For tokens that agree, where what followed them the last time begins."""
        self._pause, self._silent = 1, 0
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
        if self._silent:
            self._silent -= 1
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
        """Take into account that of `guessed` tokens the first `right` were right."""
        if not guessed:
            return
        if right == 0:
            self._silent = self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        else:
            self._pause = 1
