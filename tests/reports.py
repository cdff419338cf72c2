"""Reports of tests, as xdist sends them from its processes."""

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """What tests print may have lone surrogates, with which xdist's channel breaks off, and the whole run ends."""
    return without_surrogates((yield))


def without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {without_surrogates(name): without_surrogates(inner) for name, inner in value.items()}
        case list() | tuple():
            return type(value)(without_surrogates(inner) for inner in value)
    return value
