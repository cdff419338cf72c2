"""The JSON Schema of the language: what the validator accepts it accepts, and wrong keys are refused by both."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, meta

from sequences.domain.language_schema import language_schema
from sequences.domain.program import parse
from sequences.domain.validation_errors import InvalidSequence
from taskhub.jsontools.jsonc import parse_jsonc

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Draft202012Validator(language_schema())

# Every key of the language once, with null where that counts as absent.
WHOLE: dict[str, Any] = {
    "persistence": {"a": [1]},
    "container": {"current": {}, "parent_current": [1], "index": 2},
    "defaults": {
        "timeout": {"connect": 1, "read": 2.5, "total": None},
        "retry": {"attempts": 2, "on": "timeout"},
        "headers": {"X-A": 1, "{{#.a}}": ["{{#.a}}"]},
        "auth": {"bearer": "t"},
        "follow_redirects": False,
    },
    "requests": [
        {
            "name": "First",
            "description": "All of it",
            "method": "get",
            "url": "http://h/{{#.a}}",
            "header": {"X-B": True, "X-C": None},
            "query": {"a": [1, "{{#.a}}"]},
            "timeout": 5,
            "auth": {"basic": {"username": "u", "password": "{{secret.P}}"}, "bearer": None},
            "retry": {
                "attempts": 3,
                "delay": 0,
                "backoff": "constant",
                "max_delay": 9.5,
                "on": [503, "5xx", "connection"],
                "unsafe": True,
            },
            "until": {"filter": [{"by": "$.a", "condition": {"eq": 1, "ne": None}}], "delay": 1, "attempts": 2},
            "expect": {
                "status": [200, "3XX"],
                "headers": {"X-D": {"regex": "a"}},
                "filter": [{"or": [{"by": "{{$}}", "condition": {}}, {"and": []}]}],
                "schema": True,
            },
            "paginate": {"next": {"param": "page", "start": 0}, "items": "$.items", "max_pages": 3},
            "follow_redirects": True,
            "response": "json",
            "save_to": "x_{{!}}",
            "save_req_to": "y",
            "assign": {"z": {"a": ["{{$}}"]}},
            "sensitive": True,
            "ignore_error": False,
            "when": [],
            "break": [{"by": "$", "condition": {"gt": "{{#.a}}"}}],
            "catch": [{"sleep": "{{#.a}}"}],
            "__def_loop__": {
                "by": "$.items",
                "filter": [],
                "requests": [{"method": "{{#.m}}", "api": "{{#.b}}", "body": None, "sleep": None}],
                "parallel": 2,
                "max_items": 5,
                "collect": "all",
            },
        },
        {"method": "JAC", "api": "walker_list", "master": "u", "body": "{{#.a}}", "headers": "{{#.h}}"},
        {"method": "POST", "api": "http://h/", "form": {"a": 1}, "__def_loop": {"by": "$", "requests": []}},
        {"method": "POST", "url": "http://h/", "multipart": {"f": {"filename": "a", "content": "b"}}},
        {"method": "PUT", "url": "http://h/", "text": "{{#.a}}", "paginate": {"next": "link", "items": "$"}},
        {"sleep": 2.5, "name": "wait", "when": None, "method": None},
        {"parallel": {"branches": [[], [{"sleep": 0}]], "limit": 1}, "save_to": "p"},
        {"call": {"sequence": "s", "version": 2, "inputs": "{{#.a}}"}, "catch": None},
    ],
    "on_failure": [{"call": {"sequence": "{{#.s}}"}}],
    "finally": None,
}  # fmt: skip


def examples() -> Iterator[Any]:
    """The whole language, and the sequences of the documentation and of the documents."""
    yield WHOLE
    text = (ROOT / "docs" / "sequences.md").read_text()
    yield from (parse_jsonc(example) for example in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    for path in sorted((ROOT / "sequences" / "examples").glob("*.jsonc")):
        yield parse_jsonc(path.read_text())


EXAMPLES = list(examples())


def validated(sequence: Any) -> list[str]:
    """What the validator says against a sequence."""
    try:
        parse(sequence)
    except InvalidSequence as error:
        return [fault["detail"] for fault in error.errors]
    return []


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of a value and of all that is in it."""
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from places(inner, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


PLACES = [(number, path) for number, example in enumerate(EXAMPLES) for path in places(example)]
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 1, -1, 2.5, 101, "", "x", "GET", "5xx", "link", "{{#.a}}", [], [[]], [None], [{}], {},
     {"a": 1}, {"by": "$", "condition": {}}, {"sleep": 1}, {"method": "GET", "url": "http://h/"}]
)  # fmt: skip


def test_the_schema_is_one() -> None:
    meta.validate(language_schema())


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_what_is_valid_matches(number: int) -> None:
    assert validated(EXAMPLES[number]) == []
    assert [error.message for error in SCHEMA.iter_errors(EXAMPLES[number])] == []


@settings(max_examples=300, deadline=None)
@given(
    place=st.sampled_from(PLACES), new=VALUES, key=st.sampled_from(["", "by", "sleep", "call", "url", "body", "name"])
)
def test_whatever_the_validator_accepts_matches(place: tuple[int, tuple[Any, ...]], new: Any, key: str) -> None:
    """A valid sequence with one value in place of another, or with one more key."""
    number, path = place
    changed = copy.deepcopy(EXAMPLES[number])
    target = at(changed, path)
    if key and isinstance(target, dict):
        target[key] = new
    elif path:
        at(changed, path[:-1])[path[-1]] = new
    if not validated(changed):
        assert [error.message for error in SCHEMA.iter_errors(changed)] == []


OBJECTS = [path for path in places(WHOLE) if isinstance(at(WHOLE, path), dict)]


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: ".".join(map(str, path)))
def test_a_wrong_key_is_refused_by_both(path: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(WHOLE)
    at(changed, path)["no such key"] = None
    assert bool(validated(changed)) == (not SCHEMA.is_valid(changed))


@pytest.mark.parametrize(
    "step",
    [
        {"method": "GTE", "url": "http://h/"},
        {"method": "GET"},
        {"url": "http://h/"},
        {"sleep": 1, "save_to": "a"},
        {"sleep": 1, "call": {"sequence": "a"}},
        {"parallel": {"branches": []}},
        {"call": {"sequence": "a"}, "url": "http://h/"},
        {"method": "GET", "url": "http://h/", "retry": {"attempts": "3"}},
        {"method": "GET", "url": "http://h/", "when": {"by": "$"}},
        {"method": "GET", "url": "http://h/", "__def_loop__": {"requests": []}},
        {"method": "GET", "url": "http://h/", "expect": {"status": 1000}},
        1,
    ],
)
def test_what_is_plainly_wrong_is_refused_by_both(step: Any) -> None:
    sequence = {"requests": [step]}
    assert validated(sequence)
    assert not SCHEMA.is_valid(sequence)


@pytest.mark.parametrize("name", ["", "step", "retry", "auth"])
def test_an_editor_is_told_what_each_key_means(name: str) -> None:
    schema = language_schema()
    described = schema["$defs"][name] if name else schema
    assert [key for key, inner in described["properties"].items() if not inner.get("description")] == []
