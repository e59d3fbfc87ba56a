"""Where a server is, and what may be sent there."""

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from shardline.errors import SettingsError
from shardline.settings import RemoteSettings


def root_of(base_url: str) -> str:
    """The address that paths are put behind: without `/v1`, which many are told with; raises `SettingsError`."""
    try:
        parts = urlsplit(base_url.strip())
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"remote.baseUrl: {base_url!r} must look like http://127.0.0.1:8000 or https://host/v1.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            "remote.baseUrl must be an address alone, with no name, password or question in it: a key goes into an "
            "environment variable, and its name into remote.apiKeyEnv."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1').rstrip('/')}"


def is_loopback(root: str) -> bool:
    """Whether this machine itself is meant."""
    host = urlsplit(root).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def headers_for(settings: RemoteSettings, root: str) -> Mapping[str, str]:
    """The key as a header, where there is one; raises `SettingsError` where it is missing, or would be overheard."""
    name = settings.api_key_env
    if not name:
        return {}
    if root.startswith("http:") and not is_loopback(root):
        raise SettingsError(
            "remote.baseUrl: over http:// to another machine anyone between could read the key of remote.apiKeyEnv; "
            "use https://, or an SSH tunnel and http://127.0.0.1."
        )
    key = os.environ.get(name, "").strip()
    if not (key and key.isascii() and key.isprintable()):
        raise SettingsError(f"remote.apiKeyEnv: the environment variable {name} holds no key; set it and start anew.")
    return {"Authorization": f"Bearer {key}"}
