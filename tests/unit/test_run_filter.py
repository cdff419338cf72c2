"""Filters of runs as a body says them: what is taken, and what is refused with its place."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from taskhub.errors import Rejected
from taskhub.runs.domain import State
from taskhub.runs.run_filter import RunFilter, _ids_from, _readings

ID = "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"
TAKEN: dict[str, tuple[dict[str, Any], RunFilter]] = {
    "nothing": ({}, RunFilter()),
    "one state": ({"state": "failure"}, RunFilter(state=(State.FAILURE,))),
    "several states": ({"state": ["FAILURE", "REVOKED"]}, RunFilter(state=(State.FAILURE, State.REVOKED))),
    "texts": ({"kind": "walker", "name": ["a, b"]}, RunFilter(kind=("walker",), name=("a, b",))),
    "an owner": ({"owner": ID}, RunFilter(owner=(UUID(ID),))),
    "lineage": ({"parent": ID, "retry_of": ID}, RunFilter(parent=UUID(ID), retry_of=UUID(ID))),
    "metadata": ({"metadata": {"a": 1, "b": "x"}}, RunFilter(metadata={"a": 1, "b": "x"})),
    "a time": ({"since": "2026-01-31T12:00:00+01:00"}, RunFilter(since=datetime(2026, 1, 31, 11, tzinfo=UTC))),
    "a part": ({"q": "ech"}, RunFilter(q="ech")),
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no state": ({"state": "DONE"}, "/filter/state"),
    "one of two": ({"state": ["SUCCESS", "DONE"]}, "/filter/state/1"),
    "no values": ({"kind": []}, "/filter/kind"),
    "many values": ({"tag": [str(n) for n in range(101)]}, "/filter/tag"),
    "no id": ({"owner": "me"}, "/filter/owner"),
    "no time": ({"until": "tomorrow"}, "/filter/until"),
    "nested metadata": ({"metadata": {"a": {"b": 1}}}, "/filter/metadata/a"),
    "an empty part": ({"q": ""}, "/filter/q"),
    "null": ({"name": None}, "/filter/name"),
    "another name": ({"stat": "FAILURE"}, "/filter/stat"),
}


@pytest.mark.parametrize(("said", "meant"), TAKEN.values(), ids=TAKEN)
def test_a_filter_is_read(said: dict[str, Any], meant: RunFilter) -> None:
    assert RunFilter.read(said) == meant
    assert meant.is_empty == (not said)


@pytest.mark.parametrize(("said", "pointer"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_refused_with_its_place(said: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Rejected) as refusal:
        RunFilter.read(said, at="/filter")
    assert {error["pointer"] for error in refusal.value.errors} == {pointer}


@pytest.mark.parametrize(
    ("value", "readings"),
    [
        ("4711", ["4711", 4711]),
        ("1.5", ["1.5", 1.5]),
        ("true", ["true", True]),
        ("null", ["null", None]),
        ("[1]", ["[1]"]),
        ("NaN", ["NaN"]),  # jsonb has none of these
        ("-Infinity", ["-Infinity"]),
        ("1e400", ["1e400"]),
        ("9" * 400, ["9" * 400, int("9" * 400)]),
        ("word", ["word"]),
        (4711, [4711]),
        (False, [False]),
    ],
)
def test_a_text_of_metadata_is_also_what_reads_the_same(value: Any, readings: list[Any]) -> None:
    assert _readings(value) == readings


@pytest.mark.parametrize(
    ("part", "first"),
    [
        ("0190", "01900000-0000-0000-0000-000000000000"),
        ("0190A6D4-3c", "0190a6d4-3c00-0000-0000-000000000000"),
        (f"urn:uuid:{ID}", ID),
        ("019", None),
        ("echo", None),
        (f"{ID}0", None),
        ("", None),
    ],
)
def test_a_part_may_be_the_beginning_of_an_id(part: str, first: str | None) -> None:
    ids = _ids_from(part)
    assert (str(ids[0]) if ids else None) == first
