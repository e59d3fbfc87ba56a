"""A draft model changes how fast tokens come and never which; it has its place in the plan, or is refused."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from torch import Tensor

from shardline.engine import Request
from shardline.engine.checkpoints import checkpoint
from shardline.engine.generation.draft_model import DraftModel, Followed
from shardline.engine.generation.prompt_lookup import GUESSES, FirstOf, PromptLookup
from shardline.engine.generation.sampling import Sampler
from shardline.engine.generation.steps import Cancelled
from shardline.engine.local.runner import Runner, caches_for
from shardline.engine.models import Model
from shardline.engine.placement import draft_placement, planner
from shardline.engine.placement.planner import Planned
from shardline.engine.plan import Plan
from shardline.errors import CheckpointError, PlacementError, SettingsError
from tests import tiny
from tests.engine.echo import WORDS, Echo, run, table
from tests.engine.tiny_runner import CODE, chunks, open_tiny, text
from tests.parsed import model_settings


class Clock:
    """Stands still but while a model works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed(Echo):
    """An echo whose passes take `seconds` each, and one hundredth more for each token."""

    def __init__(self, table: Tensor, clock: Clock, seconds: float) -> None:
        super().__init__(table)
        self._clock = clock
        self._seconds = seconds
        self.read: list[int] = []

    def forward(self, ids: Sequence[int], memory: Echo.Memory, *, every: bool = False) -> Tensor:
        self._clock.now += self._seconds * (1 + len(ids) / 100)
        self.read.append(len(ids))
        return super().forward(ids, memory, every=every)


class Counted:
    """A model whose passes are counted, and take a second each."""

    def __init__(self, model: Model[Any], clock: Clock) -> None:
        self.model = model
        self.clock = clock
        self.bytes_per_token = model.bytes_per_token
        self.passes = 0

    def new_memory(self) -> Any:
        return self.model.new_memory()

    def forward(self, ids: Sequence[int], memory: Any, *, every: bool = False) -> Tensor:
        self.passes += 1
        self.clock.now += 1
        return self.model.forward(ids, memory, every=every)

    def forward_batch(self, texts: Sequence[tuple[Sequence[int], Any]]) -> Sequence[Tensor]:
        self.passes += 1
        self.clock.now += 1
        return self.model.forward_batch(texts)

    def prepare(self, memory: Any) -> None:
        self.model.prepare(memory)


def draft(model: Echo, prompt: list[int], *, context: int = 1000, clock: Clock | None = None) -> Followed:
    small = DraftModel(model, vocabulary=WORDS, context_tokens=context, clock=clock or Clock())
    return small.follow(prompt, threading.Event())


@settings(deadline=None)
@given(
    seed=st.integers(0, 500),
    other=st.booleans(),
    prompt=st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=30),
    temperature=st.sampled_from([0.0, 1.0]),
    context=st.sampled_from([1000, 40]),
)
def test_drafted_equals_undrafted(seed: int, other: bool, prompt: list[int], temperature: float, context: int) -> None:
    clock = Clock()
    plain, drafted = Echo(table(seed, 5.0)), Timed(table(seed, 5.0), clock, 1.0)
    small = Timed(table(seed + other, 5.0), clock, 0.1)
    expected = run(plain, prompt, PromptLookup([]), Sampler(temperature=temperature, seed=1))
    model = draft(small, prompt, context=context, clock=clock)
    for drafts in (model, FirstOf(PromptLookup(prompt), draft(small, prompt, context=context, clock=clock))):
        drafted.passes = 0
        assert run(drafted, prompt, drafts, Sampler(temperature=temperature, seed=1)) == expected
        assert drafted.passes <= plain.passes


def passes(prompt: list[int], *, right: bool, seconds: float) -> tuple[Timed, Timed]:
    """Return a model whose passes take a second and its draft model, after 60 tokens."""
    clock = Clock()
    large = Timed(table(0, 5.0), clock, 1.0)
    small = Timed(table(0, 5.0) if right else -table(0, 5.0), clock, seconds)
    run(large, prompt, draft(small, prompt, clock=clock), Sampler())
    return large, small


def test_one_that_is_always_right_and_fast_is_followed() -> None:
    large, _ = passes([1, 2], right=True, seconds=0.1)
    assert large.passes <= 3 + 60 / (GUESSES + 1)


def test_one_that_is_right_but_slow_falls_silent() -> None:
    large, small = passes([1, 2], right=True, seconds=1.0)
    assert 0 < small.passes <= 6 * GUESSES
    assert large.passes > 30


def test_one_that_is_wrong_falls_silent() -> None:
    large, small = passes([1, 2], right=False, seconds=0.001)
    assert 0 < small.passes <= 6 * GUESSES
    assert large.passes == 60


def test_it_reads_the_prompt_once_and_then_only_what_is_new() -> None:
    prompt = list(range(WORDS)) * 50
    _, small = passes(prompt, right=True, seconds=0.1)
    at_first, later = small.read[:3], small.read[3:]
    assert sum(at_first) == len(prompt) + 2
    assert max(later) <= 2


def test_guessing_ends_when_the_request_is_cancelled() -> None:
    cancelled = threading.Event()
    model = DraftModel(Echo(table(0, 1.0)), vocabulary=WORDS, context_tokens=100).follow([1, 2], cancelled)
    assert model.guess_after(3) == []
    model.learn(0, 0)
    cancelled.set()
    with pytest.raises(Cancelled):
        model.guess_after(4)


def test_the_first_that_has_something_to_say_is_heard() -> None:
    small = Echo(table(0, 5.0))
    both = FirstOf(PromptLookup([1, 2, 3, 7, 7, 7, 1, 2]), draft(small, [1, 2]))
    assert both.guess_after(5) == []
    both.learn(0, 0)
    for token in (9, 1, 2):
        both.add(token)
    assert both.guess_after(3)[0] == 7
    assert small.passes == 0
    both.learn(GUESSES, GUESSES)
    assert len(both.guess_after(11)) == GUESSES
    assert small.passes == GUESSES
    both.learn(GUESSES, 0)
    for token in (9, 1, 2):
        both.add(token)
    assert both.guess_after(3)[0] == 11  # nobody is blamed for what another guessed


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with the same tokens and other weights, that can look at less."""
    return tiny.make(tmp_path_factory.mktemp("smaller"), num_hidden_layers=1, max_position_embeddings=64)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"stop": ("e",)},
    {"choice": 2},
    {"temperature": 1.0, "seed": 1},
    {"temperature": 2.0, "seed": 2, "top_p": 0.9, "top_k": 20},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_with_a_draft_model_the_text_is_the_same(tiny_folder: Path, smaller: Path, options: dict[str, Any]) -> None:
    prefixes = (CODE, CODE[:40], CODE + "    print(", CODE * 3)
    plain = open_tiny(tiny_folder)
    expected = [text(plain, prefix, **options) for prefix in prefixes]
    for folder in (tiny_folder, smaller):
        drafted = open_tiny(tiny_folder, draft=str(folder))
        assert [text(drafted, prefix, **options) for prefix in prefixes] == expected


def test_a_draft_model_saves_passes_of_the_model(tiny_folder: Path) -> None:
    plain, clock = open_tiny(tiny_folder), Clock()
    large = Counted(plain.model, clock)
    small = DraftModel(plain.model, vocabulary=400, context_tokens=512, clock=clock)
    drafted = Runner(plan=plain.plan, model=large, codec=plain.codec, context_tokens=512, draft_model=small)
    expected = chunks(plain, CODE, max_tokens=200)
    assert text(drafted, CODE, max_tokens=200) == "".join(chunk.text for chunk in expected)
    assert large.passes < expected[-1].usage.completion_tokens / GUESSES


def test_cancelled_at_any_step_it_ends_there_and_the_caches_stay_right(tiny_folder: Path) -> None:
    whole = text(open_tiny(tiny_folder), CODE)
    runner = open_tiny(tiny_folder, draft=str(tiny_folder))
    for steps in range(1, 8):
        cancelled = threading.Event()
        stream = runner.complete(Request(document="d", prefix=CODE, max_tokens=24), cancelled)
        seen = [next(stream) for _ in range(steps)]
        cancelled.set()
        rest = list(stream)
        assert all(chunk.finish_reason is None for chunk in rest)
        assert whole.startswith("".join(chunk.text for chunk in [*seen, *rest]))
        assert text(runner, CODE) == whole


def test_other_tokens_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    other = tiny.make(tmp_path)
    tokenizer = Tokenizer.from_file(str(other / "tokenizer.json"))
    tokenizer.add_tokens(["another"])
    tokenizer.save(str(other / "tokenizer.json"))
    with pytest.raises(SettingsError, match=r"^model\.draft: .* has other tokens than"):
        open_tiny(tiny_folder, draft=str(other))


def test_one_that_cannot_be_read_is_called_by_its_setting(tiny_folder: Path, tmp_path: Path) -> None:
    for name in ("/no/such/folder", str(tmp_path)):
        with pytest.raises(CheckpointError, match=r"^model\.draft: "):
            open_tiny(tiny_folder, draft=name)


def plan(folder: Path, **options: object) -> Planned:
    chosen = model_settings(name=str(folder), context_tokens=512, **options)
    made = planner.make(chosen, checkpoint.find(chosen, lambda _: None))
    return draft_placement.with_draft(made, chosen, lambda _: None, weights=False)


def shares(plan: Plan) -> dict[object, tuple[int, int]]:
    return {share.device: (share.draft, share.used) for share in plan.devices}


def test_the_plan_counts_it_where_there_is_room(tiny_folder: Path) -> None:
    alone = plan(tiny_folder, max_memory={"0": "1GiB"}).plan.devices[0].used
    roomy = plan(tiny_folder, max_memory={"0": "1GiB", "cpu": "1GiB"}, draft=str(tiny_folder)).plan
    assert shares(roomy) == {0: (alone, 2 * alone)}
    assert roomy.draft
    assert roomy.draft.device_map == {"": 0}
    tight = plan(tiny_folder, max_memory={"0": 2 * alone - 1, "cpu": "1GiB"}, device_map=0, draft=str(tiny_folder)).plan
    assert tight.fits
    assert shares(tight) == {0: (0, alone), "cpu": (alone, alone)}
    assert caches_for(tight) >= 1


def test_where_there_is_no_room_the_plan_says_so(tiny_folder: Path) -> None:
    alone = plan(tiny_folder, max_memory={"cpu": "1GiB"}).plan.devices[0].used
    exact = plan(tiny_folder, max_memory={"cpu": 2 * alone}, draft=str(tiny_folder)).plan
    assert exact.fits
    assert caches_for(exact) == 1
    full = plan(tiny_folder, max_memory={"cpu": 2 * alone - 1}, draft=str(tiny_folder)).plan
    assert full.refusal.startswith("model.draft: ")
    with pytest.raises(PlacementError, match="does not fit beside"):
        open_tiny(tiny_folder, max_memory={"cpu": 2 * alone - 1}, draft=str(tiny_folder))
