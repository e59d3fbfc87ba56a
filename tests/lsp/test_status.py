"""Over a real pipe: the status says what the model is doing, and is sent where that changes."""

import asyncio
import sys
from pathlib import Path

from lsprotocol import types

from tests.lsp.clients import Client, asking, started

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
GHOST = types.TEXT_DOCUMENT_INLINE_COMPLETION


def bars(client: Client) -> list[list[str]]:
    """Return the kinds of each progress bar's reports, in order."""
    return [[report.kind for report in reports] for reports in client.lsp.progress_reports.values()]  # type: ignore[attr-defined]


async def test_loading_tells_how_far_it_is_and_what_it_does() -> None:
    async with started(COMMAND, editor="neovim", model={"name": "held"}) as client:
        status = await client.until("loading", message="Downloading")
        assert (status.message, status.percentage) == ("Downloading held: 12 of 96 MB", 12)
        assert (await client.command("shardline.status"))["message"] == status.message
        await client.command("test.release")
        status = await client.until("loading", message="Loading held:")
        assert (status.message, status.percentage) == ("Loading held: 3 of 30 layers", 10)
        status = await client.until("loading", message="Warming up")
        assert not hasattr(status, "percentage")
        await client.until("ready")
        (reports,) = client.lsp.progress_reports.values()
        told = [(report.kind, report.message) for report in reports]  # type: ignore[attr-defined]
        assert told == [
            ("begin", "Loading held"),
            ("report", "Downloading held: 12 of 96 MB"),
            ("report", "Loading held: 3 of 30 layers"),
            ("report", "Warming up"),
            ("end", "Ready"),
        ]


async def test_a_model_that_is_not_wanted_any_more_leaves_no_progress_bar() -> None:
    async with started(COMMAND, editor="neovim", options={"model": {"name": "held"}}) as client:
        await client.until("loading", message="Downloading held")
        for name in ("held-2", "missing"):
            changed = types.DidChangeConfigurationParams(settings={"shardline": {"model": {"name": name}}})
            client.lsp.workspace_did_change_configuration(changed)
            await client.until("loading", message=name)
        await client.until("failed")
        begun = [(kinds[0], kinds[-1]) for kinds in bars(client) if kinds]  # not where it was too late to begin
        assert begun == [("begin", "end")] * len(begun)
        assert len(begun) > 1


async def test_a_suggestion_that_takes_a_while_is_told_and_that_it_is_over() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        client.open("hang")
        first = client.lsp.protocol.send_request(GHOST, asking("hang"))
        busy = await client.until("busy")
        assert (busy.model, (await client.command("shardline.status"))["state"]) == (busy.model, "busy")
        client.open("again hang")
        second = client.lsp.protocol.send_request(GHOST, asking("again hang"))
        assert await asyncio.wrap_future(first) is None
        assert (await client.command("shardline.status"))["state"] == "busy"
        assert await client.ghost("say:x")
        assert await asyncio.wrap_future(second) is None
        assert (await client.until("ready")).message.endswith("is ready.")
        assert client.events[-3:] == ["ready", "busy", "ready"]


async def test_a_cancelled_suggestion_keeps_nobody_busy() -> None:
    async with started(COMMAND) as client:
        await client.until_settled()
        client.open("hang")
        client.lsp.protocol.send_request(GHOST, asking("hang"), msg_id="waiting")
        await client.until("busy")
        client.lsp.cancel_request(types.CancelParams(id="waiting"))
        await client.until("ready")


async def test_a_slow_model_is_told_once_with_what_would_help() -> None:
    async with started(COMMAND, model={"name": "slow"}) as client:
        await client.until_settled()
        for number in range(4):
            await client.ghost(f"say:{number}")
        assert (await client.command("shardline.status"))["state"] == "ready"
        assert client.messages == []
        for number in range(4, 12):
            await client.ghost(f"say:{number}")
        slow = await client.until("slow")
        assert slow.message == (
            "slow takes 11.0 seconds for a suggestion. What would help: set model.quantization to int4, for models "
            "like Llama; lower generation.maxTokens, which is 64; choose a smaller model.name."
        )
        assert client.messages == [f"Shardline: {slow.message}"]
        assert (await client.command("shardline.status"))["state"] == "slow"
        client.configure(model={"name": "fast"})
        await client.until_settled()
        for number in range(8):
            await client.ghost(f"say:{number}")
        assert (await client.command("shardline.status"))["state"] == "ready"


async def test_a_slow_model_is_not_told_while_another_is_to_take_its_place() -> None:
    async with started(COMMAND, model={"name": "slow"}) as client:
        await client.until_settled()
        client.configure(model={"name": "held"})
        await client.until("loading", message="Downloading")
        for number in range(8):
            await client.ghost(f"say:{number}")
        assert (await client.command("shardline.status"))["state"] == "loading"
        assert client.messages == []
        client.configure(model={"name": "slow"})
        await client.until("ready")
        assert await client.ghost("say:more")
        (message,) = client.messages
        assert message.startswith("Shardline: slow takes")


async def test_what_is_shown_again_says_nothing_about_how_fast_the_model_is() -> None:
    async with started(COMMAND, model={"name": "slow"}) as client:
        await client.until_settled()
        for _ in range(10):
            await client.ghost("say:x")
        assert (await client.command("shardline.status"))["state"] == "ready"
