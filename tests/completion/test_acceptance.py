"""What is counted of suggestions: each once, however it is typed, accepted and told of, and what is kept of it."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardline.completion import Source, Suggestion
from shardline.completion.acceptance.shown import FEW
from shardline.completion.acceptance.survival import remains
from shardline.completion.acceptance.tracker import AcceptanceTracker
from shardline.statistics.counts import ACCEPTED, CHARACTERS, KEPT, Key, Label, figures

LABEL = Label("python", "model", "ghost")
BODY = "total = 0\n    for value in values:\n        total += value\n    return total"


def size(text: str) -> int:
    """Characters that are not blank."""
    return len("".join(text.split()))


class Typist:
    """Types into one document and sees to what a client would tell of it."""

    def __init__(self, text: str, ending: str = "\n") -> None:
        self.before, _, self.after = text.partition("|")
        self.ending = ending
        self.sums: Counter[str] = Counter()
        self.tracker = AcceptanceTracker(self._count)

    def _count(self, label: Label, name: str, amount: int) -> None:
        assert label == LABEL
        self.sums[name] += amount

    @property
    def source(self) -> Source:
        *lines, last = (self.before + self.after).split("\n")
        line, column = self.before.count("\n"), len(self.before.rpartition("\n")[2])
        endings = [line + self.ending for line in lines]
        return Source(document="d", language="python", lines=[*endings, last], line=line, column=column)

    def show(self, *texts: str, repeats: tuple[int, ...] = ()) -> int:
        return self.tracker.show(self.source, [Suggestion(text=text, repeats=repeats) for text in texts], LABEL, 5.0)

    def put(self, text: str, overwritten: int = 0) -> None:
        """One edit."""
        self.before, self.after = self.before + text, self.after[overwritten:]
        self.tracker.follow("d", self.source.lines, len(text.replace("\n", self.ending)))

    def erase(self, count: int) -> None:
        self.before = self.before[: len(self.before) - count]
        self.tracker.follow("d", self.source.lines, 0)

    def type(self, text: str, rest: str) -> None:
        """Key by key, and at each one the rest is answered."""
        for at, letter in enumerate(text):
            self.put(letter)
            if left := (text + rest)[at + 1 :]:
                self.show(left)

    def counted(self) -> tuple[int, int, int, int]:
        """Shown, accepted, characters and kept once the document is closed."""
        self.tracker.close("d")
        shown = figures((Key("2026-11-24", *LABEL, name), amount) for name, amount in self.sums.items()).shown
        return shown, self.sums[ACCEPTED], self.sums[CHARACTERS], self.sums[KEPT]


def accept_by_change(typist: Typist, number: int, rest: str) -> None:
    typist.put(rest)


def accept_by_command(typist: Typist, number: int, rest: str) -> None:
    typist.tracker.accept(number, 0)


def change_then_command(typist: Typist, number: int, rest: str) -> None:
    typist.put(rest)
    typist.tracker.accept(number, 0)


def command_then_change(typist: Typist, number: int, rest: str) -> None:
    typist.tracker.accept(number, 0)
    typist.put(rest)


places = st.sampled_from(["|", "x = |", "def f(a):\n    |", "if a:\n    |\n\nprint(b)", "f(|)\n", "🎉|é\n"])
texts = st.text(st.sampled_from("ab(\n =é🎉"), min_size=1, max_size=30)
endings = st.sampled_from(["\n", "\r\n"])
ways = st.sampled_from([accept_by_change, change_then_command, command_then_change])


@given(place=places, text=texts, ending=endings)
def test_what_is_typed_through_is_shown_once_and_never_accepted(place: str, text: str, ending: str) -> None:
    typist = Typist(place, ending)
    typist.show(text)
    typist.type(text, "")
    assert typist.counted() == (1, 0, 0, 0)


@given(place=places, typed=texts, rest=texts.filter(lambda rest: len(rest.strip()) >= FEW), ending=endings, way=ways)
def test_in_whatever_way_it_is_accepted_it_counts_once_and_only_for_what_was_not_typed(
    place: str, typed: str, rest: str, ending: str, way: Callable[[Typist, int, str], None]
) -> None:
    typist = Typist(place, ending)
    number = typist.show(typed + rest)
    typist.type(typed, rest)
    way(typist, number, rest)
    shown, accepted, characters, kept = typist.counted()
    assert (shown, accepted, characters) == (1, 1, size(rest))
    assert kept == characters


def test_a_client_that_tells_nothing_else_is_believed() -> None:
    typist = Typist("x = |")
    accept_by_command(typist, typist.show("f(x)"), "")
    assert typist.counted() == (1, 1, 4, 0)


def test_commands_count_once_and_garbage_not_at_all() -> None:
    typist = Typist("x = |")
    number = typist.show("f(x)")
    for wrong in ((number + 1, 0), (number, 1), (number, -1), (-1, 0)):
        typist.tracker.accept(*wrong)
    assert typist.sums[ACCEPTED] == 0
    typist.tracker.accept(number, 0)
    typist.tracker.accept(number, 0)
    assert typist.counted()[:3] == (1, 1, 4)


def test_another_suggestion_is_another_one() -> None:
    typist = Typist("x = |")
    typist.show("first")
    typist.show("second")
    typist.put("fo")
    typist.show("o")
    typist.put("o")
    typist.show("third")
    assert typist.counted() == (4, 0, 0, 0)


def test_a_suggestion_before_another_text_is_another_one() -> None:
    typist = Typist("f(|, b)")
    typist.show("a")
    typist.after = ")"
    typist.show("a")
    assert typist.counted() == (2, 0, 0, 0)


def test_what_is_typed_after_the_last_answer_is_not_accepted_where_the_change_tells_it() -> None:
    typist = Typist("x = |")
    number = typist.show("values")
    typist.put("v")
    change_then_command(typist, number, "alues")
    assert typist.counted() == (1, 1, 5, 5)


def test_a_suggestion_that_grows_or_is_shown_again_after_backspace_is_the_same() -> None:
    typist = Typist("x = |")
    typist.show("values")
    typist.put("v")
    typist.show("alues.sort()")
    typist.put("x")
    typist.show("other")
    typist.erase(1)
    typist.show("alues.sort()")
    typist.put("alues.sort()")
    assert typist.counted() == (2, 1, 12, 12)


def test_of_a_word_and_a_line_that_are_accepted_the_characters_count_and_once() -> None:
    typist = Typist("    |\n")
    typist.show(BODY)
    typist.put("total")
    typist.show(BODY[5:])
    typist.erase(5)
    typist.put("total")
    typist.type(" = ", BODY[8:])
    typist.put("0\n    for value in values:")
    shown, accepted, characters, kept = typist.counted()
    assert (shown, accepted) == (1, 0)
    assert characters == kept == size("total") + size("0 for value in values:")


def test_accepted_word_by_word_to_the_end_it_is_accepted() -> None:
    typist = Typist("|")
    typist.show("return total")
    typist.put("return")
    typist.show(" total")
    typist.put(" total")
    assert typist.counted() == (1, 1, 11, 11)


@pytest.mark.parametrize("brought", ["()", '""', "\n    "])
def test_what_one_key_may_bring_is_typed(brought: str) -> None:
    typist = Typist("def f|")
    typist.show(f"{brought}x")
    typist.put(brought)
    assert typist.counted() == (1, 0, 0, 0)


def test_several_keys_in_one_message_are_typed() -> None:
    typist = Typist("|")
    typist.show("values")
    typist.before += "values"
    typist.tracker.follow("d", typist.source.lines, 1)
    assert typist.counted() == (1, 0, 0, 0)


def test_a_pop_up_item_that_is_put_in_by_steps_counts_once() -> None:
    typist = Typist("x = enu|")
    number = typist.show("merate(names)")
    typist.put("merate")
    typist.erase(9)
    typist.put("enumerate(names)")
    typist.tracker.accept(number, 0)
    assert typist.counted() == (1, 1, 13, 13)


def test_an_item_that_an_editor_puts_in_letter_by_letter_counts_by_its_command() -> None:
    typist = Typist("x = |")
    number = typist.show("values()")
    typist.put("v")
    typist.show("alues()")
    typist.before += "alues()"
    typist.tracker.follow("d", typist.source.lines, 1)
    typist.tracker.accept(number, 0)
    assert typist.counted() == (1, 1, 7, 7)


def test_brackets_that_the_editor_had_closed_are_overwritten() -> None:
    typist = Typist("f(|)\n")
    typist.show("alpha);", repeats=(5,))
    typist.put("al")
    typist.show("pha);", repeats=(3,))
    typist.put("pha);", overwritten=1)
    assert typist.counted() == (1, 1, 5, 5)


def test_the_candidate_that_was_chosen_counts() -> None:
    typist = Typist("x = |")
    number = typist.show("first", "second()", "third")
    typist.put("second()")
    typist.tracker.accept(number, 1)
    assert typist.counted() == (1, 1, 8, 8)


def test_what_is_erased_before_the_second_look_is_not_kept_and_what_is_settled_stays_so() -> None:
    typist = Typist("    |\n")
    typist.show(BODY)
    typist.put(BODY)
    typist.tracker.settle()
    assert typist.sums[CHARACTERS] == 0
    typist.erase(len("\n    return total"))
    typist.tracker.settle()
    assert typist.tracker.is_settled
    assert typist.sums[KEPT] == size(BODY) - size("return total")
    typist.erase(len(BODY) - len("\n    return total"))
    typist.put(BODY)
    assert typist.counted() == (1, 1, size(BODY), size(BODY) - size("return total"))


@pytest.mark.parametrize("end", [AcceptanceTracker.settle, AcceptanceTracker.close_all])
def test_of_two_accepted_words_none_waits_for_a_third_look(end: Callable[[AcceptanceTracker], None]) -> None:
    typist = Typist("|")
    typist.show("return total")
    typist.put("return")
    typist.tracker.settle()
    typist.put(" total")
    end(typist.tracker)
    assert typist.tracker.is_settled
    assert typist.sums[CHARACTERS] == typist.sums[KEPT] == 11


def solid(text: str) -> set[int]:
    return {place for place, letter in enumerate(text) if not letter.isspace()}


@given(text=texts, before=texts, after=texts)
def test_a_text_that_still_stands_remains_whole_however_it_is_indented_now(text: str, before: str, after: str) -> None:
    lines = [f"{line}\n" for line in f"{before}{text}{after}".replace("\n", "\n  ").split("\n")]
    assert remains(text, lines, before.count("\n"), 0) == solid(text)


@given(text=texts, now=texts)
def test_no_more_remains_than_there_was(text: str, now: str) -> None:
    assert remains(text, now.splitlines(keepends=True), 0, 0) <= solid(text)
    assert remains(text, [], 0, 0) == set()


def test_what_remains_is_found_where_it_was_moved_and_edited_but_not_far_away() -> None:
    text = "return compute(alpha, beta)"
    assert remains(text, ["import x\n", "\n", f"    {text}\n"], 0, 0) == solid(text)
    assert remains(text, ["return compute(alpha, gamma)\n"], 0, 0) == solid("return compute(alpha, ")
    assert remains(text, ["other()\n"] * 99 + [text], 0, 0) == set()
    assert remains(text, ["x" * 50_000 + text], 0, 0) == set()


steps = st.one_of(
    st.tuples(st.just("show"), texts, st.integers(0, 2)),
    st.tuples(st.just("put"), texts, st.integers(0, 2)),
    st.tuples(st.just("erase"), st.just(""), st.integers(0, 9)),
    st.tuples(st.just("accept"), st.just(""), st.integers(1, 4)),
    st.tuples(st.just("look"), st.just(""), st.just(0)),
)


@given(place=places, ending=endings, happenings=st.lists(steps, max_size=20))
def test_whatever_happens_no_more_is_accepted_than_shown_and_no_more_kept_than_accepted(
    place: str, ending: str, happenings: list[tuple[str, str, int]]
) -> None:
    typist = Typist(place, ending)
    for what, text, number in happenings:
        match what:
            case "show":
                typist.show(text, repeats=tuple(range(min(number, len(text)))))
            case "put":
                typist.put(text, number)
            case "erase":
                typist.erase(number)
            case "accept":
                typist.tracker.accept(number, 0)
            case _:
                typist.tracker.settle()
    shown, accepted, characters, kept = typist.counted()
    assert 0 <= accepted <= shown
    assert 0 <= kept <= characters
