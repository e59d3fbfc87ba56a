"""Command line: names, flags and one sentence for each command."""

import gc
from pathlib import Path
from typing import Annotated

import typer

from shardline import __version__, logs
from shardline.cli import options
from shardline.cli.options import (
    Config,
    ContextTokens,
    DeviceMap,
    Dtype,
    Json,
    JsonFile,
    MaxMemory,
    Model,
    PlotFile,
    Set,
)
from shardline.errors import SettingsError
from shardline.measure.output import Files

app = typer.Typer(
    help="A language server that completes code with a model sharded over your own devices.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 92},
)

Position = Annotated[str, typer.Argument(metavar="FILE:LINE:COLUMN", help="Both counted from 1, in characters.")]


@app.callback(invoke_without_command=True)
def language_server(
    context: typer.Context,
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    tcp: Annotated[
        str | None,
        typer.Option("--tcp", metavar="127.0.0.1:PORT", help="Speak LSP over TCP, with the client that has the token."),
    ] = None,
    allow_key_env: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-key-env", metavar="NAME", help="Let editors set remote.apiKeyEnv to NAME, besides SHARDLINE_…."
        ),
    ] = None,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Start the language server; editors run this."""
    if show_version:
        typer.echo(f"shardline {__version__}")
        raise typer.Exit
    given = {"--model": model, "--config": config, "--set": assignments, "--tcp": tcp, "--allow-key-env": allow_key_env}
    if context.invoked_subcommand is not None:
        options.refuse_before(context.invoked_subcommand, given)
        gc.enable()
        logs.configure("error")
    else:
        from shardline.cli import language_server as command

        command.serve(options.read(model, config, assignments), tcp, allow_key_env or ())


@app.command()
def serve(
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0: any free one.")] = 0,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file",
            metavar="FILE",
            help="The key that clients must send; made if missing. Default: SHARDLINE_API_KEY.",
        ),
    ] = None,
    ssl_certfile: Annotated[
        Path | None, typer.Option("--ssl-certfile", metavar="FILE", help="The TLS certificate.")
    ] = None,
    ssl_keyfile: Annotated[
        Path | None, typer.Option("--ssl-keyfile", metavar="FILE", help="The certificate's private key.")
    ] = None,
    idle: Annotated[
        float | None,
        typer.Option("--idle", metavar="SECONDS", min=0, help="Exit after so long without a client."),
    ] = None,
) -> None:
    """Serve the model to other programs, over HTTP.

    Speaks the protocols of OpenAI's completions and of llama.cpp's /infill. Prints its address; the page there shows
    the model at work.
    """
    from shardline.cli import engine_server as command
    from shardline.http.listener import Address

    address = Address(host=host, port=port, certificate=ssl_certfile, private_key=ssl_keyfile)
    settings = options.read(model, config, assignments)
    command.engine_server(settings, address, key_file=api_key_file, idle=idle)


@app.command(hidden=True)
def engine_process() -> None:
    """Run the engine that language servers share; they start this."""
    from shardline.cli import engine_process as command

    command.engine_process()


@app.command()
def engines(
    action: Annotated[str, typer.Argument(metavar="[stop]", help="Stop engines instead of listing them.")] = "",
    id: Annotated[str, typer.Argument(metavar="[ID]", help="The engine to stop.")] = "",  # noqa: A002  as users call it
    every: Annotated[bool, typer.Option("--all", help="Stop all engines.")] = False,
    as_json: Json = False,
) -> None:
    """List the engines that editors share, or stop them.

    Shows the model, version, editors and process of each.
    """
    from shardline.cli import engines as command

    if action not in ("", "stop"):
        raise typer.BadParameter(f"{action}: there is only `stop`.")
    if action:
        command.stop(id, every=every)
    else:
        command.show(as_json=as_json)


@app.command()
def demo(model: Model = None, config: Config = None, assignments: Set = None) -> None:
    """Complete sample code and show the speed.

    Starts the real server and asks it as an editor would. Exit code 1: a step failed.
    """
    from shardline.cli import demo as command

    raise typer.Exit(command.demo(options.read(model, config, assignments)))


@app.command()
def complete(
    position: Position,
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Print one suggestion, for scripts."""
    from shardline.cli import complete as command

    command.complete(position, options.read(model, config, assignments), as_json=as_json)


@app.command()
def prompt(
    position: Position,
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    infilling: Annotated[
        str | None, typer.Option("--infilling", metavar="psm|spm|off", help="Overrides completion.infilling.")
    ] = None,
    healing: Annotated[
        bool, typer.Option("--healing/--no-healing", help="Cut back a prefix that ends inside a token.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Show the exact prompt of the model.

    Needs no weights.
    """
    from shardline.cli.inspect import prompt as command

    settings = options.read(model, config, assignments, infilling=infilling)
    command.prompt(position, settings, healing=healing, as_json=as_json)


@app.command()
def plan(
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    dtype: Dtype = None,
    device_map: DeviceMap = None,
    max_memory: MaxMemory = None,
    context_tokens: ContextTokens = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="vllm", help="Plan for several machines with vLLM.")
    ] = None,
    nodes: Annotated[
        int, typer.Option("--nodes", metavar="N", min=1, help="With --engine: the number of machines.")
    ] = 1,
    gpus_per_node: Annotated[
        int, typer.Option("--gpus-per-node", metavar="N", min=1, help="With --engine: GPUs in each machine.")
    ] = 1,
    gpu_memory: Annotated[
        str, typer.Option("--gpu-memory", metavar="SIZE", help="With --engine: memory of each GPU.")
    ] = "80GiB",
    sequences: Annotated[
        int, typer.Option("--sequences", metavar="N", min=1, help="With --engine: sequences completed at once.")
    ] = 16,
    as_json: Json = False,
) -> None:
    """Show which layers go on which device.

    With --engine vllm, shows the machines too, and the commands to run there. Needs no weights and no GPU. Exit code 3:
    the model does not fit.
    """
    from shardline.cli.inspect import plan as command

    chosen = options.read(
        model,
        config,
        assignments,
        dtype=dtype,
        device_map=device_map,
        max_memory=max_memory,
        context_tokens=context_tokens,
    )
    if engine is None:
        raise typer.Exit(command.plan(chosen, as_json=as_json))
    if engine != "vllm":
        raise SettingsError(f"--engine: there is no {engine}; there is vllm.")
    from shardline.cli.inspect import cluster

    machines = cluster.Machines(nodes=nodes, gpus_per_node=gpus_per_node, gpu_memory=gpu_memory, sequences=sequences)
    raise typer.Exit(cluster.plan(chosen, machines, as_json=as_json))


@app.command()
def layers(
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    depth: Annotated[
        int | None, typer.Option("--depth", metavar="N", min=1, help="List modules down to this depth.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the modules of the model.

    Shows the type, parameters, bytes and devices of each.
    """
    from shardline.cli.inspect import layers as command

    command.layers(options.read(model, config, assignments), depth=depth, as_json=as_json)


@app.command(name="eval")
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Any folder of source code.")],
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    holes: Annotated[int, typer.Option("--holes", metavar="N", min=1, help="The number of holes.")] = 60,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The same seed cuts the same holes.")] = 0,
    variants: Annotated[
        str, typer.Option("--variants", metavar="NAMES", help="Any of naive,no-healing,no-trim,full.")
    ] = "naive,full",
    json_file: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Measure suggestions on your own code.

    Cuts holes into source files and fills them as a suggestion is made. Control-C stops it and
    keeps the results so far.
    """
    from shardline.measure.quality import evaluate as command

    command.evaluate(
        folder,
        options.read(model, config, assignments),
        holes=holes,
        seed=seed,
        variants=variants.split(","),
        files=Files(json=json_file, plot=plot),
    )


@app.command()
def bench(
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="The number of measurements.")] = 5,
    against: Annotated[
        str, typer.Option("--against", metavar="NAMES", help="Any of transformers,llama.cpp,vllm, where installed.")
    ] = "",
    clients: Annotated[
        int | None, typer.Option("--clients", metavar="N", min=2, help="Measure N clients at once against one.")
    ] = None,
    json_file: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Measure how fast the model runs here.

    Measures the model as set and quantized to 8 and 4 bits, beside other programs, each in its own process. With
    --clients, measures only the tokens per second of several clients at once. Leave the machine alone meanwhile.
    """
    from shardline.measure.speed import bench as command

    settings = options.read(model, config, assignments)
    if clients is not None:
        from shardline.measure.speed.clients import bench_clients

        bench_clients(settings, clients=clients, repeats=repeats, files=Files(json=json_file))
        return
    command.bench(
        settings,
        repeats=repeats,
        against=[name for name in against.split(",") if name],
        files=Files(json=json_file, plot=plot),
    )


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any file of source code.")],
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
    keystrokes: Annotated[
        int, typer.Option("--keystrokes", metavar="N", min=1, help="The number of keys to press.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The same seed presses the same keys.")] = 0,
    client: Annotated[
        str, typer.Option("--client", metavar="NAME", help="The editor to imitate: vscode, neovim or popup.")
    ] = "vscode",
    speed: Annotated[float, typer.Option("--speed", metavar="N", min=0.1, help="Characters per second.")] = 5.0,
    server: Annotated[
        str | None, typer.Option("--server", metavar="COMMAND", help="Another language server, on stdio.")
    ] = None,
    json_file: JsonFile = None,
    plot: PlotFile = None,
) -> None:
    """Measure suggestions while a person types.

    Types parts of the file in front of the real server, with pauses and mistakes. Asks as an editor does, and checks
    each suggestion against the document. Exit code 1: the server ended. Control-C stops it and keeps the figures so
    far.
    """
    from shardline.measure.typing import replay as command

    script = command.Script(file=file, keystrokes=keystrokes, seed=seed, client=client, speed=speed, server=server)
    settings = options.read(model, config, assignments)
    raise typer.Exit(command.replay(script, settings, Files(json=json_file, plot=plot)))


@app.command()
def stats(
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=366, help="The number of days, up to today.")
    ] = 28,
    json_file: JsonFile = None,
    plot: PlotFile = None,
    forget: Annotated[bool, typer.Option("--forget", help="Remove all counts.")] = False,
) -> None:
    """Show what became of suggestions.

    Counts those shown, accepted and kept, and their latency. The counts stay on this machine; statistics.enabled turns
    them off.
    """
    from datetime import date

    from shardline.cli import stats as command
    from shardline.statistics.store import Store, own_file

    store = Store(own_file())
    if forget:
        command.forget(store)
    else:
        command.stats(store, days=days, today=date.today(), files=Files(json=json_file, plot=plot))


@app.command()
def doctor(model: Model = None, config: Config = None, assignments: Set = None) -> None:
    """Check the installation, and say what to do.

    Checks versions, devices, memory, folders, the hub, the model and its placement. Exit code 1: completing
    cannot work.
    """
    from shardline.cli.inspect import doctor as command

    raise typer.Exit(command.doctor(options.read(model, config, assignments)))


@app.command(name="settings")
def show_settings(
    json_schema: Annotated[bool, typer.Option("--json-schema", help="Print the JSON schema.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of editor-config/SETTINGS.md.")] = False,
    model: Model = None,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Print all settings with their values."""
    from shardline.cli import settings as command

    command.settings(options.read(model, config, assignments), json_schema=json_schema, markdown=markdown)
