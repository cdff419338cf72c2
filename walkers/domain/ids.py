"""Ids as in requests and responses: `urn:uuid:...` or the bare UUID; and the names that may be used for them."""

import re
from uuid import NAMESPACE_URL, UUID, uuid5

from taskhub.jsontools.field_types import NO_CONTROLS

ACTIVE_GRAPH = "active:graph"
ACTIVE_SENTINEL = "active:sentinel"
GLOBAL = "global"
NAME_MAX = 200

_ID = re.compile(r"(?:urn:uuid:)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE | re.ASCII)
_RESERVED = ("active:", "urn:")


def as_id(text: str) -> UUID | None:
    """The UUID that `text` spells, or None when it spells none."""
    match = _ID.fullmatch(text)
    return UUID(match[1]) if match else None


def sentinel_id(name: str) -> UUID:
    """The same on every machine, so that an alias or a schedule may hold it."""
    return uuid5(NAMESPACE_URL, f"taskhub:sentinel:{name}")


def fault_of_alias(name: str) -> str | None:
    """Why `name` cannot be an alias, or None when it can."""
    if not 0 < len(name) <= NAME_MAX:
        return f"A name has 1 to {NAME_MAX} characters."
    if not re.fullmatch(NO_CONTROLS, name):
        return "A name has no control characters."
    if as_id(name) or name == GLOBAL or name.lower().startswith(_RESERVED):
        return "This means something else already."
    return None
