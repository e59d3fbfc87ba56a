"""`shardline serve` as a remote server: its completions equal the local ones."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from shardline.engine import FinishReason, Request
from shardline.engine.local.engine import LocalEngine
from shardline.engine.remote.engine import RemoteEngine
from shardline.errors import AwayError
from shardline.settings import ModelSettings
from tests.http.scripted_server import KEY
from tests.http.servers import SERVE, Server, certified, started, until_loaded
from tests.lsp.clients import started as editing
from tests.remote.remotes import answer, opened, said

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

TOKENS = 256
CODE = "def add(a, b):\n    return a + b\n\nfor index, name in enumerate(names):\n    print(index, na"
LONG = "\n".join(f"value_{number} = {number}" for number in range(400))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLINE_THE_KEY", KEY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tiny_folder: Path) -> AsyncIterator[Server]:
    arguments = ("--model", str(tiny_folder), "--set", f"model.contextTokens={TOKENS}")
    async with started(*arguments, command=SERVE) as listening:
        yield listening


@pytest_asyncio.fixture(loop_scope="module")
async def there(server: Server, key: None) -> AsyncIterator[RemoteEngine]:
    """Yield an engine in front of it."""
    async with opened(server.url, api_key_env="SHARDLINE_THE_KEY") as engine:
        yield engine


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tiny_folder: Path) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(ModelSettings(name=str(tiny_folder), context_tokens=TOKENS))
    await engine.load(lambda _: None)
    yield engine
    engine.close()
    await engine.wait_closed()


@pytest.mark.parametrize("length", range(len(CODE) - 16, len(CODE) + 1))
async def test_wherever_a_prefix_ends_it_says_the_same(length: int, there: RemoteEngine, here: LocalEngine) -> None:
    options = {"suffix": "\nprint(names)\n", "max_tokens": 12}
    ends = []
    for engine in (there, here):
        chunks = await answer(engine, CODE[:length], **options)
        last = chunks[-1]
        counts = (last.usage.prompt_tokens, last.usage.completion_tokens)
        ends.append(("".join(chunk.text for chunk in chunks), last.finish_reason, counts, pytest.approx(last.logprob)))
    assert ends[0] == ends[1]


async def test_a_stop_rule_and_the_length_end_it(there: RemoteEngine, here: LocalEngine) -> None:
    whole = await said(here, CODE, max_tokens=16)
    stop = whole[len(whole) // 2 :][:2]
    *_, last = chunks = await answer(there, CODE, max_tokens=16, stop=(stop,))
    assert "".join(chunk.text for chunk in chunks) == whole[: whole.index(stop)]
    assert last.finish_reason is FinishReason.STOP
    *_, last = await answer(there, CODE, max_tokens=3)
    assert last.finish_reason is FinishReason.LENGTH


async def test_what_it_has_read_it_does_not_read_again(there: RemoteEngine) -> None:
    for number in range(40):
        *_, last = await answer(there, LONG[: 3000 + number], max_tokens=1)
        unread = last.usage.prompt_tokens - last.usage.cached_tokens
        assert unread <= 8 or not number, "the beginning of a long document stays where it is while one types"


@pytest.mark.parametrize(("typed", "asked"), [(0, 200), (600, 600)])
async def test_a_prompt_is_read_ahead(typed: int, asked: int, there: RemoteEngine) -> None:
    text = f"# {typed}\n{LONG[:700]}"
    await there.warm(Request(document="d", prefix=text[:typed], suffix=text[typed:]))
    *_, last = await answer(there, text[:asked])
    assert last.usage.prompt_tokens - last.usage.cached_tokens <= 3


async def test_who_leaves_ends_the_work(there: RemoteEngine, server: Server) -> None:
    leaving = asyncio.ensure_future(answer(there, CODE, max_tokens=120))
    async with asyncio.timeout(60):
        while not (await _running(server)):  # noqa: ASYNC110  as somebody who looks on
            await asyncio.sleep(0)
        leaving.cancel()
        while await _running(server):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def _running(server: Server) -> int:
    figures = (await server.http.get("/engine/figures")).json()
    return int(figures["running"])


@pytest.mark.parametrize(("model", "infills"), [("scripted", True), ("plain", False)])
async def test_it_tells_whether_its_model_is_shown_what_follows(model: str, infills: bool) -> None:
    async with started(model) as scripted, opened(scripted.url, api_key_env="SHARDLINE_THE_KEY") as engine:
        assert engine.infills == infills
        assert await said(engine, "say:a + b", suffix="\nb", infilling="auto") == "a + b"
        assert await said(engine, "say:a + b", suffix="\nb", infilling="off") == "a + b"
        shown, hidden = (await scripted.told())["requests"][-2:]
        assert (shown["suffix"], hidden["suffix"]) == ("\nb", "")


async def test_over_tls_its_certificate_is_one_that_this_machine_trusts(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, private = certified(tmp_path)
    files = ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(private))
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with started("--model", str(tiny_folder), *files, command=SERVE, loaded=False) as secured:
        async with httpx.AsyncClient(base_url=secured.url, verify=trusting) as client:
            await until_loaded(client)
        with pytest.raises(AwayError, match="certificate"):
            async with opened(secured.url, api_key_env="SHARDLINE_THE_KEY"):
                pass
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with opened(secured.url, api_key_env="SHARDLINE_THE_KEY") as engine:
            assert await said(engine, CODE, max_tokens=4)


async def test_while_its_model_is_loaded_it_is_away() -> None:
    async with started("held", loaded=False) as held:
        with pytest.raises(AwayError, match="cannot answer now"):
            async with opened(held.url, api_key_env="SHARDLINE_THE_KEY"):
                pass
        await held.http.get("/test/release")
        await until_loaded(held.http)
        async with opened(held.url, api_key_env="SHARDLINE_THE_KEY") as engine:
            assert await said(engine, "say:a") == "a"


async def test_an_editor_is_suggested_what_its_own_engine_would(server: Server, tiny_folder: Path) -> None:
    model = {"name": str(tiny_folder), "contextTokens": TOKENS}
    remote = {"baseUrl": server.url, "apiKeyEnv": "SHARDLINE_THE_KEY"}
    suggested = []
    cases: list[dict[str, Any]] = [
        {"model": model, "remote": remote},
        {"model": model, "engine": {"mode": "inprocess"}},
    ]
    for options in cases:
        async with editing([sys.executable, "-m", "shardline"], **options) as client:
            assert (await client.until_settled()).state == "ready"
            items = await client.ghost(CODE)
            assert items
            suggested.append(items[0].insert_text)
    assert suggested[0] == suggested[1]
