"""The commands as a shell sees them: output, JSON, exit codes, and one sentence where something is wrong."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from shardline.cli.complete import complete
from shardline.settings import EngineSettings, ModelSettings, Settings, merge
from tests import documentation
from tests.cli.commands import output, shardline

pytestmark = pytest.mark.slow

MEMORY = "--max-memory=1=5GiB,2=5GiB,3=7GiB"


@pytest.fixture(scope="module")
def codellama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder with the config of CodeLlama-7B and nothing else."""
    folder = tmp_path_factory.mktemp("codellama")
    shape: dict[str, object] = {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    }
    shape |= {
        "num_key_value_heads": 32,
        "vocab_size": 32016,
        "max_position_embeddings": 16384,
        "torch_dtype": "float16",
    }
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": False, **shape}))
    return str(folder)


def test_a_plan_needs_only_a_config(codellama: str) -> None:
    plan = json.loads(output("plan", "--model", codellama, MEMORY, "--context-tokens", "4096", "--json"))
    assert set(plan) == {"model", "dtype", "fits", "device_map", "devices", "warnings", "draft"}
    assert plan["dtype"] == "float16"
    assert plan["fits"] is True
    assert {share["device"] for share in plan["devices"]} == {1, 2, 3}
    for share in plan["devices"]:
        assert set(share) == {"device", "limit", "weights", "kv_cache", "workspace", "layers", "draft"}
        assert share["weights"] + share["kv_cache"] + share["workspace"] <= share["limit"]
    assert sum(share["kv_cache"] for share in plan["devices"]) == 4096 * 512 * 1024


def test_a_plan_is_drawn(codellama: str) -> None:
    drawn = output("plan", "--model", codellama, MEMORY)
    for part in ("GPU 1", "GPU 2", "GPU 3", "layers", "█", "▓", "weights", "KV cache", "workspace", "free"):
        assert part in drawn


def test_a_draft_model_is_drawn_where_it_is(tiny_folder: Path) -> None:
    wish = ("plan", "--model", str(tiny_folder), "--max-memory", "cpu=1GiB")
    drawn = output(*wish, "--set", f"model.draft={tiny_folder}")
    assert "draft model" in drawn
    assert "▚" in drawn
    assert "draft model" not in output(*wish)


def test_a_plan_that_does_not_fit_has_exit_code_3_and_says_why(codellama: str) -> None:
    done = shardline("plan", "--model", codellama, "--dtype", "float32", MEMORY)
    assert done.returncode == 3
    assert "does not fit" in done.stdout
    assert "What would help" in done.stdout
    as_json = shardline("plan", "--model", codellama, "--dtype", "float32", MEMORY, "--json")
    assert as_json.returncode == 3
    plan = json.loads(as_json.stdout)
    assert plan["fits"] is False
    assert any("does not fit" in warning for warning in plan["warnings"])


@pytest.mark.parametrize("device_map", ["cpu", "lm_head=1,model=0", '{"model": 0, "lm_head": 1}', "balanced"])
def test_device_maps_are_read_in_each_form(codellama: str, device_map: str) -> None:
    arguments = ("--max-memory", "0=20GiB,1=20GiB,cpu=20GiB", "--device-map", device_map)
    assert json.loads(output("plan", "--model", codellama, *arguments, "--json"))["fits"]


def test_a_plan_for_several_machines_has_the_commands_and_the_settings(codellama: str) -> None:
    machines = ("--engine", "vllm", "--nodes", "2", "--gpus-per-node", "4", "--gpu-memory", "80GiB")
    plan = json.loads(output("plan", "--model", codellama, *machines, "--json"))
    assert plan["fits"] is True
    assert (plan["tensor_parallel_size"], plan["pipeline_parallel_size"]) == (4, 2)
    told = [step["command"] for step in plan["commands"]]
    assert told[0] == "ray start --head --port=6379"
    assert told[1] == "ray start --address=HEAD:6379"
    assert told[2].startswith(f"vllm serve {codellama} ")
    for part in ("--tensor-parallel-size 4", "--distributed-executor-backend ray", '--api-key "$SHARDLINE_KEY"'):
        assert part in told[2]
    settings, problems = merge(Settings(), plan["settings"]["shardline"])
    assert problems == []
    assert (settings.remote.kind, settings.remote.api_key_env) == ("vllm", "SHARDLINE_KEY")
    drawn = output("plan", "--model", codellama, *machines)
    assert all(command in drawn.replace(" \\\n        ", " ") for command in told)
    alone = output("plan", "--model", codellama, "--engine", "vllm")
    assert "ray" not in alone
    refused = shardline("plan", "--model", codellama, "--engine", "vllm", "--gpu-memory", "12GiB", "--json")
    assert refused.returncode == 3
    assert "does not fit" in json.loads(refused.stdout)["warnings"][0]


def test_layers_are_listed_with_type_parameters_bytes_and_device(codellama: str) -> None:
    modules = json.loads(output("layers", "--model", codellama, "--depth", "3", "--json"))
    layer = next(module for module in modules if module["name"] == "model.layers.5")
    assert set(layer) == {"name", "type", "parameters", "bytes", "device"}
    assert layer["type"] == "LlamaDecoderLayer"
    assert layer["device"] == "cpu"
    assert "model.layers.31" in output("layers", "--model", codellama, "--depth", "3")
    assert "layers.31" not in output("layers", "--model", codellama, "--depth", "2")


def test_complete_prints_a_suggestion_and_as_json_what_it_cost(tiny_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_bytes("def add(a, b):\r\n    return  # 🎉\n".encode())
    arguments = ("--model", str(tiny_folder), "--set", "generation.maxTokens=4")
    printed = output("complete", f"{file}:2:11", *arguments)
    answer = json.loads(output("complete", f"{file}:2:11", *arguments, "--json"))
    assert printed == answer["suggestion"] + "\n"
    assert answer["completion_tokens"] == 4
    assert answer["prompt_tokens"] > 5
    shardline("complete", f"{file}:2:15", *arguments)  # behind the emoji, counted as one character


def test_complete_ends_with_its_engine(tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.py"
    file.write_text("def add(a, b):\n    return")
    model = ModelSettings(name=str(tiny_folder))
    complete(f"{file}:2:11", Settings(model=model, engine=EngineSettings(mode="inprocess")), as_json=True)
    assert json.loads(capsys.readouterr().out)["completion_tokens"]
    assert [thread.name for thread in threading.enumerate() if thread.name == "shardline-engine"] == []


def test_prompt_shows_what_the_model_reads_without_weights(tiny_folder: Path, tmp_path: Path) -> None:
    outline = tmp_path / "outline"
    outline.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (outline / name).write_bytes((tiny_folder / name).read_bytes())
    file = tmp_path / "a.py"
    file.write_text("def add(a, b):\n    retu\n")
    arguments = ("prompt", f"{file}:2:9", "--model", str(outline))
    shown = json.loads(output(*arguments, "--json"))
    assert set(shown) == {"format", "token_ids", "text", "healed", "prefix_tokens", "suffix_tokens", "budget"}
    assert shown["format"] == "prefix"
    assert shown["text"] + shown["healed"] == "def add(a, b):\n    retu"
    assert shown["healed"] == " retu"
    assert len(shown["token_ids"]) == shown["prefix_tokens"]
    assert shown["budget"] == 512 - 64
    plain = json.loads(output(*arguments, "--no-healing", "--infilling", "off", "--json"))
    assert (plain["healed"], plain["text"]) == ("", "def add(a, b):\n    retu")
    assert "has to write ' retu' again" in output(*arguments)


@pytest.mark.parametrize(
    ("position", "sentence"),
    [
        ("a.py", "must look like main.py:12:5"),
        ("a.py:0:1", "has no line 0 with a column 1"),
        ("a.py:9:1", "has no line 9 with a column 1"),
        ("a.py:1:99", "has no line 1 with a column 99"),
        ("none.py:1:1", "cannot be read"),
        ("binary:1:1", "is not UTF-8 text"),
    ],
)
def test_a_position_that_is_not_there_is_one_sentence(tmp_path: Path, position: str, sentence: str) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    done = shardline("complete", str(tmp_path / position))
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("plan", "--model", "/no/folder"), "model.name: there is no file or folder /no/folder."),
        (("plan", "--max-memory", "5GiB"), "--max-memory: write for example"),
        (("plan", "--dtype", "int3"), "On the command line: model.dtype must be one of"),
        (("plan", "--engine", "tgi"), "--engine: there is no tgi; there is vllm."),
        (("plan", "--engine", "vllm", "--gpu-memory", "80"), "--gpu-memory: write for example 80GiB, not '80'."),
        (("plan", "--engine", "vllm", "--model", "x.gguf"), "--model: vLLM takes a name on the hub or a folder"),
        (("plan", "--set", "model.nmae=x"), "There is no setting model.nmae; did you mean model.name?"),
        (("plan", "--config", "/no/file.toml"), "The settings file /no/file.toml cannot be read"),
        (("prompt", "a.py:1:1", "--infilling", "mid"), "completion.infilling must be one of auto, psm, spm, off"),
        (("--model", "x", "plan"), "--model in front of plan would be for the language server."),
        (("--set", "a.b=1", "--config", "x", "serve"), "`shardline serve --help` lists them."),
        (("--tcp", "127.0.0.1:0", "stats"), "--tcp in front of stats"),
        (("--allow-key-env", "A_KEY", "doctor"), "--allow-key-env in front of doctor"),
        (("--tcp", "0.0.0.0:8765"), "can be reached from other machines"),
        (("--tcp", "192.0.2.1:8765"), "can be reached from other machines"),
        (("--tcp", "127.0.0.1:x"), "must look like --tcp 127.0.0.1:8765"),
        (("--tcp", "127.0.0.1:99999"), "there is no port 99999"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_1(arguments: tuple[str, ...], sentence: str) -> None:
    done = shardline(*arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_tells_what_it_finds_and_what_to_do(tiny_folder: Path, tmp_path: Path) -> None:
    well = shardline("doctor", "--model", str(tiny_folder), COLUMNS="300")
    assert well.returncode == 0
    for part in ("Python", "torch", "cpu", "memory free", "Cache folder", "hub", "Placement", "layers on cpu"):
        assert part in well.stdout
    ill = shardline("doctor", "--model", str(tmp_path))
    assert ill.returncode == 1
    assert "✗" in ill.stdout


def test_settings_are_shown_with_their_values() -> None:
    shown = output("settings", "--set", "generation.maxTokens=77")
    assert "generation.maxTokens" in shown
    assert "77" in shown


def test_the_schema_describes_every_setting() -> None:
    schema = json.loads(output("settings", "--json-schema"))
    properties: dict[str, dict[str, Any]] = schema["properties"]
    assert properties["shardline.generation.maxTokens"]["maximum"] == 4096
    assert properties["shardline.model.name"]["scope"] == "machine"
    assert all(entry["description"] and "default" in entry for entry in properties.values())


def test_a_folder_sets_in_vs_code_nothing_that_runs_sends_or_shows() -> None:
    properties: dict[str, dict[str, Any]] = json.loads(output("settings", "--json-schema"))["properties"]
    of_the_machine = {
        name.removeprefix("shardline.") for name, entry in properties.items() if entry["scope"] == "machine"
    }
    assert of_the_machine >= {"model.name", "model.revision", "model.draft", "model.offloadFolder", "log.level"}
    assert of_the_machine >= {
        "engine.mode",
        "engine.idle",
        "completion.secretPaths",
        "remote.baseUrl",
        "remote.apiKeyEnv",
    }
    assert not any(name.startswith("generation.") for name in of_the_machine)
    package = json.loads((documentation.ROOT / "editor-config/vscode/package.json").read_text(encoding="utf-8"))
    untrusted = package["capabilities"]["untrustedWorkspaces"]
    assert untrusted["supported"] == "limited"
    restricted = {name.removeprefix("shardline.") for name in untrusted["restrictedConfigurations"]}
    assert restricted >= of_the_machine | {
        "command",
        "completion.excludePaths",
        "model.deviceMap",
        "statistics.enabled",
    }


def test_help_names_every_command_and_takes_no_torch() -> None:
    names = "import sys; sys.argv[1:] = ['--help']\ntry:\n    from shardline.cli import main; main()\n"
    names += "finally:\n    print([n for n in ('torch', 'transformers', 'accelerate', 'pygls') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", names], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("[]\n")
    for command in ("serve", "demo", "complete", "prompt", "plan", "layers", "doctor", "settings", "replay"):
        assert f"  {command} " in done.stdout


def test_the_server_answers_before_torch_is_imported_and_knows_nothing_of_http() -> None:
    heavy = "'torch', 'starlette', 'uvicorn', 'prometheus_client'"
    code = "import sys; import shardline.cli.language_server, shardline.cli.app; "
    code += f"print([name for name in ({heavy}) if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_models_server_listens_before_torch_is_imported() -> None:
    code = "import sys; import shardline.cli.engine_server, shardline.cli.app; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_version() -> None:
    assert output("--version").startswith("shardline 0.")


def test_demo_ends_with_an_error_where_a_step_fails(tmp_path: Path) -> None:
    done = shardline("demo", "--model", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "model.name: there is no file or folder" in done.stdout.replace("\n", " ")
