"""A change laid over what stands."""

from collections.abc import Mapping
from typing import Any


def merged(old: Any, change: Any) -> Any:
    """Objects are merged, null takes a member away, lists and all else are replaced (RFC 7396)."""
    if not isinstance(change, Mapping):
        return change
    result = dict(old) if isinstance(old, Mapping) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
