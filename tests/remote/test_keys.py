"""API keys of remote servers: each is sent only to the address it came with."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shardline.lsp.client_settings import merge_client
from shardline.settings import Settings, merge
from tests.lsp.clients import started
from tests.remote.remotes import Peer, serving
from tests.remote.windows import COMMAND, LINE, QUIET, ghost

pytestmark = pytest.mark.slow

KEYS = {"SHARDLINE_API_KEY": "ours", "SHARDLINE_OTHER": "other", "AWS_SECRET_ACCESS_KEY": "aws", "OPENAI_KEY": "open"}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def user(tiny_folder: Path, tmp_path: Path) -> AsyncIterator[Peer]:
    """Yield the server that the command line names."""
    (tmp_path / "user").mkdir()
    async with serving("vllm", tmp_path / "user", tiny_folder) as peer:
        yield peer


@pytest.fixture
async def stranger(tiny_folder: Path, tmp_path: Path) -> AsyncIterator[Peer]:
    """Yield the server that a folder names."""
    (tmp_path / "stranger").mkdir()
    async with serving("vllm", tmp_path / "stranger", tiny_folder) as peer:
        yield peer


def command_line(peer: Peer | None, key: str = "", *more: str) -> list[str]:
    said = {"remote.baseUrl": peer.url if peer else "", "remote.apiKeyEnv": key, "remote.timeout": 20}
    return [*COMMAND, *more, *(part for name, value in said.items() for part in ("--set", f"{name}={value}"))]


def settings(folder: Path, **remote: Any) -> dict[str, Any]:
    return {"model": {"name": str(folder), "contextTokens": 256}, "completion": QUIET, "remote": remote}


def sent(peer: Peer) -> set[str | None]:
    """Return the keys that have arrived there."""
    return {entry["key"] for entry in peer.asked}


async def test_the_command_lines_key_does_not_follow_a_clients_address(
    keys: None, user: Peer, stranger: Peer, tiny_folder: Path
) -> None:
    command = command_line(user, "OPENAI_KEY")
    async with started(command, **settings(tiny_folder, baseUrl=stranger.url)) as client:
        await client.until_settled()
        assert await ghost(client) == " and more"
        assert "the key in OPENAI_KEY is not sent to the editor's remote.baseUrl" in client.messages[0]
        client.configure(**settings(tiny_folder))
        await client.until_settled()
        assert await ghost(client, LINE + " again") == " and more again"
    assert sent(stranger) == {None}
    assert sent(user) == {"Bearer open"}


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "SHARDLINE_api", "OPENAI_KEY"])
async def test_a_client_cannot_name_a_variable_that_is_not_ours(
    name: str, keys: None, stranger: Peer, tiny_folder: Path
) -> None:
    options = settings(tiny_folder, baseUrl=stranger.url, apiKeyEnv=name)
    async with started(command_line(None, "OPENAI_KEY"), **options) as client:
        await client.until_settled()
        assert f"start the server with --allow-key-env {name}" in client.messages[0]
    assert sent(stranger) == {None}


@pytest.mark.parametrize(
    ("name", "more", "key"),
    [
        ("SHARDLINE_API_KEY", (), "ours"),
        ("OPENAI_KEY", ("--allow-key-env", "OTHER", "--allow-key-env", "OPENAI_KEY"), "open"),
    ],
)
async def test_a_client_may_name_ours_and_what_the_command_line_allows(
    name: str, more: tuple[str, ...], key: str, keys: None, stranger: Peer, tiny_folder: Path
) -> None:
    options = settings(tiny_folder, baseUrl=stranger.url, apiKeyEnv=name)
    async with started(command_line(None, "", *more), **options) as client:
        await client.until_settled()
        assert client.messages == []
    assert sent(stranger) == {f"Bearer {key}"}


async def test_a_clients_key_is_not_sent_to_the_command_lines_address(
    keys: None, user: Peer, stranger: Peer, tiny_folder: Path
) -> None:
    async with started(command_line(user), **settings(tiny_folder, apiKeyEnv="SHARDLINE_OTHER")) as client:
        await client.until_settled()
        assert "the editor names a key but no address, so SHARDLINE_OTHER is not used" in client.messages[0]
        client.configure(**settings(tiny_folder, apiKeyEnv="SHARDLINE_OTHER", baseUrl=stranger.url))
        await client.until_settled()
    assert sent(user) == {None}
    assert sent(stranger) == {"Bearer other"}


BASE, _ = merge(Settings(), {"remote": {"baseUrl": "https://user.example", "apiKeyEnv": "A_KEY"}})


@pytest.mark.parametrize(
    ("values", "address", "key", "told"),
    [
        ({}, "https://user.example", "A_KEY", False),
        ({"kind": "vllm", "fallback": "local", "apiKeyEnv": None}, "https://user.example", "A_KEY", False),
        ({"baseUrl": "https://user.example"}, "https://user.example", "A_KEY", False),
        ({"baseUrl": "https://user.example", "apiKeyEnv": "A_KEY"}, "https://user.example", "A_KEY", False),
        ({"apiKeyEnv": ""}, "https://user.example", "", False),
        ({"baseUrl": ""}, "", "", False),
        ({"baseUrl": "https://evil.example"}, "https://evil.example", "", True),
        ({"base_url": "https://evil.example"}, "https://evil.example", "", True),
        ({"baseUrl": "https://user.example@evil.example"}, "https://user.example@evil.example", "", True),
        ({"baseUrl": "https://evil.example", "apiKeyEnv": "A_KEY"}, "https://evil.example", "", True),
        ({"baseUrl": "https://evil.example", "api_key_env": "A_KEY"}, "https://evil.example", "", True),
        ({"baseUrl": "https://evil.example", "apiKeyEnv": 5}, "https://evil.example", "", True),
        ({"baseUrl": "https://evil.example", "apiKeyEnv": "SHARDLINE_\nX"}, "https://evil.example", "", True),
        ({"baseUrl": 5, "apiKeyEnv": "SHARDLINE_X"}, "https://user.example", "A_KEY", True),
        ({"apiKeyEnv": "SHARDLINE_X"}, "https://user.example", "A_KEY", True),
        ({"baseUrl": "https://user.example", "apiKeyEnv": "B_KEY"}, "https://user.example", "A_KEY", True),
        ({"baseUrl": "https://mine.example", "apiKeyEnv": "SHARDLINE_X"}, "https://mine.example", "SHARDLINE_X", False),
    ],
)
def test_a_key_belongs_to_the_address_that_came_with_it(
    values: dict[str, Any], address: str, key: str, told: bool
) -> None:
    merged, problems = merge_client(BASE, {"remote": values}, ())
    assert (merged.remote.base_url, merged.remote.api_key_env) == (address, key)
    assert bool(problems) is told


def test_each_message_of_a_client_is_a_source_of_its_own() -> None:
    own = {"remote": {"baseUrl": "https://mine.example", "apiKeyEnv": "SHARDLINE_X"}}
    first, _ = merge_client(BASE, own, ())
    assert merge_client(first, own, ()) == (first, [])
    moved, problems = merge_client(first, {"remote": {"baseUrl": "https://evil.example"}}, ())
    assert moved.remote.api_key_env == ""
    assert len(problems) == 1
