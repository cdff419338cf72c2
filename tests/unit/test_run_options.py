"""What is said of runs: what is taken, and what is refused with its place."""

from datetime import UTC, datetime
from typing import Any

import pytest

from taskhub.errors import Rejected
from taskhub.runs.domain import Concurrency, ConcurrencyPolicy, spread_backoff
from taskhub.runs.run_options import checked_options, unfolded

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "many tags": ({"tags": [str(n) for n in range(21)]}, "/tags"),
    "a long tag": ({"tags": ["a", "x" * 51]}, "/tags/1"),
    "an empty tag": ({"tags": [""]}, "/tags/0"),
    "a comma": ({"tags": ["a,b"]}, "/tags/0"),
    "a control": ({"tags": ["a\nb"]}, "/tags/0"),
    "no list": ({"tags": {"a": 1}}, "/tags"),
    "nested metadata": ({"metadata": {"a": {"b": 1}}}, "/metadata/a"),
    "much metadata": ({"metadata": {f"k{n}": n for n in range(51)}}, "/metadata"),
    "long metadata": ({"metadata": {"a": "x" * 501}}, "/metadata/a"),
    "a low priority": ({"priority": 0}, "/priority"),
    "a high priority": ({"priority": 10}, "/priority"),
    "half a priority": ({"priority": 1.5}, "/priority"),
    "no time": ({"expires_at": "tomorrow"}, "/expires_at"),
    "no key": ({"concurrency": {"limit": 1}}, "/concurrency/key"),
    "an empty key": ({"concurrency": {"key": ""}}, "/concurrency/key"),
    "no limit": ({"concurrency": {"key": "a", "limit": 0}}, "/concurrency/limit"),
    "another policy": ({"concurrency": {"key": "a", "policy": "hope"}}, "/concurrency/policy"),
    "another word": ({"concurrency": {"key": "a", "max": 1}}, "/concurrency/max"),
}


@pytest.mark.parametrize(("said", "pointer"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_with_its_place(said: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Rejected) as refusal:
        checked_options(said)
    assert refusal.value.errors[0]["pointer"].startswith(pointer)


def test_what_is_said_twice_counts_once_and_what_is_empty_is_not_said() -> None:
    assert checked_options({"tags": ["a", "b", "a"], "metadata": {}, "webhook": ""}) == {"tags": ["a", "b"]}
    said = {"expires_at": "2026-01-31T12:00:00+01:00", "concurrency": {"key": "a"}, "metadata": {"a": None, "b": True}}
    assert checked_options(said) == {
        "expires_at": datetime(2026, 1, 31, 11, tzinfo=UTC),
        "concurrency": Concurrency("a", 1, ConcurrencyPolicy.WAIT),
        "metadata": {"a": None, "b": True},
    }


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        ({"tags": "a, b,,"}, {"tags": ["a", "b"]}),
        ({"tags": '["a"]'}, {"tags": '["a"]'}),
        ({"metadata.a.b": "1", "metadata.c": ""}, {"metadata": {"a.b": "1", "c": ""}}),
        ({"concurrency.key": "7", "concurrency.limit": "7"}, {"concurrency": {"key": "7", "limit": 7}}),
        ({"priority": "3", "other": "x"}, {"priority": 3, "other": "x"}),
        ({"priority": "high"}, {"priority": "high"}),
    ],
)
def test_a_query_is_unfolded(texts: dict[str, str], values: dict[str, Any]) -> None:
    assert unfolded(texts) == values


def test_each_pause_is_twice_as_long_up_to_its_most_and_less_by_chance() -> None:
    assert [spread_backoff(n, first=2, chance=0) for n in (1, 2, 3, 9, 99)] == [2, 4, 8, 300, 300]
    assert [spread_backoff(n, first=600, chance=0) for n in (1, 2)] == [600, 600]
    assert spread_backoff(3, first=1, chance=1) == 2
