"""Whatever a model's files say: no tensor reaches a kernel in another shape than the config gives it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shardline.engine.models.llama.config import shape_of
from shardline.engine.models.llama.native_step import CompiledStep
from shardline.engine.models.llama.stage import Layer, Stage
from shardline.engine.weights.linear import Dense, Int4, Int8, Linear
from shardline.errors import CheckpointError
from tests import tiny
from tests.engine.gguf_files import write_gguf
from tests.engine.llamas import load, make
from tests.engine.tiny_runner import CODE, open_tiny, text

pytestmark = pytest.mark.slow

NAMES = (
    "model.embed_tokens.weight",
    "model.norm.weight",
    "lm_head.weight",
    *(f"model.layers.0.{norm}.weight" for norm in ("input_layernorm", "post_attention_layernorm")),
    *(f"model.layers.0.self_attn.{part}_proj.weight" for part in "qkvo"),
    *(f"model.layers.0.mlp.{part}_proj.weight" for part in ("gate", "up", "down")),
)
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "a row more": lambda weight: torch.cat((weight, weight[:1])),
    "a row less": lambda weight: weight[:-1].clone(),
    "wider": lambda weight: torch.cat((weight, weight), -1),
    "one dimension": lambda weight: weight.flatten()[None],
    "a single number": lambda weight: weight.flatten()[0],
    "whole numbers": lambda weight: weight.to(torch.int8),
}
WIDE = 65_536


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with a feed-forward that is much wider than the others here."""
    folder = tmp_path_factory.mktemp("wide")
    return tiny.make(folder, hidden_size=64, intermediate_size=WIDE, num_hidden_layers=1, dtype="bfloat16")


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path) -> Path:
    """Return a copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def say(folder: Path, **values: Any) -> None:
    """Let the config say something else."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def refusal(folder: Path, **wish: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_tiny(folder, **wish)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [Kind.Q4_0, Kind.Q4_1, Kind.Q8_0, Kind.F32])
def test_a_gguf_file_that_is_wider_than_it_says_is_refused(
    wide: Path, tmp_path: Path, own_cache: Path, kind: Kind
) -> None:
    write_gguf(wide, tmp_path / "wide.gguf", kind, intermediate_size=64)
    assert f"shape {WIDE} x 64 in the model's weights, and by its config 64 x 64" in refusal(tmp_path / "wide.gguf")


@pytest.mark.parametrize("wish", [{"quantization": "int4"}, {"quantization": "int8"}, {}, {"engine": "transformers"}])
def test_safetensors_that_are_wider_than_the_config_says_are_refused(
    wide: Path, tmp_path: Path, wish: dict[str, str]
) -> None:
    folder = Path(shutil.copytree(wide, tmp_path / "wide"))
    say(folder, intermediate_size=64)
    assert "and by its config 64 x 64" in refusal(folder, **wish)


@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
@pytest.mark.parametrize("change", CHANGES)
def test_each_tensor_in_another_shape_is_refused_by_its_name(tmp_path: Path, change: str, quantization: str) -> None:
    folder = make(tmp_path, "llama", num_hidden_layers=1)
    tensors = load_file(folder / "model.safetensors")
    assert tensors.keys() == set(NAMES)
    for name in NAMES:
        save_file({**tensors, name: CHANGES[change](tensors[name])}, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=f"model.name: {name} "):
            load(folder, quantization=quantization)
        save_file({other: weight for other, weight in tensors.items() if other != name}, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=f"no weights for {name};"):
            load(folder, quantization=quantization)


def test_a_bias_is_as_long_as_its_weight_has_rows_or_refused(tmp_path: Path) -> None:
    folder = make(tmp_path, "llama", num_hidden_layers=1)
    tensors = load_file(folder / "model.safetensors")
    for module in ("self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"):
        name = f"model.layers.0.{module}"
        rows = len(tensors[f"{name}.weight"])
        save_file({**tensors, f"{name}.bias": torch.zeros(rows)}, folder / "model.safetensors")
        said = load(folder).forward([1, 2], load(folder).new_memory())
        save_file(tensors, folder / "model.safetensors")
        torch.testing.assert_close(said, load(folder).forward([1, 2], load(folder).new_memory()))
        for size in ((rows - 1,), (rows + 1,), (rows, 1)):
            save_file({**tensors, f"{name}.bias": torch.zeros(size)}, folder / "model.safetensors")
            with pytest.raises(CheckpointError, match=f"model.name: {name}.bias has the shape"):
                load(folder)


@pytest.mark.parametrize("engine", ["llama", "transformers"])
def test_a_weight_that_is_not_there_is_never_made_up(folder: Path, engine: str) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    assert "no weights for model.layers.1.mlp.up_proj.weight" in refusal(folder, engine=engine)
    say(folder, attention_bias=True)
    assert "no weights for" in refusal(folder, engine=engine)


@pytest.mark.parametrize("engine", ["llama", "transformers"])
@pytest.mark.parametrize("value", [0, -1, 10**9, 10**30, 1e99, float("inf"), "64", True, [], {}])
@pytest.mark.parametrize(
    "key",
    [
        "hidden_size",
        "intermediate_size",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "vocab_size",
    ],
)
def test_sizes_that_no_model_has_are_refused(folder: Path, engine: str, key: str, value: Any) -> None:
    say(folder, **{key: value})
    if (key, value) == ("max_position_embeddings", 10**9):  # only as much of it is taken as is asked for
        assert text(open_tiny(folder, engine=engine), CODE)
    else:
        assert key in refusal(folder, engine=engine)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"num_attention_heads": 5, "head_dim": None}, "hidden_size is 32, which is no multiple of 5"),
        ({"num_key_value_heads": 3}, "num_attention_heads is 4, which is no multiple of 3"),
        ({"head_dim": 7}, "the size of a head is 7, which is no multiple of 2"),
        ({"head_dim": 2**20}, "wide"),
        ({"head_dim": "8"}, "head_dim"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rms_norm_eps": "1e-5"}, "rms_norm_eps"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings"),
        ({"attention_bias": 3}, "attention_bias"),
        ({"sliding_window": "all", "model_type": "mistral"}, "sliding_window"),
        ({"rope_parameters": [1]}, "rope_parameters"),
        ({"rope_parameters": {"rope_theta": -1.0}}, "rope_theta"),
        ({"rope_parameters": {"rope_theta": 1e4, "rope_type": "linear", "factor": 0.0}}, "rope_parameters"),
        ({"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn", "factor": "x"}}, "rope_parameters"),
        ({"text_config": [1]}, "text_config"),
    ],
)
def test_values_that_do_not_go_together_are_refused(folder: Path, values: dict[str, Any], named: str) -> None:
    say(folder, **values)
    assert named in refusal(folder)


@pytest.mark.parametrize("longest", [1, 2, 3, 5])
def test_a_model_of_few_positions_completes_or_says_nothing(folder: Path, longest: int) -> None:
    say(folder, max_position_embeddings=longest)
    open_tiny(folder, dtype="bfloat16")


@pytest.mark.parametrize("token", [-1, 10**30, True, 1.5, "<|end|>", {}, [[1]]])
@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_ends_that_are_no_tokens_are_not_looked_at(folder: Path, file: str, token: Any) -> None:
    (folder / file).touch()
    values = json.loads((folder / file).read_text() or "{}")
    (folder / file).write_text(json.dumps({**values, "eos_token_id": token}))
    assert text(open_tiny(folder), CODE)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "{", "[]", '"', "\x00" * 100, "9" * 5000])
@pytest.mark.parametrize("file", ["config.json", "generation_config.json", "model.safetensors.index.json"])
def test_json_that_is_none_is_refused_by_the_name_of_its_file(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    assert f"{file} is damaged" in refusal(folder)


def test_a_config_that_would_fill_the_memory_is_not_read(folder: Path) -> None:
    with (folder / "config.json").open("r+b") as file:
        file.truncate(2**40)  # of which the disk holds a page
    assert "bytes" in refusal(folder)


SIZES = {"queries": 64, "keys": 32, "hidden": 64, "inner": 128, "vocabulary": 96}


def parts(kind: type[Linear], **changes: int) -> tuple[dict[str, Linear], Tensor]:
    """Return the weights of one layer and the ends of a model with these sizes."""
    size = {**SIZES, **changes}

    def linear(outs: int, ins: int, kind: type[Linear] = kind) -> Linear:
        weight = torch.zeros(outs, ins, dtype=torch.bfloat16)
        return Dense(weight) if kind is Dense else Int4.pack(weight) if kind is Int4 else Int8.pack(weight)

    table = Int8 if kind is Int4 else kind
    return {
        "qkv": linear(size["queries"] + 2 * size["keys"], size["hidden"]),
        "out": linear(size["hidden"], size["queries"]),
        "gate_up": linear(2 * size["inner"], size["hidden"]),
        "down": linear(size["hidden"], size["inner"]),
        "embedding": linear(size["vocabulary"], size["hidden"], table),
        "head": linear(size["vocabulary"], size["hidden"], table),
    }, torch.zeros(size["hidden"], dtype=torch.bfloat16)


@pytest.mark.parametrize("kind", [Dense, Int8, Int4])
@pytest.mark.parametrize("changed", ["qkv", "out", "gate_up", "down", "embedding", "head", "norm", "bias", "dtype"])
def test_the_compiled_step_takes_no_size_from_a_tensor(kind: type[Linear], changed: str, tmp_path: Path) -> None:
    shape = shape_of(json.loads((make(tmp_path, "llama", intermediate_size=128) / "config.json").read_text()))
    assert shape is not None
    linears, norm = parts(kind)
    others, _ = parts(kind, **{name: 2 * size for name, size in SIZES.items()})
    if changed in linears:
        linears[changed] = others[changed]
    elif changed == "norm":
        norm = norm[:-1]
    elif changed == "bias":
        linears["down"].register_buffer("bias", torch.zeros(63, dtype=torch.bfloat16))
    else:
        linears["down"] = linears["down"].to(torch.float32)
    embedding, head = linears.pop("embedding"), linears.pop("head")
    layer = Layer(shape, attention_norm=norm, feed_norm=norm, **linears)
    place = {"capacity": 16, "device": torch.device("cpu"), "dtype": torch.bfloat16}
    stage = Stage(replace(shape, layers=1), nn.ModuleList([layer]), **place)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=" not "):
        CompiledStep(tmp_path / "none.so", shape, embedding=embedding, stage=stage, norm=norm, head=head, capacity=16)


@pytest.mark.parametrize("engine", ["llama", "transformers"])
@pytest.mark.parametrize(
    "values",
    [
        {"_attn_implementation": "somebody/attention"},
        {"attn_implementation": {"": "somebody/attention@main"}},
        {"text_config": {"_experts_implementation": "somebody/experts"}},
    ],
)
def test_code_of_the_hub_that_a_config_names_is_refused(folder: Path, engine: str, values: dict[str, Any]) -> None:
    say(folder, **values)
    assert "code from the hub" in refusal(folder, engine=engine)
