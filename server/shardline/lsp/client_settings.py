"""Settings from an editor, which may come from a foreign folder."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from shardline.settings import RemoteSettings, Settings, merge

KEY_NAME = re.compile("SHARDLINE_[A-Z0-9_]+")
"""Environment variables that an editor may name: no other program keeps a secret in them."""

UNSAID = "\0"
"""No setting has this value."""


def merge_client(base: Settings, values: Mapping[str, Any], key_names: Collection[str]) -> tuple[Settings, list[str]]:
    """Lay what an editor sent over `base`, as `merge` does, but never send a key where its owner did not say.

    A key belongs to the address that came from the same source. An editor may name the variables of `key_names`, and
    those that are named like ours.
    """
    settings, problems = merge(base, values)
    unsaid = replace(base, remote=replace(base.remote, base_url=UNSAID, api_key_env=UNSAID))
    said = merge(unsaid, values)[0].remote
    key, problem = _key(base.remote, said, key_names)
    return replace(settings, remote=replace(settings.remote, api_key_env=key)), [*problems, *problem]


def _key(base: RemoteSettings, said: RemoteSettings, key_names: Collection[str]) -> tuple[str, list[str]]:
    """Return the variable that holds the key for the address in use, and why it is another than was asked for."""
    moves = said.base_url not in (UNSAID, base.base_url)
    held, name = "" if moves else base.api_key_env, said.api_key_env
    problem = ""
    if name == UNSAID:
        if moves and said.base_url and base.api_key_env:
            problem = (
                f"the key in {base.api_key_env} is not sent to the editor's remote.baseUrl. Set both in the same place."
            )
    elif name in ("", held):
        held = name
    elif said.base_url == UNSAID and base.base_url:
        problem = f"the editor names a key but no address, so {name} is not used. Set remote.baseUrl beside it."
    elif not (KEY_NAME.fullmatch(name) or name in key_names):
        problem = (
            f"an editor may only name variables like SHARDLINE_API_KEY, not {name}. "
            f"Rename it, or start the server with --allow-key-env {name}."
        )
    else:
        held = name
    return held, [f"remote.apiKeyEnv: {problem}"] if problem else []
