"""Replays of typing: keys that make the file, clients that ask as editors do, figures that hide no bad answer."""

import json
import random
import shlex
import sys
import uuid
from concurrent.futures import Future
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from lsprotocol.types import InlineCompletionItem

from shardline.errors import SettingsError
from shardline.lsp.client.buffer import Buffer
from shardline.lsp.client.editor import Editor
from shardline.lsp.client.profiles import VSCODE
from shardline.measure.output import Files
from shardline.measure.typing.keystrokes import Keystroke, keystrokes
from shardline.measure.typing.outcomes import Outcome, Record, Request
from shardline.measure.typing.passages import Passage, passages
from shardline.measure.typing.replay import Script, replay
from shardline.measure.typing.summary import percentile, report
from shardline.measure.typing.typist import Session
from shardline.settings import GenerationSettings, ModelSettings, Settings
from shardline.statistics.store import Store

pytestmark = pytest.mark.slow

PARTS = ["answered", "unanswered", "cancelled", "superseded", "failed"]
CODE = "".join(
    f"def area_{number}(width, height):\n    if width < {number}:\n        return None\n    return width * height\n\n\n"
    for number in range(12)
)
PEER = Path(__file__).with_name("peer_server.py")
SCRIPTED = Path(__file__).parent.parent / "lsp" / "scripted_server.py"

code = st.text(st.sampled_from("ab\t :({\n\n    é🎉"), max_size=80)
blocks = st.lists(st.sampled_from(["if a:", "    call(b)", "        é = 🎉", "", "", "\tc"]), max_size=12).map(
    "\n".join
)


def typed(text: str, before: str, seed: int) -> list[Keystroke]:
    return list(keystrokes(text, before, speed=5, chance=random.Random(seed)))  # noqa: S311


@given(text=code, before=code, seed=st.integers(0, 99))
def test_the_keys_make_exactly_the_text(text: str, before: str, seed: int) -> None:
    made = ""
    for key in typed(text, before, seed):
        assert key.delay > 0
        assert key.erase or key.text
        made = made[: len(made) - key.erase] + key.text
        assert made[: key.done] == text[: key.done]
    assert made == text


def test_the_same_seed_presses_the_same_keys_and_another_one_others() -> None:
    assert typed(CODE, "", 1) == typed(CODE, "", 1)
    assert typed(CODE, "", 1) != typed(CODE, "", 2)


def test_a_person_makes_mistakes_pauses_at_new_lines_and_leaves_indenting_to_the_editor() -> None:
    keys = typed(CODE, "", 0)
    assert any(key.erase and not key.text for key in keys)
    assert any(key.text == "\n    " for key in keys)
    firsts = [key.delay for last, key in pairwise(keys) if last.text.startswith("\n")]
    assert sum(firsts) / len(firsts) > 2 * sum(key.delay for key in keys) / len(keys)


def test_passages_are_parts_of_the_file_with_its_end_or_without() -> None:
    parts = passages(CODE, random.Random(0))  # noqa: S311
    tails = set()
    for passage in islice(parts, 20):
        assert CODE.startswith(passage.head + passage.text)
        assert CODE.rstrip() == (passage.head + passage.text + passage.tail).rstrip() or not passage.tail
        tails.add(bool(passage.tail))
    assert tails == {True, False}


def test_percentiles_are_values_that_were_measured() -> None:
    values = [4.0, 1.0, 3.0, 2.0]
    assert [percentile(values, percent) for percent in (1, 50, 75, 95, 99)] == [1.0, 2.0, 3.0, 4.0, 4.0]
    assert percentile([], 50) is None


def test_figures_count_what_each_key_cost_and_what_was_known() -> None:
    requests = {
        "a": Request(keystroke=1, pressed=0.0, outcome=Outcome.SHOWN, seconds=0.1),
        "b": Request(keystroke=2, pressed=0.0, outcome=Outcome.SHOWN, seconds=0.3),
        "c": Request(keystroke=2, pressed=0.0, outcome=Outcome.CANCELLED),
    }
    record = Record(requests=requests, keystrokes=3, tells_usage=True)
    for number, read in (("b", 9), ("b", 1), ("c", 5), ("of somebody else", 99)):
        usage = {"prompt_tokens": 20 + read, "cached_tokens": 20, "completion_tokens": 2}
        record.spent(number, {"ahead": False, **usage})
    record.spent("a", {"ahead": True, "prompt_tokens": 7, "cached_tokens": 7, "completion_tokens": 0})
    figures = report(record)
    assert figures["known_share"] == 0.5
    assert figures["tokens_computed_per_keystroke"] == {"median": 0, "p95": 21}
    assert figures["prompt_tokens_computed_per_keystroke"] == {"median": 0, "p95": 15}
    assert figures["latency_ms"] == {"p50": 100, "p90": 300, "p95": 300, "p99": 300}


class KnowingEditor(Editor):
    """An editor whose server knows the file: it answers at once with what comes next, and no time passes."""

    def __init__(self, whole: str, chance: random.Random) -> None:
        super().__init__([])
        self._whole = whole
        self._chance = chance
        self.buffer: Buffer

    async def stay(self, seconds: float, until: Any = None) -> None:
        pass

    def change(self, buffer: Buffer, start: int, end: int, text: str) -> Buffer:
        self.buffer = buffer.edited(start, end, text)
        return self.buffer

    def ask(self, *_: Any) -> tuple[str, "Future[Any]"]:
        answer: Future[Any] = Future()
        right = self._whole.startswith(self.buffer.text[: self.buffer.cursor])
        rest = self._whole[self.buffer.cursor :] if right else ""
        length = rest.find("\n") + self._chance.randint(1, 4)  # often within a margin, or behind a blank line
        answer.set_result([InlineCompletionItem(insert_text=rest[:length])])
        return uuid.uuid4().hex, answer


MARGINS = "if a:\n    call(b)\n\n        call(c)\n\n    call(b)\n\n    call(d)"


class Eager(random.Random):
    """Accepts whatever is right."""

    def random(self) -> float:
        return 0.0


@given(
    text=st.just(MARGINS) | blocks,
    head=blocks.map("{}\n".format),
    tail=st.sampled_from(["", "\nend"]),
    seed=st.integers(0, 99),
)
async def test_whatever_is_accepted_the_document_is_the_file_in_the_end(
    text: str, head: str, tail: str, seed: int
) -> None:
    passage, record = Passage(head=head, text=text, tail=tail), Record()
    editor = KnowingEditor(head + text, random.Random(seed))  # noqa: S311
    editor.buffer = Buffer(uri="u", language="python", text=head + tail, cursor=len(head), encoding="utf-16")
    session = Session(editor, VSCODE, record, triggers="", max_keystrokes=10_000, speed=5, chance=Eager())
    await session.type(passage, typed(text, head, seed), editor.buffer)
    assert editor.buffer.text == head + text + tail
    assert len(record.requests) == record.keystrokes
    event("accepted" if record.accepted else "not accepted")


class Replayed:
    """Replays `CODE` quickly, and knows the figures."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "code.py"
        self.file.write_text(CODE)
        self.json = folder / "figures.json"
        self.plot = folder / "figures.png"
        self.code = 0

    def __call__(self, server: Path | None, *arguments: str, settings: Settings | None = None, **how: Any) -> Any:
        command = None if server is None else shlex.join([sys.executable, str(server), *arguments])
        defaults = {"keystrokes": 40, "seed": 3, "client": "vscode", "speed": 200.0, "answer_seconds": 1.0}
        script = Script(file=self.file, server=command, **{**defaults, **how})
        self.code = replay(script, settings or Settings(), Files(json=self.json, plot=self.plot))
        figures = json.loads(self.json.read_text())
        assert figures["requests"] == sum(figures[part] for part in PARTS)
        assert figures["answered"] == sum(figures[part] for part in ("shown", "empty", "stale", "untrue"))
        assert self.plot.read_bytes().startswith(b"\x89PNG")
        return figures

    def peer(self, mode: str, **how: Any) -> Any:
        return self(PEER, mode, str(self.file), **how)


@pytest.fixture
def replayed(tmp_path: Path) -> Replayed:
    return Replayed(tmp_path)


@pytest.mark.parametrize("client", ["vscode", "neovim", "popup"])
def test_the_real_server_is_true_to_the_document_and_answers_each_client(
    replayed: Replayed, client: str, tiny_folder: Path, own_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(model=ModelSettings(name=str(tiny_folder)), generation=GenerationSettings(max_tokens=4))
    figures = replayed(None, settings=settings, client=client, answer_seconds=30.0)
    assert replayed.code == 0
    assert figures["keystrokes"] == 40
    assert figures["answered"] > 0
    assert figures["untrue"] == figures["unanswered"] == figures["failed"] == 0
    assert figures["known_share"] is None or 0 <= figures["known_share"] <= 1
    tokens = figures["tokens_computed_per_keystroke"]
    assert 0 <= tokens["median"] <= tokens["p95"]
    assert "untrue" in capsys.readouterr().out
    assert not own_store.file.exists()  # nobody has typed


def test_right_suggestions_are_shown_accepted_and_typed_over(replayed: Replayed) -> None:
    figures = replayed.peer("right", keystrokes=150, speed=30.0)
    assert replayed.code == 0
    assert figures["untrue"] == 0
    assert figures["shown"] > figures["accepted"] > 0
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]


def test_a_server_that_does_not_tell_has_no_tokens(replayed: Replayed) -> None:
    figures = replayed.peer("right")
    assert figures["known_share"] is None
    assert figures["tokens_computed_per_keystroke"] == {"median": None, "p95": None}


def test_a_lie_is_counted(replayed: Replayed) -> None:
    figures = replayed.peer("lies", client="neovim")
    assert figures["untrue"] == figures["answered"] > 0
    assert figures["latency_ms"]["p50"] is None


def test_silence_is_counted(replayed: Replayed) -> None:
    figures = replayed.peer("silent")
    assert figures["unanswered"] == 1  # the editor has cancelled all others
    assert figures["cancelled"] == figures["requests"] - 1
    assert replayed.peer("silent", client="neovim")["unanswered"] > 0


def test_errors_are_counted_by_what_they_say(replayed: Replayed) -> None:
    failing, outdated = (replayed.peer(mode, client="neovim") for mode in ("fails", "outdated"))
    assert failing["failed"] == failing["requests"] > 0
    assert outdated["superseded"] == outdated["requests"] > 0


def test_a_server_that_dies_is_told_and_its_figures_stay(
    replayed: Replayed, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = replayed.peer("dies", keystrokes=2000)
    assert replayed.code == 1
    assert figures["unanswered"] > 0
    assert 3 <= figures["keystrokes"] < 2000
    assert "exit code 7" in capsys.readouterr().out


def test_a_server_that_cannot_be_started_is_told(replayed: Replayed, capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(file=replayed.file, server="/no/such/server", keystrokes=1, seed=0, client="popup", speed=1.0)
    assert replay(script, Settings(), Files()) == 1
    assert "/no/such/server cannot be started" in capsys.readouterr().out


def test_vs_code_asks_at_each_key_and_a_pop_up_behind_words_and_neither_it_nor_neovim_cancels(
    replayed: Replayed,
) -> None:
    vscode, neovim, popup = (replayed(SCRIPTED, client=client) for client in ("vscode", "neovim", "popup"))
    assert vscode["requests"] == vscode["keystrokes"] == 40
    assert neovim["cancelled"] == popup["cancelled"] == 0
    assert popup["requests"] < popup["keystrokes"]
    assert popup["known_share"] == 0


@pytest.mark.parametrize(
    ("content", "client", "named"),
    [(" \n", "vscode", "nothing to type"), ("x", "emacs", "--client: there is no emacs"), (b"\xff", "vscode", "text")],
)
def test_what_cannot_be_replayed_is_told(tmp_path: Path, content: Any, client: str, named: str) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match=named):
        replay(Script(file=file, keystrokes=1, seed=0, client=client, speed=1.0), Settings(), Files())
