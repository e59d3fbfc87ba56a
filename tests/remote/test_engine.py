"""Laws of the remote engine for every kind of server."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from shardline.engine import FinishReason, Request
from shardline.engine.checkpoints.checkpoint import Checkpoint
from shardline.engine.local.engine import LocalEngine
from shardline.engine.remote.engine import RemoteEngine
from shardline.engine.remote.fallback import FallbackEngine
from shardline.engine.tokenization import prompt
from shardline.engine.tokenization.tokenizer import Codec
from shardline.errors import AwayError, GenerationError
from shardline.settings import ModelSettings
from tests import tiny
from tests.remote.remotes import KINDS, TOKEN_KINDS, answer, opened, said, serving, settings_for

CODE = "def add(a, b):\n    # say: + b\n    return a  # say: + b"
BUDGET = 256 - 64
ENDS = ["say: + b", "say:", "say:  ", "\tsay:\\n", "é say:🎉", "say:a\"b'\\[]", " say:x\u2028y", "pri say:nt"]


@pytest.fixture(scope="session")
def codec(tiny_folder: Path) -> Codec:
    return Codec.of(Checkpoint(name="tiny", folder=tiny_folder))


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_recognized_and_completes(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    async with serving(kind, tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        chunks = await answer(engine, CODE)
        assert "".join(chunk.text for chunk in chunks) == " + b"
        last = chunks[-1]
        assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert last.finish_reason is FinishReason.STOP
        assert last.usage.completion_tokens >= 4
        assert last.usage.prompt_tokens == 77 or kind == "openai"
        assert last.usage.cached_tokens == (70 if kind in TOKEN_KINDS else 0)
        assert last.logprob == -0.25 * last.usage.completion_tokens
        assert engine.placement is None
        assert (await answer(engine, "long", max_tokens=5))[-1].finish_reason is FinishReason.LENGTH
    paths = {"llama.cpp": "/completion", "ollama": "/api/generate"}
    assert peer.asked[-1]["path"] == paths.get(kind, "/v1/completions")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_behind_another_name_is_recognized_by_what_it_says_of_itself(
    kind: str, tiny_folder: Path, tmp_path: Path
) -> None:
    async with serving(kind, tmp_path, tiny_folder, owner="a-team") as peer, opened(peer.url, tiny_folder) as engine:
        assert await said(engine, CODE) == " + b"
        assert engine.infills == (kind == "openai")


@pytest.mark.parametrize("kind", TOKEN_KINDS)
async def test_what_is_sent_is_our_own_prompt_in_token_ids(
    kind: str, tiny_folder: Path, tmp_path: Path, codec: Codec
) -> None:
    request = Request(document="d", prefix=CODE * 40, suffix="\nafter\n")
    async with serving(kind, tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        assert await said(engine, request.prefix, suffix=request.suffix) == " + b"
    (body,) = peer.bodies()
    built = prompt.build(request, codec, budget=BUDGET)
    assert built.removed
    assert body["prompt"] == built.ids
    if kind != "llama.cpp":
        assert body["stop_token_ids"] == sorted(codec.signals)


@pytest.mark.parametrize("kind", TOKEN_KINDS)
async def test_wherever_a_prefix_ends_nothing_of_it_is_said_again(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    async with serving(kind, tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        for text in [
            "say: + b",
            "say:",
            "say:  ",
            "\tsay:\\n",
            "é say:🎉",
            "say:a\"b'\\[]",
            " say:x\u2028y",
            "pri say:nt",
        ]:
            assert await said(engine, text) == text.partition("say:")[2].replace("\\n", "\n"), text
            assert await said(engine, text[:-1] + "see", suffix="(rest") == ""  # it is not shown the suffix


@pytest.mark.parametrize("grammars", [False, "late", "ignored"])
async def test_a_server_without_grammars_gets_prompts_that_are_not_cut_back(
    grammars: Any, tiny_folder: Path, tmp_path: Path
) -> None:
    behaves = serving("vllm", tmp_path, tiny_folder, grammars=grammars)
    async with behaves as peer, opened(peer.url, tiny_folder) as engine:
        assert [await said(engine, CODE) for _ in range(2)] == [" + b", " + b"]
    assert ["structured_outputs" in body for body in peer.bodies()] == [True, False, False]


@pytest.mark.parametrize(("kind", "shows"), [("openai", True), ("ollama", True), ("llama.cpp", True), ("vllm", False)])
async def test_where_the_tokenizer_is_unknown_the_server_makes_its_own_prompts(
    kind: str, shows: bool, tiny_folder: Path, tmp_path: Path
) -> None:
    async with serving(kind, tmp_path, tiny_folder, infills=True) as peer, opened(peer.url) as engine:
        assert engine.infills == shows
        assert await said(engine, "let me see", suffix=" the rest\n") == (" the rest" if shows else "")
        assert await said(engine, "let me see", suffix=" the rest\n", infilling="off") == ""
        assert await said(engine, CODE) == " + b"
        assert await said(engine, "a line\n" * 1000 + CODE, suffix="more\n" * 1000) == " + b"
    texts = [str(body.get("prompt", body.get("input_prefix"))) for body in peer.bodies()]
    assert len(texts[-1]) < 2 * BUDGET
    assert texts[-1].startswith("a line\n")


async def test_a_server_that_would_show_a_suffix_wrongly_is_sent_none(tiny_folder: Path, tmp_path: Path) -> None:
    async with serving("openai", tmp_path, tiny_folder, infills=True, owner="me") as peer, opened(peer.url) as engine:
        assert not engine.infills
        assert await said(engine, CODE, suffix="\nrest") == " + b"
    assert ["suffix" in body for body in peer.bodies()] == [False]


@pytest.mark.parametrize("kind", ["openai", "ollama", "llama.cpp"])
async def test_a_model_there_that_cannot_infill_is_asked_without_the_suffix(
    kind: str, tiny_folder: Path, tmp_path: Path
) -> None:
    async with serving(kind, tmp_path, tiny_folder) as peer, opened(peer.url) as engine:
        assert await said(engine, CODE, suffix="\nrest") == " + b"
        assert not engine.infills
        assert await said(engine, CODE, suffix="\nrest") == " + b"
    assert ["suffix" in body for body in peer.bodies()] == ([True, False, False] if kind == "openai" else [False] * 2)


async def test_a_tokenizer_that_counts_otherwise_is_not_used(tiny_folder: Path, tmp_path: Path) -> None:
    other = tiny.make(tmp_path / "other")
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens(["naïve"])
    tokenizer.save(str(other / "tokenizer.json"))
    async with serving("vllm", tmp_path, tiny_folder) as peer, opened(peer.url, other) as engine:
        assert await said(engine, CODE) == " + b"
    assert isinstance(peer.bodies()[0]["prompt"], str)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stop_rule_ends_the_stream_there_too(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    async with serving(kind, tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        chunks = await answer(engine, "long", stop=("word",), max_tokens=4096)
        assert "".join(chunk.text for chunk in chunks) == " "
        assert chunks[-1].finish_reason is FinishReason.STOP
        await peer.until("closed")


@pytest.mark.parametrize("kind", KINDS)
async def test_cancelling_the_task_ends_the_work_there(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    async with serving(kind, tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        began = asyncio.Event()

        async def endless() -> None:
            async for _ in engine.complete(Request(document="d", prefix="long", max_tokens=4096)):
                began.set()

        task = asyncio.create_task(endless())
        await began.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await peer.until("closed")
        assert await said(engine, CODE) == " + b"


@pytest.mark.parametrize("kind", KINDS)
async def test_one_connection_is_used_again_and_again(kind: str, tiny_folder: Path, tmp_path: Path) -> None:
    async with serving(kind, tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        for _ in range(5):
            assert await said(engine, CODE) == " + b"
    assert len({event["connection"] for event in peer.asked}) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["half", "die"])
async def test_a_server_that_ends_in_the_middle_is_an_error_and_is_not_asked_again(
    kind: str, how: str, tiny_folder: Path, tmp_path: Path
) -> None:
    async with serving(kind, tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        with pytest.raises((AwayError, GenerationError), match=r"server at http://127\.0\.0\.1"):
            await answer(engine, f"say:some {how}")
    assert len(peer.bodies()) == 1


async def test_nobody_there_and_nobody_who_answers_is_a_sentence(tiny_folder: Path, tmp_path: Path) -> None:
    async with serving("vllm", tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder, timeout=1) as engine:
        with pytest.raises(AwayError, match="does not answer, after up to 1 seconds"):
            await answer(engine, "hang")
        assert await said(engine, CODE) == " + b"
        await peer.kill()
        with pytest.raises(AwayError, match="cannot be reached"):
            await answer(engine, CODE)
        with pytest.raises(AwayError):
            await RemoteEngine(settings_for(peer.url)).load(lambda _: None)
        await peer.start()
        assert await said(engine, CODE) == " + b"


async def test_where_nothing_can_stand_in_both_reasons_are_told(tiny_folder: Path, tmp_path: Path) -> None:
    async with serving("vllm", tmp_path, tiny_folder) as peer:
        pass
    no_model = LocalEngine(ModelSettings(name=str(tmp_path / "none")))
    engine = FallbackEngine(RemoteEngine(settings_for(peer.url)), lambda: no_model)
    with pytest.raises(AwayError, match=r"cannot be reached .* there is no file or folder"):
        await engine.load(lambda _: None)
    engine.close()
    await engine.wait_closed()


async def test_a_document_is_read_ahead_where_that_costs_nothing_and_gives_way(
    tiny_folder: Path, tmp_path: Path, codec: Codec
) -> None:
    request = Request(document="d", prefix=CODE)
    async with serving("vllm", tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        await engine.warm(request)
        (body,) = peer.bodies()
        assert body["prompt"] == prompt.known_ahead(request, codec, budget=BUDGET)
        assert body["max_tokens"] == 1
        warming = asyncio.create_task(engine.warm(Request(document="d", prefix="hang" + " x" * 20)))
        await peer.until("hangs")
        assert await said(engine, CODE) == " + b"
        await warming
        await peer.until("closed")
    async with serving("openai", tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        asked = len(peer.bodies())
        await engine.warm(request)
        assert len(peer.bodies()) == asked


async def test_other_candidates_are_sampled_and_settings_reach_the_server(tiny_folder: Path, tmp_path: Path) -> None:
    async with serving("vllm", tmp_path, tiny_folder) as peer, opened(peer.url, tiny_folder) as engine:
        await answer(engine, CODE, temperature=0.3, top_p=0.5, top_k=7, seed=4, max_tokens=9)
        await answer(engine, CODE, choice=2)
    first, second = peer.bodies()
    assert {key: first[key] for key in ("temperature", "top_p", "top_k", "seed", "max_tokens")} == {
        "temperature": 0.3,
        "top_p": 0.5,
        "top_k": 7,
        "seed": 4,
        "max_tokens": 9,
    }
    assert (second["temperature"], second["seed"]) == (0.8, 2)


async def test_one_of_several_models_has_to_be_named(tiny_folder: Path, tmp_path: Path) -> None:
    async with serving("vllm", tmp_path, tiny_folder, models=["tiny", "big"]) as peer:
        for name, sentence in {"": "several models: tiny, big; name one", "x": "has no x; it has tiny, big"}.items():
            with pytest.raises(Exception, match=sentence):
                async with opened(peer.url, tiny_folder, model=name):
                    pass
        async with opened(peer.url, tiny_folder, model="tiny") as engine:
            assert await said(engine, CODE) == " + b"


async def test_no_torch_is_imported(tiny_folder: Path, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tests.remote.remotes import opened, said\n"
        "async def main():\n"
        "    async with opened(sys.argv[1], Path(sys.argv[2])) as engine:\n"
        "        print(await said(engine, sys.argv[3]), 'torch' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    async with serving("vllm", tmp_path, tiny_folder) as peer:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program, peer.url, str(tiny_folder), CODE],
            capture_output=True,
            text=True,
        )
    assert done.stdout == " + b False\n", done.stderr
    assert isinstance(peer.bodies()[0]["prompt"], list)
