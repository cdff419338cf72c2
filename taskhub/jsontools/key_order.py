"""The order of keys, kept in `jsonb`.

PostgreSQL sorts the keys of `jsonb`: the shorter before the longer, else by their bytes. An object that has them in
another order is stored with one more member, `"$order"`, which lists its keys. What is stored without it is read as it
is. A key that would be taken for that member has one more `$` in the database.
"""

import json
import re
from typing import Any

ORDER = "$order"
_LIKE_ORDER = re.compile(r"\$+order")


def keep_order(value: Any) -> Any:
    """A JSON value as it is stored, with the order of its keys."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return value  # the encoder of JSON makes texts of numbers
        stored = {_escaped(key): keep_order(inner) for key, inner in value.items()}
        return stored if list(stored) == sorted(stored, key=_place) else {ORDER: list(value), **stored}
    return [keep_order(inner) for inner in value] if isinstance(value, list | tuple) else value


def parse_ordered(text: str) -> Any:
    """The JSON value of a stored text, in the order that was kept."""
    return json.loads(text, object_hook=_restored if _is_marked(text) else None)


def _is_marked(text: str) -> bool:
    return "order" in text and _LIKE_ORDER.search(text) is not None


def _restored(stored: dict[str, Any]) -> dict[str, Any]:
    order = stored.pop(ORDER, None)
    if order is None:
        return {_unescaped(key): value for key, value in stored.items()}
    return {key: stored[_escaped(key)] for key in order}


def _escaped(key: str) -> str:
    return f"${key}" if key.endswith("order") and _LIKE_ORDER.fullmatch(key) else key


def _unescaped(key: str) -> str:
    return key[1:] if key.endswith("order") and _LIKE_ORDER.fullmatch(key) else key


def _place(key: str) -> tuple[int, bytes]:
    """The place of a key in an object of `jsonb`."""
    encoded = key.encode("utf-8", "surrogatepass")
    return len(encoded), encoded
