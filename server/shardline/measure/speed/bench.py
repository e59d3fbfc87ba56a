"""Speed of the model beside other programs, each in its own process."""

import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from rich.table import Table

from shardline import children, threads
from shardline.console import Console, progress_bar
from shardline.errors import SettingsError, ShardlineError, first_line
from shardline.measure import plot
from shardline.measure.output import Files
from shardline.settings import ModelSettings, Settings

if TYPE_CHECKING:
    from shardline.measure.speed.subject import Figures

PEERS = {"transformers": "transformers", "llama.cpp": "llama_cpp", "vllm": "vllm"}
"""Programs to measure against, and the module that each needs."""

Measured = TypeVar("Measured")


Speed = Literal["decode_tokens_per_second", "prefill_tokens_per_second"]
SPEEDS: dict[str, Speed] = {"decode": "decode_tokens_per_second", "prefill": "prefill_tokens_per_second"}


class Spread(TypedDict):
    """Median and range of values."""

    median: float
    min: float
    max: float


class Configuration(TypedDict):
    """Figures of one way to run the model, as `--json` writes them."""

    name: str
    decode_tokens_per_second: Spread
    prefill_tokens_per_second: Spread
    time_to_first_token_ms: Spread
    time_to_first_token_reused_ms: Spread
    share_of_limit: float
    weights_bytes_per_token: int
    peak_bytes: int
    perplexity: float | None


class Report(TypedDict):
    """Figures of a benchmark, as `--json` writes them."""

    device: str
    model: str
    bandwidth_gb_s: float
    ratios: dict[str, float]
    configurations: list[Configuration]


@dataclass(frozen=True)
class Way:
    """A way to run the model: ours with these settings, or a peer's."""

    name: str
    settings: ModelSettings
    peer: str = ""


def bench(settings: Settings, *, repeats: int, against: Sequence[str], files: Files) -> None:
    """Measure the model as it is set, packed in 8 and 4 bits, and `against` other programs; print the figures."""
    unknown = [name for name in against if name not in PEERS]
    if unknown:
        raise SettingsError(f"--against: there is no {unknown[0]}; there are {', '.join(PEERS)}.")
    report = Report(device="", model=settings.model.name, bandwidth_gb_s=0.0, ratios={}, configurations=[])
    problems = []
    ways = list(_ways(settings.model, against))
    try:
        with progress_bar() as progress:
            task = progress.add_task("Measuring memory", total=len(ways) + 3)
            report["device"], speed = apart(_device_and_bandwidth)
            report["bandwidth_gb_s"] = speed / 1e9
            ids = apart(_code, settings.model)
            for way in ways:
                progress.update(task, advance=1, description=f"Measuring {way.name}")
                try:
                    figures = apart(_measure, way, ids, repeats)
                except (ShardlineError, BrokenProcessPool, OSError, ImportError, RuntimeError, ValueError) as error:
                    problems.append(f"{way.name} could not be measured ({first_line(error)}).")
                    continue
                report["configurations"].append(_configuration(way.name, figures, speed))
            progress.update(task, advance=1, description="Measuring drafts")
            report["ratios"] |= apart(_drafts, settings.model, repeats)
            progress.update(task, advance=1, description="Measuring the start")
            report["ratios"]["start, to import torch"] = _start(settings.model, repeats)
            progress.update(task, advance=1)
    except KeyboardInterrupt:
        problems.append("Stopped; these are the figures so far.")
    report["ratios"] = {**_ratios(report["configurations"]), **report["ratios"]}
    _print(report, problems, files)


def _ways(model: ModelSettings, against: Sequence[str]) -> Iterator[Way]:
    """Yield our ways, as set and packed in 8 and 4 bits, then those of the peers."""
    for quantization in dict.fromkeys((model.quantization, "int8", "int4")):
        name = "shardline" if quantization == "none" else f"shardline {quantization}"
        yield Way(name, replace(model, quantization=quantization))
    for peer in against:
        for dtype in ("float32", "bfloat16") if peer == "transformers" else ("",):
            yield Way(f"{peer} {dtype}".strip(), model, peer)


def apart(function: Callable[..., Measured], *arguments: Any) -> Measured:
    """Call `function` in a new process, so that nothing that ran before is in its way."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _device_and_bandwidth() -> tuple[str, float]:
    from shardline.measure.speed import subject

    return subject.device_name(), subject.bandwidth()


def _code(model: ModelSettings) -> list[int]:
    from shardline.measure.speed import subject

    return subject.tokens(model)[0]


def _measure(way: Way, ids: Sequence[int], repeats: int) -> "Figures":
    if way.peer:
        threads.unsettle()  # peers run as they do by themselves
    from shardline.measure.speed import subject

    return subject.measure(_subject(way), ids, repeats)


def _subject(way: Way) -> Any:
    from shardline.engine.checkpoints import checkpoint
    from shardline.measure.speed import peers, subject

    if not way.peer:
        return subject.Own(way.settings)
    if find_spec(PEERS[way.peer]) is None:
        raise RuntimeError("it is not installed")
    source = checkpoint.find(way.settings, lambda _: None)
    if way.peer == "transformers":
        return peers.Transformers(source.with_safetensors(lambda _: None).folder, way.name.rpartition(" ")[2])
    if way.peer == "vllm":
        return peers.Vllm(source.with_safetensors(lambda _: None).folder)
    if source.gguf is None:
        raise RuntimeError("the model is no GGUF file")
    return peers.LlamaCpp(source.gguf)


def _drafts(model: ModelSettings, repeats: int) -> dict[str, float]:
    """Return the gain of speculative decoding on code that repeats itself, and on text drawn at random."""
    from shardline.measure.speed import subject

    own = subject.Own(model)
    code, repeating = subject.tokens(model)
    gains = {
        "drafts, on code that repeats itself": own.gain_of_drafts(repeating, temperature=0.0, repeats=repeats),
        "drafts, on code that does not": own.gain_of_drafts(code[:200], temperature=1.0, repeats=repeats),
    }
    return {name: statistics.median(values) for name, values in gains.items()}


def _start(model: ModelSettings, repeats: int) -> float:
    """From the start of a process to the first token, in times of `import torch`."""

    def seconds(source: str) -> float:
        began = time.perf_counter()
        command = [sys.executable, "-P", "-c", source]
        subprocess.run(command, check=True, capture_output=True, **children.surroundings())  # noqa: S603  our own source
        return time.perf_counter() - began

    ours = (
        "from shardline.settings import ModelSettings\n"
        f"from shardline.measure.speed.subject import first_token\nfirst_token({model!r})"
    )
    times = [(seconds(ours), seconds("import torch")) for _ in range(repeats + 1)][1:]
    return statistics.median(mine / theirs for mine, theirs in times)


def _configuration(name: str, figures: "Figures", bandwidth: float) -> Configuration:
    decode = spread(figures.decode)
    return {
        "name": name,
        "decode_tokens_per_second": decode,
        "prefill_tokens_per_second": spread(figures.prefill),
        "time_to_first_token_ms": spread(figures.first_token),
        "time_to_first_token_reused_ms": spread(figures.first_token_reused),
        "share_of_limit": decode["median"] * figures.bytes_per_token / bandwidth,
        "weights_bytes_per_token": figures.bytes_per_token,
        "peak_bytes": figures.peak_bytes,
        "perplexity": figures.perplexity,
    }


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the range of values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _ratios(configurations: Sequence[Configuration]) -> dict[str, float]:
    """Return the ratio of each of ours to each peer in its faster dtype."""
    ratios = {}
    for what, speed in SPEEDS.items():
        for peer in PEERS:
            theirs = [other[speed]["median"] for other in configurations if other["name"].startswith(peer)]
            for own in configurations:
                if theirs and own["name"].startswith("shardline"):
                    ratios[f"{what}, {own['name']} to {peer}"] = own[speed]["median"] / max(theirs)
    return ratios


def _print(report: Report, problems: Sequence[str], files: Files) -> None:
    console = Console()
    console.print(f"{report['model']} on {report['device']}, memory read at {report['bandwidth_gb_s']:.1f} GB/s")
    if report["configurations"]:
        console.print(_table(report["configurations"]))
    ratios = Table("Ratio", "times")
    for name, value in report["ratios"].items():
        ratios.add_row(name, f"{value:.2f}")
    console.print(ratios)
    for problem in problems:
        console.print(f"! {problem}", style="yellow")
    if files.json is not None:
        files.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    if files.plot is not None and report["configurations"]:
        series = {"decode": [c["decode_tokens_per_second"]["median"] for c in report["configurations"]]}
        names = [configuration["name"] for configuration in report["configurations"]]
        title = f"Decode: {report['model']} on {report['device']}"
        plot.bars(files.plot, title=title, unit="tokens per second", groups=names, series=series)


def _table(configurations: Sequence[Configuration]) -> Table:
    table = Table(
        caption="Medians: tokens per second, milliseconds to the first token; share of the memory's limit; perplexity"
    )
    table.add_column("")
    for column in ("decode", "spread", "prefill", "first", "reused", "limit", "MiB", "perplexity"):
        table.add_column(column, justify="right")
    table.columns[0].no_wrap = True
    for one in configurations:
        table.add_row(
            one["name"],
            f"{one['decode_tokens_per_second']['median']:.0f}",
            f"{one['decode_tokens_per_second']['min']:.0f}–{one['decode_tokens_per_second']['max']:.0f}",
            f"{one['prefill_tokens_per_second']['median']:.0f}",
            f"{one['time_to_first_token_ms']['median']:.0f}",
            f"{one['time_to_first_token_reused_ms']['median']:.0f}",
            f"{one['share_of_limit']:.0%}" if one["weights_bytes_per_token"] else "",
            f"{one['peak_bytes'] / 2**20:.0f}",
            f"{one['perplexity']:.2f}" if one["perplexity"] else "",
        )
    return table
