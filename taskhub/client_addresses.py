"""The address of a request's client, with or without proxies in front of the hub."""

from collections.abc import Mapping
from typing import Any


def client_address(environ: Mapping[str, Any], proxies: int) -> str:
    """Where a request comes from; behind so many proxies, whose headers say it (NUM_PROXIES of REST framework)."""
    forwarded = [part.strip() for part in environ.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    address = forwarded[-min(proxies, len(forwarded))] if proxies else ""
    return str(address or environ.get("REMOTE_ADDR", ""))
