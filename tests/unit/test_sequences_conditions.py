"""Filters hold as a naive model says; what cannot be compared is false; patterns are RE2's and end in time."""

import operator
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sequences.domain.conditions import NESTING_MAX, PATTERNS_MAX, FilterReader, Predicate
from sequences.domain.patterns import read_pattern
from sequences.domain.scope import Scope
from sequences.domain.templates import TemplateReader
from sequences.domain.validation_errors import InvalidSyntax, StepFailure, ValidationFaults


def read(value: Any) -> tuple[Predicate, list[dict[str, str]]]:
    faults = ValidationFaults()
    return FilterReader(faults, TemplateReader(faults)).filter(value, (None, "filter")), faults.errors


def holds(filter_: Any, current: Any, **persistence: Any) -> bool:
    found, faults = read(filter_)
    assert faults == []
    return found(Scope(current, persistence, current, "7"))


def compares(condition: dict[str, Any], actual: Any) -> bool:
    return holds([{"by": "$.it", "condition": condition}], {"it": actual})


@pytest.mark.parametrize(
    ("condition", "actual", "expected"),
    [
        ({"eq": 1}, 1.0, True),
        ({"eq": 1}, True, False),
        ({"eq": True}, True, True),
        ({"eq": 1}, "1", False),
        ({"ne": 1}, "1", True),
        ({"ne": True}, 1, True),
        ({"ne": 1}, 1.0, False),
        ({"ne": 1}, 2, True),
        ({"ne": "a"}, None, True),
        ({"ne": "a", "gt": "a"}, None, False),
        ({"eq": [1, {"a": None}]}, [1.0, {"a": None}], True),
        ({"ne": [1]}, [True], True),
        ({"gt": True}, 5, False),
        ({"gte": True}, True, False),
        ({"gt": [1]}, [2], False),
        ({"lt": 10**400}, 1.5, True),
        ({"gte": "b", "lt": "c"}, "bz", True),
        ({"gte": "b", "lt": "c"}, "c", False),
        ({"regex": "urn:"}, "urn:uuid:1", True),
        ({"regex": "uuid"}, "urn:uuid:1", False),
        ({"regex": ".*1$"}, "urn:uuid:1", True),
        ({"regex": ""}, "", True),
        ({"regex": "1"}, 1, False),
        ({"regex": "ü+"}, "üü", True),
        ({"eq": None, "ne": None, "gt": None, "gte": None, "lt": None, "lte": None, "regex": None}, None, True),
        ({}, "anything", True),
    ],
)
def test_conditions(condition: dict[str, Any], actual: Any, expected: bool) -> None:
    assert compares(condition, actual) is expected


SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.5, "", "a", "ab", "b", "1"])
PATTERNS = st.sampled_from(["a", "a*", "^b", "a|1", "b$", "", "(a)(b)", "[^a]"])
CONDITIONS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte"), SCALARS) | {"regex": st.none() | PATTERNS}
)
LEAVES = st.fixed_dictionaries(
    {"by": st.sampled_from(["$.a", "$.b", "{{$.a}}", "@.b", "#.a", "!", "$.list[*]"]), "condition": CONDITIONS}
)
PARTS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda name, parts: {name: parts}, st.sampled_from(["or", "and"]), st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)
ITEMS = st.fixed_dictionaries({"a": SCALARS, "list": st.lists(SCALARS, max_size=1)}, optional={"b": SCALARS})


class Model:
    """The filter as one would write it down without thinking of speed."""

    def __init__(self, item: dict[str, Any], persistence: dict[str, Any]) -> None:
        self.values = {
            "$.a": item["a"], "{{$.a}}": item["a"], "$.b": item.get("b"), "@.b": item.get("b"),
            "#.a": persistence.get("a"), "!": "7", "$.list[*]": item["list"],
        }  # fmt: skip

    def holds(self, part: Any) -> bool:
        if "or" in part:
            return any(self.holds(inner) for inner in part["or"])
        if "and" in part:
            return all(self.holds(inner) for inner in part["and"])
        actual = self.values[part["by"]]
        wanted = {name: value for name, value in part["condition"].items() if value is not None}
        return all(self.compare(name, actual, value) for name, value in wanted.items())

    def compare(self, name: str, actual: Any, value: Any) -> bool:
        types = {type(actual), type(value)}
        if name == "regex":
            return isinstance(actual, str) and re.match(value, actual) is not None
        if name == "ne":
            return not self.compare("eq", actual, value)
        if not (types <= {int, float} or types == {str} or (types == {bool} and name == "eq")):
            return False
        compare = getattr(operator, {"gte": "ge", "lte": "le"}.get(name, name))
        return bool(compare(actual, value))


@given(st.lists(PARTS, max_size=3), ITEMS, st.dictionaries(st.just("a"), SCALARS))
@example([{"or": []}], {"a": 1, "list": []}, {})
@example([{"and": []}], {"a": 1, "list": []}, {})
def test_filters_agree_with_a_naive_model(filter_: list[Any], item: dict[str, Any], kept: dict[str, Any]) -> None:
    assert holds(filter_, item, **kept) is Model(item, kept).holds({"and": filter_})


def test_what_is_compared_with_may_be_a_template() -> None:
    filter_ = [{"by": "$.id", "condition": {"eq": "{{#.wanted}}", "regex": "{{#.pattern}}"}}]
    assert holds(filter_, {"id": "abc"}, wanted="abc", pattern="a.c$")
    assert not holds(filter_, {"id": "abc"}, wanted="abc", pattern="b")
    assert not holds(filter_, {"id": "abc"}, wanted="abd", pattern="a")


@pytest.mark.parametrize("name", ["eq", "ne", "gt", "gte", "lt", "lte", "regex"])
def test_a_template_that_finds_nothing_compares_with_nothing(name: str) -> None:
    filter_ = [{"by": "$.id", "condition": {name: "{{#.wanted}}"}}]
    assert holds(filter_, {"id": "abc"}) is (name == "ne")
    assert holds(filter_, {"id": None}) is (name == "ne")


@pytest.mark.parametrize("item", [{}, {"id": None}, {"id": 5}, {"id": True}, {"id": []}, {"id": {"a": 1}}, {"id": "b"}])
def test_ne_is_true_wherever_eq_is_false(item: dict[str, Any]) -> None:
    for expected in ("a", "{{#.wanted}}", 7, False, ["a"], {"a": "b"}):
        equal, unequal = ([{"by": "$.id", "condition": {name: expected}}] for name in ("eq", "ne"))
        assert (holds(equal, item, wanted="a"), holds(unequal, item, wanted="a")) == (False, True)


def test_a_pattern_that_turns_out_unreadable_is_a_failure() -> None:
    with pytest.raises(StepFailure, match="no pattern"):
        holds([{"by": "$.id", "condition": {"regex": "{{#.pattern}}"}}], {"id": "abc"}, pattern="(")


@pytest.mark.parametrize(
    ("filter_", "path"),
    [
        ({}, "filter"),
        ("$.a", "filter"),
        ([1], "filter[0]"),
        ([{}], "filter[0]"),
        ([{"by": "$.a"}], "filter[0]"),
        ([{"condition": {}}], "filter[0]"),
        ([{"or": [], "and": []}], "filter[0]"),
        ([{"by": "$.a", "condition": {}, "or": []}], "filter[0]"),
        ([{"or": {}}], "filter[0].or"),
        ([{"and": [{"or": [None]}]}], "filter[0].and[0].or[0]"),
        ([{"by": "a", "condition": {}}], "filter[0].by"),
        ([{"by": None, "condition": {}}], "filter[0].by"),
        ([{"by": "x {{$.a}}", "condition": {}}], "filter[0].by"),
        ([{"by": "$.a", "condition": []}], "filter[0].condition"),
        ([{"by": "$.a", "condition": {"like": 1}}], "filter[0].condition.like"),
        ([{"by": "$.a", "condition": {"eq": "{{"}}], "filter[0].condition.eq"),
        ([{"by": "$.a", "condition": {"regex": "("}}], "filter[0].condition.regex"),
        ([{"by": "$.a", "condition": {"regex": "(?=a)"}}], "filter[0].condition.regex"),
        ([{"by": "$.a", "condition": {"regex": r"(a)\1"}}], "filter[0].condition.regex"),
        ([{"by": "$.a", "condition": {"regex": "((a{100}){100}){100}"}}], "filter[0].condition.regex"),
        ([{"by": "$.a", "condition": {"regex": "a" * 1001}}], "filter[0].condition.regex"),
        ([{"by": "$.a", "condition": {"regex": 5}}], "filter[0].condition.regex"),
    ],
)
def test_each_fault_has_its_path(filter_: Any, path: str) -> None:
    _, faults = read(filter_)
    assert [fault["path"] for fault in faults] == [path]


def test_filters_nest_and_hold_patterns_up_to_a_limit() -> None:
    filter_: Any = []
    for _ in range(NESTING_MAX):
        filter_ = [{"and": filter_}]
    assert read(filter_)[1] == []
    assert len(read([{"or": filter_}])[1]) == 1
    patterns = [{"by": "$.a", "condition": {"regex": f"a{number}"}} for number in range(PATTERNS_MAX + 1)]
    assert [fault["path"] for fault in read(patterns)[1]] == [f"filter[{PATTERNS_MAX}].condition.regex"]


@pytest.mark.parametrize("pattern", ["[ab]*a[ab]{900}c", "(?:[ab]{1,1000})*c", "(?s).*a.{900}x"])
def test_a_pattern_made_to_be_slow_ends(pattern: str) -> None:
    match = read_pattern(pattern)
    assert not match("ab" * 500, Scope(None, {}))
    with pytest.raises(StepFailure, match="too many values"):
        match("ab" * 500_000, Scope(None, {}))


@given(st.text(max_size=20) | st.text(alphabet="ab()[]{}*+?|^$.\\dpL1,:=!<>P", max_size=20), st.text(max_size=8))
def test_any_text_is_a_pattern_or_unreadable(pattern: str, subject: str) -> None:
    try:
        match = read_pattern(pattern)
    except InvalidSyntax as error:
        assert "RE2" in str(error)
    else:
        assert match(subject, Scope(None, {})) in (True, False)
