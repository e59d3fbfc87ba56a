"""Over a real pipe: what a client shows and accepts is counted, without its code, and not where that is off."""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from shardline.completion import Source, Suggestion
from shardline.errors import StatisticsError
from shardline.lsp.acceptance_recorder import Recorder, add_to_own_file
from shardline.lsp.items import ACCEPTED
from shardline.settings import ModelSettings, Settings
from shardline.statistics.counts import Counts, Figures, Key, figures, grouped
from shardline.statistics.store import Store
from tests.lsp.clients import PATIENT, URI, Client, asking, end_of, started
from tests.lsp.wire import at, opened, talking

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, str(Path(__file__).with_name("scripted_server.py"))]
TEXT = "x = say:secret_value"

UNLOCKED_SECONDS = 4.0
"""Less than a server takes to end that waits for the lock as long as SQLite does by itself."""


@asynccontextmanager
async def ready(**configuration: Any) -> AsyncIterator[Client]:
    async with started(COMMAND, **configuration) as client:
        await client.until_settled()
        yield client


def change(client: Client, text: str, inserted: str) -> None:
    """Insert at the end of a document that holds `text`."""
    at = end_of(text)
    document = types.VersionedTextDocumentIdentifier(uri=URI, version=2)
    edit = types.TextDocumentContentChangePartial(range=types.Range(at, at), text=inserted)
    client.lsp.text_document_did_change(types.DidChangeTextDocumentParams(document, [edit]))


async def run(client: Client, command: types.Command | None) -> None:
    """Run the command of an item, as clients do."""
    assert command is not None
    params = types.ExecuteCommandParams(command=command.command, arguments=command.arguments)
    assert await client.lsp.workspace_execute_command_async(params) is None


def told(store: Store) -> Figures:
    return figures(store.read().items())


async def test_ghost_text_that_is_accepted_is_counted_once_with_its_labels(own_store: Store) -> None:
    async with ready(model={"name": "somebody/some-model"}) as client:
        (item,) = await client.ghost(TEXT) or []
        change(client, TEXT, "secret_value")
        await run(client, item.command)
    one = told(own_store)
    assert (one.shown, one.accepted, one.characters, one.kept) == (1, 1, 12, 12)
    labels = {key[1:4] for key in own_store.read()}
    assert labels == {("python", "some-model", "ghost")}


async def test_pop_up_items_are_counted_as_such(own_store: Store) -> None:
    async with ready(completion=PATIENT) as client:
        (item,) = (await client.popup("say:value")).items
        await run(client, item.command)
    assert {
        name: (one.shown, one.accepted) for name, one in grouped(own_store.read(), lambda key: key.kind).items()
    } == {"popup": (1, 1)}


async def test_a_client_that_runs_no_commands_is_counted_by_its_changes(own_store: Store) -> None:
    async with ready() as client:
        assert await client.ghost(TEXT)
        change(client, TEXT, "s")
        (rest,) = await client.lsp.text_document_inline_completion_async(asking(f"{TEXT}s")) or []  # type: ignore[misc]
        assert rest.insert_text == "ecret_value"
        change(client, f"{TEXT}s", "ecret_value")
        client.lsp.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(URI)))
    one = told(own_store)
    assert (one.shown, one.accepted, one.characters, one.kept) == (1, 1, 11, 11)


async def test_each_candidate_has_its_own_command(own_store: Store) -> None:
    async with ready() as client:
        items = await client.ghost("say:a|bcd", kind=1) or []
        assert len({str(item.command) for item in items}) == len(items) == 2
        await run(client, items[1].command)
    assert told(own_store).characters == 3


async def test_what_was_superseded_or_has_no_text_is_not_shown(own_store: Store) -> None:
    async with ready() as client:
        client.open("hang")
        superseded = client.lsp.protocol.send_request(types.TEXT_DOCUMENT_INLINE_COMPLETION, asking("hang"))
        assert await client.ghost("say:x")
        assert await asyncio.wrap_future(superseded) is None
        assert not await client.ghost("fail")
    assert told(own_store).shown == 1


async def test_a_command_with_rubbish_is_harmless(own_store: Store) -> None:
    rubbish: list[Any] = [None, [], [1], [1, 0, 0], ["1", "0"], [{}, []], [99, 99], [1, None], [1, -1]]
    async with ready() as client:
        assert await client.ghost(TEXT)
        for arguments in rubbish:
            await run(client, types.Command(title="", command=ACCEPTED, arguments=arguments))
    one = told(own_store)
    assert (one.shown, one.accepted) == (1, 0)


async def test_no_code_and_no_path_are_in_any_file(own_store: Store) -> None:
    async with ready(model={"name": "/home/somebody/some-model"}) as client:
        item = types.TextDocumentItem(uri=URI, language_id="secret_value = 1", version=1, text=TEXT)
        client.lsp.text_document_did_open(types.DidOpenTextDocumentParams(item))
        assert await client.lsp.text_document_inline_completion_async(asking(TEXT))
        change(client, TEXT, "secret_value")
    files = list(own_store.file.parent.iterdir())
    assert own_store.file in files
    assert told(own_store).accepted == 1
    for file in files:
        content = file.read_bytes()
        assert not [part for part in (b"secret", b"say:", b"a.py", b"work", b"somebody") if part in content]


async def test_where_it_is_off_nothing_is_written_and_items_have_no_command(own_store: Store) -> None:
    async with ready(statistics={"enabled": False}) as client:
        (ghost,) = await client.ghost(TEXT) or []
        (popup,) = (await client.popup(TEXT)).items
        assert (ghost.command, popup.command) == (None, None)
        change(client, TEXT, "secret_value")
        await run(client, types.Command(title="", command=ACCEPTED, arguments=[1, 0]))
    assert not own_store.file.parent.exists()


async def test_turned_off_it_forgets_what_it_has_not_written(own_store: Store) -> None:
    async with ready() as client:
        (item,) = await client.ghost(TEXT) or []
        assert item.command
        client.configure(statistics={"enabled": False})
        await client.command("shardline.status")
        await run(client, item.command)
        (item,) = await client.ghost(TEXT) or []
        assert item.command is None
    assert not own_store.file.parent.exists()


async def test_a_server_whose_statistics_are_broken_goes_on(own_store: Store) -> None:
    own_store.file.parent.mkdir(parents=True)
    own_store.file.write_bytes(b"rubbish" * 99)
    async with ready() as client:
        assert await client.ghost(TEXT)
    assert told(own_store).shown == 1
    assert own_store.file.with_suffix(".broken").read_bytes() == b"rubbish" * 99


async def test_a_server_that_can_write_no_statistics_goes_on(own_store: Store) -> None:
    own_store.file.parent.parent.mkdir(parents=True)
    own_store.file.parent.write_text("a file where the folder should be")
    async with ready() as client:
        assert await client.ghost(TEXT)
        assert client.messages == []


SOURCE = Source(document=URI, language="python", lines=["x = "], line=0, column=4)


def recording(add: Callable[[Counts], None], seconds: float) -> Recorder:
    recorder = Recorder(add, seconds)
    recorder.apply(Settings())
    return recorder


async def test_while_the_server_runs_it_writes_by_itself_what_was_counted_and_settled() -> None:
    loop, written = asyncio.get_running_loop(), asyncio.Queue[Counts]()

    def add(counts: Counts) -> None:
        loop.call_soon_threadsafe(written.put_nowait, Counts(counts))

    recorder = recording(add, 0)
    number = recorder.show(SOURCE, [Suggestion(text="value")], "ghost", 0.1)
    recorder.accept([number, 0])
    recorder.follow(URI, ["x = value"], [types.TextDocumentContentChangeWholeDocument("x = value")])
    async with asyncio.timeout(60):
        first, second = await written.get(), await written.get()
    assert (figures(first.items()).shown, figures(first.items()).accepted) == (1, 1)
    assert (figures(second.items()).characters, figures(second.items()).kept) == (5, 5)
    recorder.close()
    assert written.empty()


async def test_what_could_not_be_written_is_written_with_what_comes_next() -> None:
    loop, tried = asyncio.get_running_loop(), asyncio.Queue[int]()

    def add(counts: Counts) -> None:
        loop.call_soon_threadsafe(tried.put_nowait, figures(counts.items()).shown)
        if figures(counts.items()).shown == 1:
            raise StatisticsError("The disk is full.")

    recorder = recording(add, 0)
    async with asyncio.timeout(60):
        for text, shown in (("one", 1), ("two", 2), ("three", 1)):
            recorder.show(SOURCE, [Suggestion(text=text)], "ghost", 0.1)
            assert await tried.get() == shown
    recorder.close()


async def test_a_server_ends_at_once_though_its_statistics_are_locked(own_store: Store) -> None:
    own_store.add(Counts({Key("2026-11-24", "python", "m", "ghost", "accepted"): 1}), date(2026, 11, 24))
    before = own_store.read()
    with closing(sqlite3.connect(own_store.file, isolation_level=None)) as other:
        async with talking(COMMAND, stderr=asyncio.subprocess.PIPE) as wire:
            await wire.greet()
            wire.notify("textDocument/didOpen", opened("say:x"))
            assert await wire.ask(types.TEXT_DOCUMENT_INLINE_COMPLETION, at(0, 5))
            other.execute("BEGIN EXCLUSIVE")
            await wire.ask("shutdown")
            began = asyncio.get_running_loop().time()
            wire.notify("exit")
            assert await wire.process.wait() == 0
            assert asyncio.get_running_loop().time() - began < UNLOCKED_SECONDS
            assert wire.process.stderr is not None
            assert b"locked" in await wire.process.stderr.read()
    assert own_store.read() == before


async def test_a_model_whose_name_is_no_text_is_counted(own_store: Store) -> None:
    recorder = Recorder(add_to_own_file)
    recorder.apply(Settings(model=ModelSettings(name="models/a\udcff\x1bb")))
    recorder.show(SOURCE, [Suggestion(text="x")], "ghost", 0.1)
    recorder.close()
    assert {key.model for key in own_store.read()} == {"a b"}


def test_a_disk_that_does_not_answer_keeps_no_server() -> None:
    answers, written = threading.Event(), threading.Event()

    def add(_: Counts) -> None:
        answers.wait(60)
        written.set()

    recorder = recording(add, 0)

    async def show() -> None:
        recorder.show(SOURCE, [Suggestion(text="x")], "ghost", 0.1)

    asyncio.run(show())
    recorder.close()
    assert not written.is_set()
    answers.set()
