"""The lean decoder says what the reference says: for each family, in stages, with what was read before, packed."""

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import gguf
import pytest
import torch
from torch import nn
from transformers import AutoConfig

from shardline.engine.checkpoints.empty_model import empty_model
from shardline.engine.checkpoints.gguf_names import stored_bits
from shardline.engine.models.llama.config import shape_of
from shardline.engine.models.llama.meta_modules import Outline
from shardline.engine.weights.bits import bits_of
from shardline.engine.weights.gguf_source import GgufWeights
from shardline.engine.weights.linear import Int4, Int8
from shardline.setting_values import Device
from tests.engine.llamas import FAMILIES, HALVES, PROMPT, fill, load, make, read_alone_and_together, reference


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path, request.param)


def test_its_logits_are_the_references(folder: Path) -> None:
    model = load(folder)
    expected = reference(folder, PROMPT)
    torch.testing.assert_close(model.forward(PROMPT, model.new_memory(), every=True), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.forward(PROMPT, model.new_memory()), expected[-1], atol=1e-4, rtol=1e-4)


def test_in_bfloat16_they_are_as_near_as_its_digits_allow(folder: Path) -> None:
    model = load(folder, dtype="bfloat16")
    exact = reference(folder, PROMPT)
    theirs = (reference(folder, PROMPT, torch.bfloat16) - exact).abs().mean()
    ours = (model.forward(PROMPT, model.new_memory(), every=True) - exact).abs().mean()
    assert ours <= 1.5 * theirs


@pytest.mark.parametrize("cuts", [[1], [5], [11], [1, 2, 3, 4], [4, 8]])
def test_read_in_parts_it_says_the_same(tmp_path: Path, cuts: list[int]) -> None:
    model = load(make(tmp_path, "llama"))
    memory = model.new_memory()
    borders = [0, *cuts, len(PROMPT)]
    parts = [model.forward(PROMPT[a:b], memory, every=True) for a, b in pairwise(borders)]
    whole = model.forward(PROMPT, model.new_memory(), every=True)
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("places", [{"": "cpu"}, HALVES], ids=["one device", "several"])
def test_what_was_never_written_is_never_seen(folder: Path, places: Mapping[str, Device]) -> None:
    model = load(folder, places=places)
    memory, others = model.new_memory(), [model.new_memory() for _ in range(2)]
    for one in (memory, *others):
        fill(one, math.nan)
    parts = [model.forward(PROMPT[a:b], memory, every=True) for a, b in ((0, 5), (5, 6), (6, 9), (9, 12))]
    assert torch.cat(parts).isfinite().all()
    together = model.forward_batch([(PROMPT[:3], others[0]), (PROMPT[:1], others[1])])
    assert torch.cat(list(together)).isfinite().all()


@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
@pytest.mark.parametrize("places", [{"": "cpu"}, HALVES], ids=["one device", "several"])
def test_several_texts_in_one_pass_say_what_each_says_alone(
    tmp_path: Path, quantization: str, places: Mapping[str, Device]
) -> None:
    model = load(make(tmp_path, "codellama"), quantization=quantization, places=places)
    texts = [PROMPT[:1], PROMPT[2:5], PROMPT[4:5], PROMPT[5:9]]
    alone, together, said = read_alone_and_together(model, texts)
    for one, other in said:
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert [memory.length for memory in together] == [memory.length for memory in alone]


def test_what_was_forgotten_leaves_no_trace(tmp_path: Path) -> None:
    model = load(make(tmp_path, "llama"))
    memory = model.new_memory()
    model.forward([1, 2, 3, *PROMPT], memory)
    memory.truncate(0)
    model.forward(PROMPT[:6], memory)
    memory.truncate(4)
    again = model.forward(PROMPT[4:], memory)
    torch.testing.assert_close(again, model.forward(PROMPT, model.new_memory()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("quantization", "share"), [("int8", 0.02), ("int4", 0.2)])
def test_packed_it_stays_near(tmp_path: Path, quantization: str, share: float) -> None:
    folder = make(tmp_path, "qwen2")
    exact = reference(folder, PROMPT)
    model = load(folder, quantization=quantization)
    said = model.forward(PROMPT, model.new_memory(), every=True)
    assert (said - exact).abs().mean() <= share * exact.abs().mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_weights_multiply_as_what_they_stand_for(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(48, 64), torch.randn(5, 64)
    rough = 1e-5 if dtype == torch.float32 else 2e-2
    for packed, steps in ((Int8.pack(weight.to(dtype)), 127), (Int4.pack(weight.to(dtype)), 7)):
        product = packed(x.to(dtype)).float()
        assert (product - x @ weight.T).abs().max() < 64 * 4 / steps
        again = type(packed).pack(packed(torch.eye(64, dtype=dtype)).T.contiguous())  # packing what is packed
        torch.testing.assert_close(again(x.to(dtype)).float(), product, atol=10 * rough, rtol=rough)
    table = Int8.pack(weight.to(dtype))
    whole = table(torch.eye(64, dtype=dtype)).T
    torch.testing.assert_close(table.rows(torch.tensor([3, 40])), whole[[3, 40]], atol=rough, rtol=rough)


@pytest.mark.parametrize("rows", [1, 4, 9])
def test_packed_weights_are_read_from_any_place_in_memory(rows: int) -> None:
    weight, x = torch.randn(4096, 64).bfloat16(), torch.randn(rows, 64).bfloat16()
    for packed in (Int8.pack(weight), Int4.pack(weight)):
        moved = {
            name: torch.cat((torch.zeros(8, dtype=torch.uint8), part.flatten().view(torch.uint8)))[8:]
            .view(part.dtype)
            .view(part.shape)
            for name, part in packed.named_buffers()
        }
        assert any(part.data_ptr() % 64 for part in moved.values())
        assert torch.equal(type(packed)(*moved.values())(x), packed(x))


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q4_1])
def test_four_bits_of_a_gguf_file_stay_as_they_are(kind: gguf.GGMLQuantizationType, tmp_path: Path) -> None:
    values = torch.randn(16, 64, generator=torch.Generator().manual_seed(0)).numpy()
    file = tmp_path / "one.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_tensor("blk.0.ffn_up.weight", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    weights = GgufWeights(file, torch.float32, heads=4, kv_heads=2)
    name = "model.layers.0.mlp.up_proj"
    packed, dense = weights.linear([name], torch.device("cpu")), weights.tensor(f"{name}.weight")
    assert isinstance(packed, Int4)
    assert dense is not None
    torch.testing.assert_close(packed(torch.eye(64)).T, dense, atol=1e-6, rtol=1e-6)
    assert stored_bits(file) == {f"{name}.weight": 4}


@pytest.mark.parametrize("cut", [1, 2])
def test_in_stages_it_says_the_same(tmp_path: Path, cut: int) -> None:
    folder = make(tmp_path, "llama")
    places: dict[str, Device] = {"": "cpu"}
    places |= {f"model.layers.{number}": "cpu:0" for number in range(cut, 3)}  # another name of the same device
    whole, staged = load(folder), load(folder, places=places | {"lm_head": "cpu:0"})
    one, several = whole.new_memory(), staged.new_memory()
    assert [len(part) for part in several.parts] == [cut, 3 - cut]
    for ids in (PROMPT, [7], [8, 9]):
        torch.testing.assert_close(staged.forward(ids, several), whole.forward(ids, one), atol=1e-5, rtol=1e-5)


def test_its_outline_has_the_parameters_of_the_reference(folder: Path) -> None:
    config = AutoConfig.from_pretrained(folder)
    shape = shape_of(config.to_dict())
    assert shape is not None
    ours, theirs = Outline(shape, torch.float32), empty_model(config, torch.float32)

    def sizes(model: nn.Module) -> dict[str, torch.Size]:
        tensors = (*model.named_parameters(remove_duplicate=False), *model.named_buffers())
        return {name: weight.shape for name, weight in tensors}

    assert sizes(ours) == sizes(theirs)
    leaves = {name for name, module in theirs.named_modules() if not list(module.children())}
    assert leaves - {name for name, _ in ours.named_modules()} == {
        f"model.layers.{number}.mlp.act_fn" for number in range(3)
    }


@pytest.mark.parametrize(
    ("name", "columns", "quantization", "bits"),
    [
        ("model.layers.0.mlp.up_proj.weight", 64, "int4", 4),
        ("model.layers.0.mlp.up_proj.weight", 40, "int4", 8),
        ("lm_head.weight", 64, "int4", 8),
        ("model.layers.0.mlp.up_proj.weight", 64, "int8", 8),
        ("model.layers.0.mlp.up_proj.weight", 64, "none", 4),
        ("model.layers.0.mlp.down_proj.weight", 64, "none", None),
        ("lm_head.weight", 64, "none", 8),
        ("model.embed_tokens.weight", 64, "none", None),
    ],
)
def test_a_table_never_has_four_bits(name: str, columns: int, quantization: str, bits: int | None) -> None:
    stored = {"model.layers.0.mlp.up_proj.weight": 4, "lm_head.weight": 8, "model.embed_tokens.weight": 4}
    assert bits_of(name, columns, quantization, stored) == bits
