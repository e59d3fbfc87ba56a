"""Real servers with SmolLM2: the same prompts, stop rules and replay as the local engine."""

import asyncio
import json
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from shardline.engine import FinishReason, Request
from shardline.engine.local.engine import LocalEngine
from shardline.engine.remote.engine import RemoteEngine
from shardline.settings import ModelSettings, RemoteSettings, Settings
from tests.editors.waiting import until
from tests.http.scripted_server import KEY
from tests.lsp.clients import started
from tests.remote import install
from tests.remote.real import LlamaCpp, LlamaCppPython, RealServer, Serve, Vllm
from tests.remote.remotes import answer, opened, said

COMMAND = [sys.executable, "-m", "shardline"]
SERVERS = {"shardline": Serve, "vllm": Vllm, "llama.cpp": LlamaCpp, "llama-cpp-python": LlamaCppPython}
COUNTING = "# numbers\n1\n2\n3\n"
CODE = "def add(a: int, b: int) -> int:\n    return"
SOURCE = Path(textwrap.__file__).read_text(encoding="utf-8")
KEYSTROKES = 400


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """One after the other: there is one machine."""
    if request.param.startswith("llama") and not install.gguf():
        pytest.skip("there is no GGUF file")
    if request.param == "llama.cpp" and not install.LLAMA_SERVER.exists():
        pytest.skip("llama.cpp could not be installed")
    real = SERVERS[request.param](tmp_path_factory.mktemp("real") / "log.txt")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SHARDLINE_API_KEY", KEY)
        real.start()
        yield real
        real.kill()


@pytest.fixture
def token_server(server: RealServer) -> RealServer:
    """One that takes our own prompts, and tells how busy it is."""
    if isinstance(server, LlamaCppPython):
        pytest.skip("it takes text alone, and does not tell how busy it is")
    return server


def settings_for(server: RealServer) -> Settings:
    remote = RemoteSettings(base_url=server.url, api_key_env=server.api_key_env, timeout=120)
    return Settings(model=ModelSettings(), remote=remote)


async def test_it_is_recognized_and_continues_our_own_prompts(token_server: RealServer) -> None:
    engine = RemoteEngine(settings_for(token_server))
    await engine.load(lambda _: None)
    assert await said(engine, CODE, max_tokens=5) == " a + b\n"
    assert await said(engine, CODE[:-4], max_tokens=5) == "turn a + b\n"  # the half word is written again, and cut
    assert await said(engine, CODE, stop=("+",)) == " a "
    chunks = await answer(engine, CODE, max_tokens=8)
    assert chunks[-1].finish_reason is FinishReason.LENGTH
    assert chunks[-1].usage.completion_tokens == 8
    assert -8 < chunks[-1].logprob < 0
    await engine.wait_closed()


async def test_one_that_takes_text_is_not_shown_what_it_would_show_wrongly(server: RealServer) -> None:
    if not isinstance(server, LlamaCppPython):
        pytest.skip("it takes our own prompts")
    async with opened(server.url, timeout=120) as engine:
        assert not engine.infills
        with_suffix = Request(document="d", prefix=CODE, suffix="\n\nprint(add(1, 2))\n", max_tokens=4)
        chunks = [chunk async for chunk in engine.complete(with_suffix)]
        assert "".join(chunk.text for chunk in chunks) == " a + b\n"
        assert -8 < chunks[-1].logprob < 0


async def test_it_says_what_the_engine_of_this_machine_says(token_server: RealServer) -> None:
    """Greedy text differs only where two tokens are nearly as likely: the weights are the same, their products not."""
    here, there = LocalEngine(ModelSettings()), RemoteEngine(settings_for(token_server))
    await asyncio.gather(here.load(lambda _: None), there.load(lambda _: None))
    same = [
        await said(here, SOURCE[:end], max_tokens=6) == await said(there, SOURCE[:end], max_tokens=6)
        for end in range(400, 8000, 500)
    ]
    here.close()
    await there.wait_closed()
    assert sum(same) >= len(same) * 3 // 4, same


async def test_what_nobody_waits_for_ends_there(token_server: RealServer) -> None:
    async with (
        opened(token_server.url, api_key_env=token_server.api_key_env, timeout=120) as engine,
        aclosing(engine.complete(Request(document="d", prefix=COUNTING, max_tokens=1500))) as chunks,
    ):
        await anext(chunks)
        assert token_server.running() == 1
    until(lambda: token_server.running() == 0)
    assert token_server.running() == 0


def test_the_replay_of_typing_is_true_and_all_of_it_answered(
    server: RealServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    keys = ["--keystrokes", str(KEYSTROKES), "--speed", str(server.keys_per_second), "--json", str(figures)]
    remote = ["--set", f"remote.baseUrl={server.url}", "--set", f"remote.apiKeyEnv={server.api_key_env}"]
    command = [*COMMAND, "replay", textwrap.__file__, *keys, *remote]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(figures.read_text())
    with capsys.disabled():
        print(f"\n{type(server).__name__}: {json.dumps(report)}")  # noqa: T201  what is reported of it
    assert report["untrue"] == report["unanswered"] == report["failed"] == 0
    assert report["answered"] > KEYSTROKES // 4


def test_the_command_of_a_plan_is_one_that_vllm_takes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((install.model() / "config.json").read_text())
    machines = ["--engine", "vllm", "--nodes", "2", "--gpus-per-node", "3", "--model", str(tmp_path), "--json"]
    plan = json.loads(subprocess.run([*COMMAND, "plan", *machines], capture_output=True, check=True).stdout)
    (serve,) = (step["command"] for step in plan["commands"] if step["command"].startswith("vllm serve "))
    program = (
        "import sys\n"
        "from vllm.entrypoints.cli.serve import cmd_init\n"
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "parser = FlexibleArgumentParser()\n"
        "commands = parser.add_subparsers()\n"
        "for command in cmd_init(): command.subparser_init(commands)\n"
        "taken = parser.parse_args(sys.argv[1:])\n"
        "print(taken.tensor_parallel_size, taken.pipeline_parallel_size, taken.distributed_executor_backend)\n"
    )
    python = str(install.VLLM / "bin" / "python")
    arguments = shlex.split(serve.replace("$SHARDLINE_KEY", "key"))[1:]
    done = subprocess.run([python, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout == "3 2 ray\n", done.stderr


async def test_a_killed_server_is_told_once_and_comes_back_by_itself(server: RealServer) -> None:
    remote = {"baseUrl": server.url, "apiKeyEnv": server.api_key_env}
    async with started(COMMAND, remote=remote, completion={"prepare": False, "warm": False}) as client:
        assert (await client.until_settled()).state == "ready"
        assert await client.ghost(CODE)
        server.kill()
        assert not await client.ghost("x = 1\ny =")
        assert (await client.until("failed")).message.startswith(f"The server at {server.url} cannot be reached")
        assert not await client.ghost("x = 1\nz =")
        assert len(client.messages) == 1
        await asyncio.to_thread(server.start)
        assert await client.ghost(CODE.replace("add", "sum"))
        await client.until("ready")
