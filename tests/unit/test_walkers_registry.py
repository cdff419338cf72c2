"""Binding of a call's arguments, from JSON and from texts; no database."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from taskhub.errors import Forbidden, NotFound, Rejected, Unauthenticated
from taskhub.jsontools.field_types import Timestamp
from taskhub.security.scopes import KeyScope
from walkers.http.registry import CallFunction, CallResponse, Flag, call, functions
from walkers.walks.principal import Principal


@dataclass
class Somebody:
    is_staff: bool = False
    is_kept_to_own: bool = False

    def has_perm(self, name: str) -> bool:
        return self.is_staff


def order(
    principal: Principal,
    name: str,
    count: Annotated[int, Field(ge=0)] = 1,
    price: float = 0.5,
    ctx: dict[str, Any] = {},  # noqa: B006
    note: str | None = None,
    quick: bool = False,
    is_async: Flag = False,
    run_at: Timestamp = None,
) -> Any:
    """Order something.

    In words.
    """
    return {"name": name, "count": count, "price": price, "ctx": ctx, "note": note, "quick": quick} | {
        "is_async": is_async,
        "run_at": run_at,
    }


def function(scope: Any = "private") -> CallFunction:
    return CallFunction("order", order, scope, False, KeyScope.MANAGE, (), {}, None, {200: Any}, "json", ())


ME = Principal(Somebody())
DEFAULTS = {"count": 1, "price": 0.5, "ctx": {}, "note": None, "quick": False, "is_async": False, "run_at": None}


def answered(**arguments: Any) -> Any:
    return function()(ME, arguments).body


def refused_at(**arguments: Any) -> list[str]:
    with pytest.raises(Rejected) as caught:
        function()(ME, arguments)
    return [error["pointer"] for error in caught.value.errors]


def test_arguments_are_bound_by_name_and_the_rest_has_its_default() -> None:
    assert answered(name="tea") == {"name": "tea", **DEFAULTS}
    assert answered(name="tea", count=2, ctx={"a": [1]})["ctx"] == {"a": [1]}


def test_an_argument_that_is_no_parameter_is_named() -> None:
    assert refused_at(name="tea", colour="red") == ["/colour"]
    assert refused_at(name="tea", caller="me") == ["/caller"]


def test_a_missing_or_wrong_argument_is_named() -> None:
    assert refused_at() == ["/name"]
    assert refused_at(name=1, count=-1, ctx=[], quick="true", note=2) == ["/name", "/count", "/ctx", "/note", "/quick"]


@pytest.mark.parametrize("value", [True, "true", "TRUE", "1", "yes", "Yes", 1])
def test_is_async_is_spelt_as_the_documents_spell_it(value: Any) -> None:
    assert answered(name="x", is_async=value)["is_async"] is True


@pytest.mark.parametrize("value", [False, "false", "False", "0", "no", 0])
def test_is_async_can_be_denied_in_the_same_ways(value: Any) -> None:
    assert answered(name="x", is_async=value)["is_async"] is False


@pytest.mark.parametrize("value", ["", "maybe", "2", 2, None, [], 1.0, "on"])
def test_is_async_is_nothing_else(value: Any) -> None:
    assert refused_at(name="x", is_async=value) == ["/is_async"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31t14:00:00.000+02:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00-00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T06:00:00.5-06:00", datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T12:00:00.000000999Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T11:59:59.999999999Z", datetime(2026, 1, 31, 11, 59, 59, 999_999, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01T00:59:60.25+01:00", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_rfc_3339(text: str, time: datetime) -> None:
    assert answered(name="x", run_at=text)["run_at"] == time


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "20260131T120000Z",
        1.5,
        True,
        "1769860800",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-01-31T25:00:00Z",
        "2026-W05-6T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T23:59:61Z",
        "9999-12-31T23:59:60Z",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+02:60",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00123Z",
        f"2026-01-31T12:00:00.{'1' * 1000}Z",
    ],
)
def test_a_time_is_nothing_else(value: Any) -> None:
    assert refused_at(name="x", run_at=value) == ["/run_at"]


# Texts, as queries and forms have them


def read(**texts: str) -> dict[str, Any]:
    return function().from_texts(texts)


def test_texts_are_read_as_what_the_parameter_is() -> None:
    assert read(name="1", count="2", price="1e-05", ctx='{"a": 1}', note="5", quick="TRUE", run_at="x") == {
        "name": "1",
        "count": 2,
        "price": 1e-05,
        "ctx": {"a": 1},
        "note": "5",
        "quick": True,
        "run_at": "x",
    }


@pytest.mark.parametrize("text", ["", "x", "1_0", " 1", "+1", "\u0661", "0x1", "1" * 31, "nan", "inf", "1.0.0", "--1"])
def test_what_is_no_number_is_refused_with_its_place(text: str) -> None:
    assert refused_at(name="x", **read(count=text)) == ["/count"]


def test_json_that_is_broken_is_refused_with_its_place() -> None:
    with pytest.raises(Rejected) as caught:
        read(ctx='{"a": 1, "a": 2}')
    assert caught.value.errors[0]["pointer"] == "/ctx"


@given(
    st.fixed_dictionaries(
        {"name": st.text(max_size=5)},
        optional={
            "count": st.integers(0, 10**9),
            "price": st.floats(-1e9, 1e9),
            "quick": st.booleans(),
            "ctx": st.dictionaries(st.sampled_from("abc"), st.integers() | st.text("xyz\n\t \"'")),
        },
    )
)
def test_a_query_means_what_the_same_json_means(arguments: dict[str, Any]) -> None:
    texts = {name: value if name == "name" else json.dumps(value) for name, value in arguments.items()}
    assert function().from_texts(texts) == arguments
    assert function()(ME, function().from_texts(texts)).body == answered(**arguments)


@given(st.dictionaries(st.sampled_from(["name", "count", "ctx", "quick", "is_async", "run_at", "x"]), st.text()))
def test_no_text_is_a_fault_of_ours(texts: dict[str, str]) -> None:
    try:
        function()(ME, function().from_texts(texts))
    except Rejected as problem:
        assert problem.errors
    else:
        assert "name" in texts


# Who may


def test_nobody_is_asked_to_sign_in() -> None:
    with pytest.raises(Unauthenticated):
        function()(Principal(), {"name": "x"})


def test_what_is_for_staff_is_forbidden_to_others() -> None:
    with pytest.raises(Forbidden):
        function("admin")(ME, {"name": "x"})
    assert function("admin")(Principal(Somebody(is_staff=True)), {"name": "x"}).status == 200


def test_who_may_not_call_learns_nothing_of_the_arguments() -> None:
    with pytest.raises(Forbidden):
        function("admin")(ME, {"bad": "x"})


# The registry


def test_every_call_of_the_contract_is_registered() -> None:
    scopes = {one.name: one.scope for one in functions()}
    assert scopes.pop("master_allusers") == "admin"
    assert set(scopes.values()) == {"private"}
    assert set(scopes) == {
        *("walker_run", "walker_list", "walker_get"),
        *("walker_queue", "walker_queue_check", "walker_queue_wait", "walker_queue_cancel"),
        *("object_get", "object_set"),
        *("graph_create", "graph_list", "graph_active_set", "graph_active_get", "graph_delete", "graph_get"),
        *("alias_register", "alias_list", "alias_delete"),
        *("sentinel_list", "sentinel_active_set", "sentinel_active_get"),
        *("add_scheduled_walker", "add_scheduled_sequence", "get_scheduled_queues", "delete_scheduled_queue"),
        "master_self",
    }


def test_every_call_is_described() -> None:
    for one in functions():
        assert one.summary, one.name
        assert one.description, one.name
        assert all("description" in schema for schema in one.json_schema.get("properties", {}).values()), one.name


@pytest.mark.parametrize("name", ["", "nothing", "__init__", "call", quote("walker_run/")])
def test_an_unknown_call_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        call(name, {}, ME)


def test_wapi_takes_the_name_from_the_path_only() -> None:
    with pytest.raises(Rejected) as caught:
        call("wapi/echo", {"name": "echo"}, ME)
    assert caught.value.errors[0]["pointer"] == "/name"


def test_an_answer_may_say_more_than_its_body() -> None:
    assert function()(ME, {"name": "x"}).status == 200
    assert CallResponse(202, {"a": 1}).respond_after_commit is None


@pytest.mark.parametrize(
    ("query", "body", "is_async"),
    [
        ({"is_async": "true"}, {"is_async": False}, True),
        ({"is_async": "1"}, {"is_async": "no"}, True),
        ({"is_async": "true"}, {"is_async": 0}, True),
        ({"is_async": "false"}, {"is_async": "yes"}, "yes"),
        ({"is_async": "true"}, {"is_async": "maybe"}, "maybe"),
        ({"is_async": "false"}, {"is_async": False}, False),
        ({"is_async": "true"}, {}, True),
    ],
)
def test_a_flag_that_is_true_in_query_or_body_is_true(query: Any, body: Any, is_async: Any) -> None:
    """And a value that is none is still refused when it is checked."""
    of_query = function().from_texts({**query, "note": "query"})
    assert function().merge(of_query, {**body, "note": "body"}) == {"is_async": is_async, "note": "body"}
