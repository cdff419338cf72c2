"""Scopes of API keys: what each call needs, said by its view alone.

A key may make the calls whose scope it has. Reading needs `read`, and whatever changes something needs `manage`; a view
that needs less, or another, says so in `key_scopes`: a scope by method. So nothing that is forgotten opens a call.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from taskhub.errors import Forbidden

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class KeyScope(StrEnum):
    READ = "read"
    RUN = "run"  # to start, cancel and retry
    UPLOAD = "upload"
    MANAGE = "manage"  # whatever else changes something


ALL_SCOPES = tuple(str(scope) for scope in KeyScope)


def scope_of(view: Any, method: str) -> KeyScope:
    """The scope that a method of a view needs; HEAD needs that of GET."""
    method = "GET" if method == "HEAD" else method
    default = KeyScope.READ if method in READING_METHODS else KeyScope.MANAGE
    scopes: dict[str, KeyScope] = getattr(view, "key_scopes", {})
    return scopes.get(method, default)


def require_scopes(key: Any, needed: Collection[str]) -> None:
    """Raises `Forbidden`, which names a scope that an API key lacks. Credentials without `scopes` lack none."""
    held = getattr(key, "scopes", ALL_SCOPES)
    for scope in sorted(set(needed).difference(held)):
        raise Forbidden(f"The API key lacks the scope '{scope}'.", type="missing-scope", scope=str(scope))
