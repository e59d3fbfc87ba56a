"""Whatever a tokenizer.json says: no text ends the engine, and no token reaches the model that it does not know."""

import asyncio
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from shardline.engine import Request
from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.local.engine import LocalEngine
from shardline.engine.tokenization.tokenizer import Codec
from shardline.errors import CheckpointError, PromptError
from shardline.settings import ModelSettings
from tests.engine.tiny_runner import CODE, open_tiny, text

GUARD_SECONDS = 60
BACKTRACKING = r"(a+)+b"
"""Takes twice as long for each letter `a`, until the library gives up."""
KNOWN = 400
"""Tokens that the tiny model knows."""


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path) -> Path:
    """Return a copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def fill(tokenizer: Tokenizer) -> None:
    """Give each row of the embedding a token, so that whatever is added after that has none."""
    tokenizer.add_tokens([f"filler {number}" for number in range(KNOWN - tokenizer.get_vocab_size())])


def backtrack(folder: Path, kind: str) -> None:
    file = folder / "tokenizer.json"
    values = json.loads(file.read_text())
    pattern = {"Regex": BACKTRACKING}
    if kind == "normalizer":
        values["normalizer"] = {"type": "Replace", "pattern": pattern, "content": "x"}
    else:
        split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
        values["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, values["pre_tokenizer"]]}
    file.write_text(json.dumps(values))


def change(folder: Path, how: Callable[[Tokenizer], Any]) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    how(tokenizer)
    tokenizer.save(str(folder / "tokenizer.json"))


def codec_of(folder: Path) -> Codec:
    return Codec.of(Checkpoint(name="tiny", folder=folder))


@pytest.mark.parametrize("kind", ["pre-tokenizer", "normalizer"])
async def test_a_text_that_the_tokenizer_gives_up_on_is_refused_and_the_next_is_answered(
    folder: Path, kind: str
) -> None:
    async def answer(prefix: str) -> str:
        async with asyncio.timeout(GUARD_SECONDS):
            request = Request(document="d", prefix=prefix, max_tokens=4)
            return "".join([chunk.text async for chunk in engine.complete(request)])

    backtrack(folder, kind)
    engine = LocalEngine(ModelSettings(name=str(folder)))
    try:
        await engine.load(lambda _: None)
        said = await answer(CODE)
        with pytest.raises(PromptError, match="tokenizer cannot read the prompt"):
            await answer("a" * 60)
        assert await answer(CODE) == said
    finally:
        engine.close()
        await asyncio.wait_for(engine.wait_closed(), GUARD_SECONDS)


def test_other_threads_run_while_a_long_text_is_encoded(folder: Path) -> None:
    backtrack(folder, "pre-tokenizer")
    codec, beats, ended = codec_of(folder), [0], threading.Event()

    def beat() -> None:
        while not ended.wait(0.001):
            beats[0] += 1

    thread = threading.Thread(target=beat)
    thread.start()
    codec.encode(("a" * 20 + "c") * 20)
    ended.set()
    thread.join()
    assert beats[0] > 10


def test_a_tokenizer_that_gives_up_on_everything_is_refused(folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_text())
    values["model"] |= {"vocab": {}, "merges": [], "unk_token": "<missing>"}
    (folder / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="tokenizer"):
        open_tiny(folder)


@pytest.mark.parametrize("special", [True, False])
def test_tokens_that_the_model_does_not_know_stay_text(folder: Path, special: bool) -> None:
    add = "add_special_tokens" if special else "add_tokens"
    change(folder, fill)
    change(folder, lambda tokenizer: getattr(tokenizer, add)(["<FILL_ME>", "return a +"]))
    codec = codec_of(folder)
    for code in ("x = '<FILL_ME>'", CODE, "<FILL_ME>return a +<FILL_ME>", "return a +"):
        ids = codec.encode(code).ids
        assert max(ids) < KNOWN
        assert codec.decode(ids) == code
        assert max(codec.encode_inner(code)) < KNOWN
        assert text(open_tiny(folder), code) is not None


def test_a_letter_that_is_a_token_which_the_model_does_not_know_is_left_out(folder: Path) -> None:
    change(folder, fill)
    change(folder, lambda tokenizer: tokenizer.add_tokens(["☃"]))
    codec = codec_of(folder)
    encoded = codec.encode("a = ☃ + 1")
    assert codec.decode(encoded.ids) == "a =  + 1"
    assert len(encoded.ids) == len(encoded.offsets)
    assert text(open_tiny(folder), "☃") is not None


def test_a_beginning_or_an_end_that_the_model_does_not_know_is_none(folder: Path) -> None:
    def how(tokenizer: Tokenizer) -> None:
        fill(tokenizer)
        tokenizer.add_special_tokens(["<far>"])
        tokenizer.post_processor = TemplateProcessing(single="<far> $A", special_tokens=[("<far>", KNOWN)])

    change(folder, how)
    codec = codec_of(folder)
    assert codec.begin_ids == []
    assert max(codec.signals) < KNOWN
    assert text(open_tiny(folder), "") is not None


def test_the_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_text())
    values["model"]["vocab"] |= {f"unheard of {number}": KNOWN + number for number in range(KNOWN)}
    (folder / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=f"tokens and the model knows {KNOWN}; it is another model's"):
        open_tiny(folder)


def test_an_end_without_a_name_breaks_no_word(folder: Path) -> None:
    change(folder, lambda tokenizer: tokenizer.add_tokens(["None"]))
    plain = codec_of(folder).encode_inner("return None")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 500, "eos_token_id": [0, 450]}))
    assert codec_of(folder).encode_inner("return None") == plain


def test_nothing_before_the_cursor_is_completed_by_a_model_without_special_tokens_too(folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_text())
    values["added_tokens"] = []
    (folder / "tokenizer.json").write_text(json.dumps(values))
    for name in ("config.json", "generation_config.json"):
        known = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**known, "eos_token_id": 10**6}))
    assert codec_of(folder).signals == frozenset()
    assert text(open_tiny(folder), "") is not None
