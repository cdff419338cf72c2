"""The faults of a sequence that cannot run, each with its location; and the failure of a step."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from taskhub.errors import Rejected

FAULTS_MAX = 500  # in one answer; a megabyte of mistakes needs no megabytes of words

# The location of a value: that of what holds it, and its key there. It becomes text only in an error: with a text for
# every item, a long key with many children would fill the memory.
Location = tuple["Location", str | int] | None

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class InvalidSequence(Rejected):
    """A sequence that cannot run. Each of `errors` has `detail` and a `path`: `requests[1].__def_loop__.filter[0]`."""

    title, type = "The sequence is not valid", "invalid-sequence"

    def __init__(self, faults: Iterable[Mapping[str, Any]]) -> None:
        errors = list(faults)
        words = "; ".join(f"{fault['path'] or 'the whole'}: {fault['detail']}" for fault in errors[:3])
        super().__init__(f"The sequence is not valid. {words}", errors=errors)


class ValidationFaults:
    """The faults found so far while a sequence is parsed."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def add(self, location: Location, detail: str) -> None:
        if len(self.errors) < FAULTS_MAX:
            self.errors.append({"path": dotted(location), "detail": detail})
        elif len(self.errors) == FAULTS_MAX:
            self.errors.append({"path": "", "detail": f"There are more than {FAULTS_MAX} faults."})


def dotted(location: Location) -> str:
    """`requests[1].body.name`; a key that is no plain word is in brackets, as in JSON."""
    steps: list[str] = []
    while location:
        location, key = location
        steps.append(_step(key, first=location is None))
    return "".join(reversed(steps))


def join_path(first: str, path: str) -> str:
    """A path behind the key of what holds its value."""
    return f"{first}{'' if not path or path.startswith('[') else '.'}{path}"


def _step(key: str | int, *, first: bool) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if len(key) <= 100 and _WORD.fullmatch(key):
        return key if first else f".{key}"
    return f"[{json.dumps(key[:100])}]"


class InvalidSyntax(ValueError):
    """Part of a sequence that cannot be parsed. The message is for its author."""


class StepFailure(Exception):
    """A step that cannot be carried out with the values it has met; `ignore_error` may pass over it."""
