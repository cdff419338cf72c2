"""Every route that the hub has, read from Django's resolver."""

from collections.abc import Callable, Iterator
from typing import Any

from django.urls import get_resolver

from extraction import api
from walkers.http.api import OTHER_PATHS

View = Callable[..., Any]


def routes() -> Iterator[tuple[str, View]]:
    """Each route as it is written, such as `runs/<uuid:run_id>`, with its view."""
    yield from _inside(get_resolver().url_patterns, "")


def spelled_otherwise() -> set[str]:
    """Routes that are further spellings of others, by the same views; nothing more is said of them."""
    same = {f"v1/{place}": view for place, view in api.CALLS}
    found = {route: getattr(view, "cls", None) for route, view in routes() if route.startswith("v1/")}
    others = {f"v1/{place}": view for place, view in api.OTHERS}
    assert found == same | others
    assert set(others.values()) <= set(same.values())
    return {*others, *OTHER_PATHS}


def _inside(patterns: Any, prefix: str) -> Iterator[tuple[str, View]]:
    for pattern in patterns:
        place = f"{prefix}{pattern.pattern}"
        if hasattr(pattern, "url_patterns"):
            yield from _inside(pattern.url_patterns, place)
        else:
            yield place, pattern.callback
