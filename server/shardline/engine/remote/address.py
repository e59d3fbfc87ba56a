"""Address and API key of a remote server."""

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from shardline.errors import SettingsError
from shardline.settings import RemoteSettings


def root_of(base_url: str) -> str:
    """Return the base URL without a trailing `/v1`; raises `SettingsError`."""
    try:
        parts = urlsplit(base_url.strip())
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError(f"remote.baseUrl: {base_url!r} must look like http://127.0.0.1:8000 or https://host/v1.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            "remote.baseUrl must be an address alone, without user name, password or query: put a key into an "
            "environment variable, and its name into remote.apiKeyEnv."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1').rstrip('/')}"


def is_loopback(root: str) -> bool:
    """Return whether `root` is this machine."""
    host = urlsplit(root).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def headers_for(settings: RemoteSettings, root: str) -> Mapping[str, str]:
    """Return the API key as a header, if one is set; raises `SettingsError` if it is missing or would be readable."""
    name = settings.api_key_env
    if not name:
        return {}
    if root.startswith("http:") and not is_loopback(root):
        raise SettingsError(
            "remote.baseUrl: http:// to another machine would send the key of remote.apiKeyEnv unencrypted; "
            "use https://, or an SSH tunnel and http://127.0.0.1."
        )
    key = os.environ.get(name, "").strip()
    if not (key and key.isascii() and key.isprintable()):
        raise SettingsError(f"remote.apiKeyEnv: the environment variable {name} holds no key; set it and restart.")
    return {"Authorization": f"Bearer {key}"}
