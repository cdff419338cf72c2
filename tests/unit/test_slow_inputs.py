"""Inputs of each kind that are made to be slow: they are refused, or end, before anybody notices.

None of these may be a matter of minutes: where a budget is missing, this module does not end.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from crawlers.domain.parameters import CheckedDescriptions, find_value_errors, load_descriptions
from extraction.domain.pages_payload import PagesPayload
from sequences.domain.conditions import FilterReader
from sequences.domain.expressions import read_expression
from sequences.domain.scope import Scope
from sequences.domain.templates import TemplateReader
from sequences.domain.validation_errors import StepFailure, ValidationFaults
from taskhub.errors import Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.jsontools.strict_json import parse_json
from taskhub.linear_regex import PatternBudget, PatternsTooSlow, compile_pattern
from taskhub.runs.scheduler.cron import Crontab, latest_fire

SLOW_PATTERN = "[ab]*a[ab]{900}c"
LARGE_PATTERN, TOO_LARGE_PATTERN = "y{}[^x]{{900}}", r"y{}\pL{{1000}}"
DEEP: Any = 1
for _ in range(90):
    DEEP = {"a": DEEP}
TREE: Any = [[[[1] * 20] * 20] * 20] * 20
ONES: Any = 1
for _ in range(10):
    ONES = [ONES] * 10

PATHS = {
    "descendants of descendants": ("..a" * 60, DEEP),
    "all below all": ("..*" * 10, TREE),
    "all, ten deep": ("[*]" * 10, ONES),
    "one place many times": (("[" + ",".join("0" * 30) + "]") * 10, ONES),
    "one name many times": (("[" + ",".join(["'a'"] * 20) + "]") * 9, DEEP),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_looks_at_no_more_values_than_it_may(name: str) -> None:
    path, value = PATHS[name]
    with pytest.raises(StepFailure, match="too many values"):
        read_expression(f"${path}").evaluate(Scope(value, {}))


def filter_holds(filter_: Any, **persistence: Any) -> bool:
    faults = ValidationFaults()
    holds = FilterReader(faults, TemplateReader(faults)).filter(filter_, (None, "filter"))
    assert faults.errors == []
    return holds(Scope(1, persistence))


def any_of(*conditions: dict[str, Any]) -> list[Any]:
    return [{"or": [{"by": "#.text", "condition": condition} for condition in conditions]}]


LISTS: dict[str, Any] = {"text": [[1] * 100] * 2000, "other": [[1] * 100] * 1999 + [[2]]}
FILTERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "a slow pattern and a long text": (any_of({"regex": SLOW_PATTERN}), {"text": "ab" * 900_000}),
    "a slow pattern many times": (any_of(*[{"regex": SLOW_PATTERN}] * 50), {"text": "ab" * 30_000}),
    "patterns of templates": (
        any_of(*({"regex": f"{{{{#.p{n}}}}}"} for n in range(400))),
        {"text": "x", **{f"p{n}": LARGE_PATTERN.format(n) for n in range(400)}},
    ),
    "long lists compared many times": (any_of(*[{"eq": "{{#.other}}"}] * 400), LISTS),
    "all of persistence many times": (
        any_of(*[{"eq": "{{#}}"}] * 400),
        {"text": {}, **{str(n): n for n in range(50_000)}},
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_predicate_looks_at_no_more_values_than_it_may(name: str) -> None:
    filter_, persistence = FILTERS[name]
    with pytest.raises(StepFailure, match="too many values"):
        filter_holds(filter_, **persistence)


TEXTS = {
    "a string that is not closed": '"\\' * 300_000,
    "strings one in the other": '"' + '\\"' * 300_000,
    "comments that are not closed": "/*" * 300_000,
    "comments in one line": "//" * 300_000,
    "trailing commas": ",]" * 300_000,
    "open objects": '{"a":' * 300_000,
    "closed objects": "{}" * 300_000,
    "one long number": "9" * 1_300_000,
    "numbers that are none": "-" * 1_300_000,
    "elisions": "..." * 200_000,
    "escapes": '"' + "\\ud800" * 100_000 + '"',
    "lines": "\n" * 1_300_000 + "]",
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("parse", [parse_jsonc, parse_json])
def test_a_broken_text_is_refused_in_one_pass(parse: Callable[[str], Any], name: str) -> None:
    with pytest.raises(Rejected):
        parse(TEXTS[name])


def check_descriptions(pattern: str) -> Any:
    descriptions = [{"name": f"p{n}", "type": "string", "regex": pattern.format(n)} for n in range(200)]
    return TypeAdapter(CheckedDescriptions).validate_python(descriptions)


def parse_payload(pattern: str) -> Any:
    filters = [[{"name": "regex", "param": pattern.format(20 * n + m)} for m in range(20)] for n in range(200)]
    fields = [{"name": f"f{n}", "selector": "p", "filters": some} for n, some in enumerate(filters)]
    return PagesPayload.parse({"request": {"url": "http://a.example/"}, "fields": fields})


@pytest.mark.parametrize("pattern", [LARGE_PATTERN, TOO_LARGE_PATTERN])
@pytest.mark.parametrize("parse", [check_descriptions, parse_payload])
def test_patterns_are_compiled_within_one_budget(parse: Callable[[str], Any], pattern: str) -> None:
    with pytest.raises((ValidationError, Rejected)):
        parse(pattern)


def test_many_small_patterns_fit() -> None:
    assert parse_payload(r"y{} (\d+) EUR")
    assert check_descriptions(r"y{} (\d+) EUR")


def test_parameters_are_compared_with_their_patterns_within_one_budget() -> None:
    descriptions = load_descriptions([{"name": f"p{n}", "type": "string", "regex": SLOW_PATTERN} for n in range(200)])
    errors = find_value_errors(descriptions, {f"p{n}": "ab" * 5000 for n in range(200)})
    assert any("too long" in str(error["detail"]) for error in errors)
    few = find_value_errors(descriptions[:1], {"p0": "a" * 901 + "c"})
    assert few == []


def test_a_budget_is_for_all_its_patterns() -> None:
    budget, pattern = PatternBudget(steps=10_000), compile_pattern("ab")
    assert budget.search(pattern, "xab")
    for _ in range(2):
        budget.search(pattern, "x" * 500)
    with pytest.raises(PatternsTooSlow):
        budget.search(pattern, "x" * 2000)


@pytest.mark.parametrize("flows", [True, False])
def test_rare_dates_are_found_soon(flows: bool) -> None:
    """A 29 February that is a Monday comes every 28 years."""
    every = frozenset(range(60)), frozenset(range(24))
    rare = Crontab(*every, frozenset({29}), frozenset({2}), frozenset({1}), ZoneInfo("Africa/Casablanca"), flows)
    now = datetime(2025, 3, 1, tzinfo=UTC)
    first = rare.next_fire(now)
    assert first is not None
    assert first.year == 2044
    last = latest_fire(rare, now, first + timedelta(days=400))
    assert last is not None
    assert first + timedelta(hours=23) < last < first + timedelta(days=1, hours=1)
    assert latest_fire(rare, last, last + timedelta(days=400)) is None
    assert rare.next_fire(now, until=now + timedelta(days=30)) is None
