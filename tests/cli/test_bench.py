"""The speed benchmark: every figure is there, ratios are of what was measured, and what cannot be measured is told."""

import json
from pathlib import Path

import pytest

from shardline.errors import SettingsError
from shardline.measure.output import Files
from shardline.measure.speed.bench import bench
from shardline.measure.speed.clients import bench_clients
from shardline.settings import ModelSettings, Settings

pytestmark = pytest.mark.slow

SPREADS = ["decode_tokens_per_second", "prefill_tokens_per_second", "time_to_first_token_ms"]


def test_figures_are_measured_written_and_drawn(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, picture = tmp_path / "figures.json", tmp_path / "figures.png"
    settings = Settings(model=ModelSettings(name=str(tiny_folder)))
    bench(settings, repeats=1, against=["transformers", "llama.cpp"], files=Files(json=file, plot=picture))
    figures = json.loads(file.read_text())
    assert figures["model"] == str(tiny_folder)
    assert figures["bandwidth_gb_s"] > 0
    names = [configuration["name"] for configuration in figures["configurations"]]
    assert names == ["shardline", "shardline int8", "shardline int4", "transformers float32", "transformers bfloat16"]
    for configuration in figures["configurations"]:
        for spread in SPREADS:
            assert 0 < configuration[spread]["min"] <= configuration[spread]["median"] <= configuration[spread]["max"]
        assert configuration["share_of_limit"] > 0
    perplexity = {c["name"]: c["perplexity"] for c in figures["configurations"]}
    assert perplexity["shardline"] == pytest.approx(perplexity["transformers float32"], rel=0.02)
    decode = {c["name"]: c["decode_tokens_per_second"]["median"] for c in figures["configurations"]}
    best = max(decode["transformers float32"], decode["transformers bfloat16"])
    assert figures["ratios"]["decode, shardline int8 to transformers"] == pytest.approx(decode["shardline int8"] / best)
    assert figures["ratios"]["start, to import torch"] > 0  # of one start each, which may be the slower one
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "llama.cpp could not be measured" in capsys.readouterr().out


def test_what_it_cannot_measure_against_is_told() -> None:
    with pytest.raises(SettingsError, match="there is no ollama"):
        bench(Settings(), repeats=1, against=["ollama"], files=Files())


def test_clients_at_once_are_measured_against_one(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    settings = Settings(model=ModelSettings(name=str(tiny_folder)))
    bench_clients(settings, clients=3, repeats=2, files=Files(json=file))
    figures = json.loads(file.read_text())["figures"]
    assert list(figures) == ["one client", "3 at once", "ratio"]
    for spread in figures.values():
        assert 0 < spread["min"] <= spread["median"] <= spread["max"]
    assert "3 at once" in capsys.readouterr().out
