"""Which hub is called, and as whom: from arguments, the environment, or what `taskhub login` kept."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from taskhub_client.errors import HubError

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Credentials:
    """The address of a hub, and an API key or a token; neither of them for what needs no sign-in."""

    url: str
    key: str = ""
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        if self.key:
            return {"X-API-Key": self.key}
        return {"Authorization": f"token {self.token}"} if self.token else {}

    def __repr__(self) -> str:  # the key stays out of tracebacks and logs
        return f"Credentials({self.url!r})"


def find_credentials(url: str | None = None, key: str | None = None, token: str | None = None) -> Credentials:
    """Those given, or else TASKHUB_URL and TASKHUB_KEY, or else what `login` kept for that address.

    Raises `HubError` for what is no address of a hub, and for a key or a token that no header can carry.
    """
    url = url or os.environ.get("TASKHUB_URL")
    key = key or (None if token else os.environ.get("TASKHUB_KEY"))
    kept = None if url and (key or token) else load_credentials()
    url = checked_url(url or (kept.url if kept else DEFAULT_URL))
    if key or token:
        return Credentials(url, checked_key(key or ""), checked_key(token or ""))
    return Credentials(url, kept.key if kept and kept.url == url else "")  # a key is for its hub alone


def checked_url(text: str) -> str:
    """The address of a hub, which may have a path, without a last slash. Raises `HubError`."""
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable()
    except ValueError:
        fits = False
    if not fits or parts.query or parts.fragment:
        raise HubError(f"{text!r} is not an address of a hub: it is such as {DEFAULT_URL} or https://hub.example/path.")
    return url


def checked_key(text: str) -> str:
    """A key or a token without spaces and line ends around it. Raises `HubError`, which does not show it."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise HubError("The key or token has characters that none has, such as a space or a line end: copy it again.")
    return key


def credentials_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "taskhub" / "credentials.json"


def load_credentials() -> Credentials | None:
    """What `login` kept; None without it. Raises `HubError` for a file that cannot be read."""
    file = credentials_file()
    try:
        value = json.loads(file.read_text())
        return Credentials(str(value["url"]), str(value["key"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HubError(f"{file} cannot be read: log in again, or remove it.") from error


def keep_credentials(credentials: Credentials) -> Path:
    """Keeps them for the next commands, in a file that its owner alone can read."""
    file = credentials_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump({"url": credentials.url, "key": credentials.key}, stream)
    new.replace(file)
    return file


def forget_credentials() -> None:
    credentials_file().unlink(missing_ok=True)
