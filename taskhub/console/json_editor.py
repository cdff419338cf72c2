"""Editors of JSON: a text with colours and line numbers, and the faults that a check finds in it, each at its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskhub.errors import Problem
from taskhub.jsontools.json_places import Keys, TextPlace, find_places, keys_of_path, keys_of_pointer

ROWS_MIN, ROWS_MAX = 4, 30
FAULTS_MAX = 50  # that are shown


@dataclass(frozen=True)
class EditorFault:
    """`line` and `column` count from 1, `length` characters are marked; `path` is what the check calls the place."""

    line: int
    column: int
    length: int
    path: str
    detail: str


@dataclass
class JsonEditor:
    """One editor, which `console/json_editor.html` shows as `editor`; `name` is that of its field in the form.

    `check` is an address of the console to which the form is sent while somebody types, and which answers with
    `console/json_faults.html`. `schema` is the address of a JSON Schema, of which `console/json_editor_keys.html` shows
    what may stand at the cursor.
    """

    name: str
    label: str
    text: str = ""
    help_text: str = ""
    check: str = ""
    schema: str = ""
    faults: list[EditorFault] = field(default_factory=list)
    rows_min: int = ROWS_MIN
    is_readonly: bool = False

    @property
    def id(self) -> str:
        return f"editor-{self.name}"

    @property
    def rows(self) -> int:
        return min(max(self.text.count("\n") + 2, self.rows_min), ROWS_MAX)

    @property
    def shown_faults(self) -> list[EditorFault]:
        return self.faults[:FAULTS_MAX]

    @property
    def more_faults(self) -> int:
        return max(0, len(self.faults) - FAULTS_MAX)


def sent_text(sent: Mapping[str, Any], name: str) -> str:
    """What was sent of an editor; lines end as they were typed, which browsers change on the way."""
    return str(sent.get(name, "")).removeprefix("\ufeff").replace("\r\n", "\n")


def faults_of(text: str, problem: Problem, within: str = "") -> list[EditorFault]:
    """The faults that a `Problem` names in a text, in the order of the text.

    Each of its errors has a `line` and a `column`, a `path` or a `pointer`. `within` is the key by which the problem
    calls the text itself, where that is one value of several: what begins with another key is left out.
    """
    errors = problem.errors or [{"detail": problem.detail}]
    broken = [error for error in errors if "line" in error]
    if broken:
        return [EditorFault(error["line"], error.get("column", 1), 1, "", error["detail"]) for error in broken]
    found = [(error, keys) for error in errors if (keys := _keys_of(error, within)) is not None]
    paths = [keys for _, keys in found]
    places = find_places(text, paths) if text.strip() else [TextPlace(1, 1, 1)] * len(paths)
    faults = [
        EditorFault(*place, _path_of(error, within), str(error["detail"]))
        for (error, _), place in zip(found, places, strict=True)
    ]
    return sorted(faults, key=lambda fault: (fault.line, fault.column))


def _keys_of(error: Mapping[str, Any], within: str) -> Keys | None:
    """The keys that lead to an error's place in the text; None for one of another text."""
    keys = keys_of_pointer(error["pointer"]) if "pointer" in error else keys_of_path(str(error.get("path", "")))
    if not within:
        return keys
    return keys[1:] if keys[:1] == (within,) else None


def _path_of(error: Mapping[str, Any], within: str) -> str:
    if "pointer" in error:
        return str(error["pointer"]).removeprefix(f"/{within}" if within else "")
    return str(error.get("path", "")).removeprefix(within).removeprefix("." if within else "")
