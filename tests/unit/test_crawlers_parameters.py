"""The parameters of externals: how they may be described, and which values fit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.domain.parameters import (
    CheckedDescriptions,
    complete_values,
    find_value_errors,
    load_descriptions,
    secret_names,
)
from crawlers.domain.value_types import VALUE_TYPES
from taskhub.errors import Rejected
from taskhub.jsontools.merge_patch import merge_patch
from taskhub.jsontools.schema import REQUIRED, ObjectSchema


def description_errors(descriptions: Any) -> list[tuple[str, str]]:
    """Pointers and details of what is wrong with descriptions."""
    try:
        ObjectSchema("External", {"parameters": (CheckedDescriptions, REQUIRED)}).check({"parameters": descriptions})
    except Rejected as problem:
        return [(error["pointer"], error["detail"]) for error in problem.errors]
    return []


def value_errors(descriptions: list[dict[str, Any]], values: dict[str, Any]) -> list[tuple[str, str]]:
    """Pointers and details of what is wrong with values."""
    errors = find_value_errors(load_descriptions(descriptions), values)
    return [(error["pointer"], error["detail"]) for error in errors]


def fault(description: dict[str, Any], value: Any, **others: Any) -> str:
    """What is wrong with one value; empty when it fits."""
    descriptions = [{"name": "it", **description}, *({"name": name, "type": "integer"} for name in others)]
    assert description_errors(descriptions) == []
    values = complete_values(load_descriptions(descriptions), {"it": value, **others})
    return "; ".join(f"{pointer} {detail}" for pointer, detail in value_errors(descriptions, values))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["", "a", "ą" * 10_000], [1, True, [], {}, "a\x00", "a" * 10_001]),
        ("password", ["geheim"], [1, ["a"]]),
        ("bool", [True, False], ["true", 0, 1, []]),
        ("date", ["2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31 12:00+02:00"], ["31.1.2026", "2026-02-30", 5, ""]),
        (
            "location",
            ["Warszawa", {"lat": 52.2, "lng": 21.0}, {"lat": -90, "lng": 180, "radius": 0, "name": "x"}],
            ["", " ", {}, {"lat": 91, "lng": 0}, {"lat": 1, "lng": "0"}, {"lat": 1, "lng": 1, "alt": 2}, [1, 2], 5],
        ),
        ("multi_bool", [[], ["a"], {"a": True, "b": False}], ["a", [1], {"a": 1}, 5]),
        ("list", [[], ["a", 1, 2.5, True]], ["a", [[]], [{}], [None], {}]),
        ("multi_search", [[], ["a", "b"]], ["a", [1], {}]),
        ("integer", [0, -5, 2**63 - 1], [1.5, "1", True, 2**63, 1.0]),
        ("interger", [7], ["7"]),
    ],
)
def test_each_type_takes_its_values_and_no_others(kind: str, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if fault({"type": kind}, value)] == []
    assert [value for value in bad if not fault({"type": kind}, value)] == []


@pytest.mark.parametrize(
    ("description", "value", "expected"),
    [
        ({"type": "string", "min": 2}, "a", "/it Must be at least 2 characters."),
        ({"type": "string", "max": 2}, "abc", "/it Must be at most 2 characters."),
        ({"type": "integer", "min": 2}, 1, "/it Must be at least 2."),
        ({"type": "integer", "max": 2}, 3, "/it Must be at most 2."),
        ({"type": "date", "min": "2026-01-01"}, "2025-12-31", "/it Must be at least 2026-01-01."),
        ({"type": "date", "max": "2026-01-01"}, "2026-01-01T00:00:01Z", "/it Must be at most 2026-01-01."),
        ({"type": "list", "max": 1}, [1, 2], "/it Must be at most 1 entries."),
        ({"type": "multi_bool", "min": 1}, {"a": False}, "/it Must be at least 1 chosen options."),
        ({"type": "string", "regex": "^[a-z]+$"}, "A1", "/it 'A1' does not match the pattern ^[a-z]+$."),
        ({"type": "password", "regex": "^[a-z]+$"}, "A1", "/it does not match the pattern ^[a-z]+$."),
        ({"type": "multi_search", "regex": "^a"}, ["ab", "b"], "/it 'b' does not match the pattern ^a."),
        ({"type": "string", "options": ["a", "b"]}, "c", "/it 'c' is not among the options: a, b."),
        ({"type": "integer", "options": [{"value": 1, "label": "one"}]}, 2, "/it '2' is not among the options: 1."),
        ({"type": "multi_bool", "options": ["a"]}, ["a", "x"], "/it 'x' is not among the options: a."),
        ({"type": "string", "required": True}, "", "/it Must not be empty."),
        ({"type": "string", "required": True}, None, "/it This is required."),
        ({"type": "string"}, 5, "/it Must be a text."),
    ],
)
def test_each_fault_has_its_own_message(description: dict[str, Any], value: Any, expected: str) -> None:
    assert fault(description, value) == expected.replace("/it ", "/params/it ")


@pytest.mark.parametrize(
    ("operator", "mine", "other", "expected"),
    [
        ("<", 5, 5, "It must be less than other."),
        ("<=", 6, 5, "It must be at most other."),
        (">", 5, 5, "It must be greater than other."),
        (">=", 4, 5, "It must be at least other."),
        ("==", 4, 5, "It must equal other."),
        ("!=", 5, 5, "It must differ from other."),
        ("requires", 5, None, "It needs other."),
        ("excludes", 5, 5, "It cannot stand beside other."),
        ("<", 4, 5, ""),
        ("<", 4, None, ""),
        ("requires", 5, 5, ""),
        ("excludes", 5, None, ""),
    ],
)
def test_restrictions_between_two_parameters(operator: str, mine: Any, other: Any, expected: str) -> None:
    description = {"type": "integer", "restrictions": [{"operator": operator, "parameter": "other"}]}
    assert fault(description, mine, other=other) == (expected and f"/params/it {expected}")


def test_a_restriction_compares_dates_and_says_its_own_message() -> None:
    rule = {"operator": "<", "parameter": "until", "message": "since comes before until"}
    descriptions: list[dict[str, Any]] = [
        {"name": "since", "type": "date", "restrictions": [rule]},
        {"name": "until", "type": "date"},
    ]
    assert description_errors(descriptions) == []
    assert value_errors(descriptions, {"since": "2026-01-01", "until": "2026-01-01T00:00:01Z"}) == []
    wrong = value_errors(descriptions, {"since": "2026-01-02", "until": "2026-01-01"})
    assert wrong == [("/params/since", "since comes before until")]


@pytest.mark.parametrize(
    ("description", "pointer"),
    [
        (5, "/parameters/0"),
        ({"type": "string"}, "/parameters/0/name"),
        ({"name": "", "type": "string"}, "/parameters/0/name"),
        ({"name": "a", "type": "text"}, "/parameters/0/type"),
        ({"name": "a", "type": "string", "colour": 1}, "/parameters/0/colour"),
        ({"name": "a", "type": "string", "required": "yes"}, "/parameters/0/required"),
        ({"name": "a", "type": "string", "label": 5}, "/parameters/0/label"),
        ({"name": "a", "type": "bool", "min": 1}, "/parameters/0/min"),
        ({"name": "a", "type": "integer", "max": "5"}, "/parameters/0/max"),
        ({"name": "a", "type": "date", "max": 5}, "/parameters/0/max"),
        ({"name": "a", "type": "string", "regex": "("}, "/parameters/0/regex"),
        ({"name": "a", "type": "integer", "regex": "1"}, "/parameters/0/regex"),
        ({"name": "a", "type": "string", "options": []}, "/parameters/0/options"),
        ({"name": "a", "type": "string", "options": [{"label": "x"}]}, "/parameters/0/options/0"),
        ({"name": "a", "type": "string", "options": [None]}, "/parameters/0/options/0"),
        ({"name": "a", "type": "string", "default": 5}, "/parameters/0/default"),
        ({"name": "a", "type": "string", "max": 1, "default": "ab"}, "/parameters/0/default"),
        ({"name": "a", "type": "string", "restrictions": 5}, "/parameters/0/restrictions"),
        ({"name": "a", "type": "string", "restrictions": [5]}, "/parameters/0/restrictions/0"),
        (
            {"name": "a", "type": "string", "restrictions": [{"operator": "~", "parameter": "b"}]},
            "/parameters/0/restrictions/0/operator",
        ),
        (
            {"name": "a", "type": "string", "restrictions": [{"operator": "<", "parameter": "a"}]},
            "/parameters/0/restrictions/0/parameter",
        ),
    ],
)
def test_a_faulty_description_is_named(description: Any, pointer: str) -> None:
    errors = description_errors([description, {"name": "b", "type": "integer"}])
    assert pointer in dict(errors)


def test_two_parameters_of_one_name() -> None:
    errors = description_errors([{"name": "a", "type": "bool"}, {"name": "a", "type": "integer"}])
    assert errors == [("/parameters/1/name", "Another parameter has this name.")]


def test_unknown_names_defaults_and_secrets() -> None:
    descriptions: list[dict[str, Any]] = [
        {"name": "n", "type": "integer", "default": 3},
        {"name": "pin", "type": "password"},
    ]
    assert complete_values(load_descriptions(descriptions), {"pin": None}) == {"n": 3}
    errors = value_errors(descriptions, {"n": 3, "strange/name": 1})
    assert errors == [("/params/strange~1name", "There is no such parameter.")]
    assert secret_names(load_descriptions(descriptions)) == {"pin"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(VALUE_TYPES)), json_values)
def test_no_value_breaks_a_check(kind: str, value: Any) -> None:
    fault({"type": kind, "required": True}, value)


@given(st.lists(st.dictionaries(st.sampled_from(["name", "type", "min", "options", "restrictions"]), json_values)))
def test_no_description_breaks_a_check(descriptions: Any) -> None:
    description_errors(descriptions)


@pytest.mark.parametrize(
    ("old", "change", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({}, {"a": {"b": {}}}, {"a": {"b": {}}}),
    ],
)
def test_a_change_is_merged_recursively(old: Any, change: Any, expected: Any) -> None:
    assert merge_patch(old, change) == expected


@given(json_values, json_values)
def test_merging_twice_changes_nothing_more(old: Any, change: Any) -> None:
    assert merge_patch(merge_patch(old, change), change) == merge_patch(old, change)
