"""Plan for several machines: each GPU's load, the commands, the settings."""

import json
import re
import shlex
import textwrap
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from shardline.cli.inspect.plan import DOES_NOT_FIT
from shardline.console import Console, say
from shardline.engine.placement.vllm_cluster import BATCHED_TOKENS, UTILIZATION, Cluster, ClusterPlan, lay_out
from shardline.engine.plan import in_words
from shardline.errors import BadValueError, SettingsError
from shardline.setting_values import parse_size
from shardline.settings import Settings

PORT, RAY_PORT = 8000, 6379
KEY = "SHARDLINE_KEY"
"""The environment variable that holds the key, at the server and at the editors."""

HEAD = "HEAD"
"""The first node, in commands: only the user knows what it is called."""

LINE = 80
"""Length of a command's lines."""


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Machines that the flags describe."""

    nodes: int
    gpus_per_node: int
    gpu_memory: str
    sequences: int


def plan(settings: Settings, machines: Machines, *, as_json: bool) -> int:
    """Print the plan for these settings and machines; returns the exit code."""
    memory = _bytes(machines.gpu_memory)
    if settings.model.name.endswith(".gguf"):
        raise SettingsError("--model: vLLM takes a name on the hub or a folder with safetensors, no GGUF file.")
    from shardline.engine.checkpoints import checkpoint
    from shardline.engine.placement import planner, vllm_sizes  # lazy: imports torch

    source = checkpoint.find(settings.model, lambda _: None, weights=False)
    cluster = Cluster(
        nodes=machines.nodes,
        gpus_per_node=machines.gpus_per_node,
        gpu_memory=memory,
        context_tokens=planner.context_tokens(settings.model, source),
        sequences=machines.sequences,
    )
    made = lay_out(vllm_sizes.sizes_of(settings.model, source), cluster)
    if as_json:
        print(json.dumps({**made.as_json(), **_told(made)}, indent=2))  # noqa: T201
    else:
        _show(made)
    return 0 if made.fits else DOES_NOT_FIT


def commands(made: ClusterPlan) -> list[tuple[str, str]]:
    """Return the commands that serve a plan that fits, with where to run each, in order."""
    serve = ["vllm", "serve", made.sizes.model, "--host", "127.0.0.1", "--port", str(PORT)]
    serve += ["--dtype", made.sizes.dtype]
    serve += ["--tensor-parallel-size", str(made.tensor_parallel)]
    serve += ["--pipeline-parallel-size", str(made.pipeline_parallel)]
    serve += ["--max-model-len", str(made.cluster.context_tokens), "--max-num-seqs", str(made.cluster.sequences)]
    serve += ["--max-num-batched-tokens", str(max(BATCHED_TOKENS, made.cluster.sequences))]
    serve += ["--gpu-memory-utilization", str(UTILIZATION)]
    start = []
    if made.cluster.nodes > 1:
        serve += ["--distributed-executor-backend", "ray"]
        start = [
            ("the first node, HEAD", f"ray start --head --port={RAY_PORT}"),
            ("each other node", f"ray start --address={HEAD}:{RAY_PORT}"),
        ]
    return [
        *start,
        ("the first node, HEAD", f'{shlex.join(serve)} --api-key "${KEY}"'),
        ("the machine of an editor", f"ssh -N -L {PORT}:127.0.0.1:{PORT} {HEAD}"),
    ]


def settings_for(made: ClusterPlan) -> dict[str, Any]:
    """Return the settings that point an editor there."""
    remote = {"baseUrl": f"http://127.0.0.1:{PORT}", "kind": "vllm", "apiKeyEnv": KEY}
    model = {"name": made.sizes.model, "contextTokens": made.cluster.context_tokens}
    return {"shardline": {"remote": remote, "model": model}}


def _told(made: ClusterPlan) -> dict[str, Any]:
    if not made.fits:
        return {"commands": [], "settings": {}}
    steps = [{"where": where, "command": command} for where, command in commands(made)]
    return {"commands": steps, "settings": settings_for(made)}


def _show(made: ClusterPlan) -> None:
    console = Console(highlight=False)
    cluster, sizes = made.cluster, made.sizes
    title = f"{sizes.model} in {sizes.dtype}, {cluster.sequences} sequences of {cluster.context_tokens} tokens at once"
    console.print(Text(title, style="bold"))
    if not made.fits:
        console.print(Text(f"✗ {made.refusal}", style="red"))
        return
    console.print(_table(made))
    last = ""
    for where, command in commands(made):
        if where != last:
            say(f"\nOn {where}:")
        say(textwrap.indent(_wrapped(command), "    "))  # to be copied
        last = where
    say(f"\nIn the settings of the editor:\n{json.dumps(settings_for(made), indent=2)}")


def _wrapped(command: str) -> str:
    """Wrap a command over several lines, each flag with its value."""
    whole = re.sub(r"(--[\w-]+) (?!--)", "\\1\0", command)
    lines = textwrap.wrap(whole, LINE, break_long_words=False, break_on_hyphens=False, subsequent_indent="    ")
    return " \\\n".join(lines).replace("\0", " ")


def _table(made: ClusterPlan) -> Table:
    table = Table("", "Layers", "GPUs", "Weights", "KV cache", "Workspace", "On each GPU", box=None)
    for stage in made.stages:
        parts = [in_words(size) for size in (stage.weights, stage.kv_cache, stage.workspace)]
        each = f"{in_words(stage.used)} of {in_words(stage.limit)}"
        table.add_row(f"node {stage.node + 1}", str(stage.layers), str(stage.gpus), *parts, each)
    return table


def _bytes(text: str) -> int:
    try:
        if text.isdigit():  # most likely gigabytes are meant
            raise BadValueError(text)
        return parse_size(text)
    except BadValueError as error:
        raise SettingsError(f"--gpu-memory: write for example 80GiB, not {text!r}.") from error
