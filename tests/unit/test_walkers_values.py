"""Ids, values and shapes of walkers: pure."""

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from taskhub.errors import Rejected
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.jsontools.strict_json import parse_json
from walkers.domain.ids import as_id, fault_of_alias, sentinel_id
from walkers.domain.json_copy import NotJson, json_copy

ID = UUID("d6851f2a-e4a1-4fca-b582-9db5e146af59")
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


# Ids


@given(st.uuids(), st.booleans(), st.booleans())
def test_every_spelling_of_an_id_is_read(id: UUID, urn: bool, upper: bool) -> None:
    text = id.urn if urn else str(id)
    assert as_id(text.upper() if upper else text) == id


@pytest.mark.parametrize(
    "text",
    ["", "x", "urn:uuid:", str(ID)[:-1], f"{ID} ", f"{{{ID}}}", ID.hex, f"urn:{ID}", "\x00", "\u0661" * 36, f"{ID}\n"],
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert as_id(text) is None


def test_a_sentinel_has_the_same_id_everywhere() -> None:
    assert sentinel_id("taskhub") == sentinel_id("taskhub") != sentinel_id("global")


@pytest.mark.parametrize(
    "name", ["", "x" * 201, "a\x00b", "a\nb", str(ID), ID.urn, "global", "active:graph", "Active:x", "urn:x"]
)
def test_what_means_something_else_is_no_alias(name: str) -> None:
    assert fault_of_alias(name)


@pytest.mark.parametrize("name", ["x", "my shop", "naïve", "a:b", "x" * 200])
def test_an_alias_is_any_other_text(name: str) -> None:
    assert fault_of_alias(name) is None


# Values


@given(json_values)
def test_json_stays_as_it_is(value: Any) -> None:
    copy, size = json_copy(value, room=10**6)
    assert copy == value
    assert size > 0
    assert parse_json(json.dumps(copy)) == value


def test_values_that_stand_for_text_become_text() -> None:
    class Color(Enum):
        RED = "red"

    class Item(BaseModel):
        id: UUID
        price: Decimal

    class Other:
        def as_json(self) -> dict[str, Any]:
            return {"id": ID}

    value = (ID, datetime(2026, 1, 31, tzinfo=UTC), date(2026, 1, 31), Decimal("1.50"), Color.RED)
    assert json_copy(value, room=1000)[0] == [str(ID), "2026-01-31T00:00:00+00:00", "2026-01-31", "1.50", "red"]
    assert json_copy({"item": Item(id=ID, price=Decimal("2"))}, room=1000)[0] == {"item": {"id": str(ID), "price": "2"}}
    assert json_copy([Other()], room=1000)[0] == [{"id": str(ID)}]
    assert json_copy({1: "a", ID: "b"}, room=1000)[0] == {"1": "a", str(ID): "b"}


def test_the_copy_is_made_of_jsons_own_types() -> None:
    class Name(StrEnum):
        ADA = "Ada"

    class Text(str):
        pass

    copy, _ = json_copy({"names": [Name.ADA, Text("Bob")]}, room=1000)
    assert [type(name) for name in copy["names"]] == [str, str]


def test_what_is_changed_afterwards_does_not_change_the_copy() -> None:
    value = {"list": [1]}
    copy, _ = json_copy(value, room=1000)
    value["list"].append(2)
    assert copy == {"list": [1]}


@pytest.mark.parametrize(
    ("value", "place", "word"),
    [
        ({"price": math.nan}, ".price", "nan"),
        ([1, math.inf], "[1]", "inf"),
        ({"a": [{"b": {1, 2}}]}, ".a[0].b", "list"),
        (b"x", "", "decode"),
        (object(), "", "object"),
        ("a\x00b", "", "U+0000"),
        (["\ud800"], "[0]", "surrogate"),
        ({"\ud800": 1}, "", "surrogate"),
        ({None: 1}, "", "NoneType"),
        ({True: 1}, "", "bool"),
        ({1.5: 1}, "", "float"),
        (2**2000, "", "bits"),
        (1j, "", "complex"),
        ((x for x in "ab"), "", "generator"),
    ],
)
def test_what_is_not_json_is_named_with_its_place(value: Any, place: str, word: str) -> None:
    with pytest.raises(NotJson) as caught:
        json_copy(value, room=1000)
    assert caught.value.path == place
    assert word in str(caught.value)


class Loud(str):
    def __str__(self) -> str:
        raise RuntimeError("It says nothing.")


@pytest.mark.parametrize(
    ("value", "copy"),
    [
        ("a\x00b", "a\ufffdb"),
        (["\ud800", {"\udfff\x00": "\x00"}], ["\ufffd", {"\ufffd\ufffd": "\ufffd"}]),
        (Loud("a\x00"), "a\ufffd"),
        ("\U0001f642", "\U0001f642"),
    ],
)
def test_texts_that_cannot_be_stored_are_mended_where_that_is_wanted(value: Any, copy: Any) -> None:
    assert json_copy(value, room=1000, mend=True)[0] == copy
    assert type(json_copy(Loud("a"), room=1000)[0]) is str


def test_circles_and_depths_end() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotJson, match="nested"):
        json_copy(circle, room=10**6)
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert json_copy(deep, room=10**6)[0] == deep
    with pytest.raises(NotJson, match="nested"):
        json_copy([deep], room=10**6)


@given(json_values)
def test_nothing_larger_than_its_room_passes(value: Any) -> None:
    _, size = json_copy(value, room=10**6)
    assert json_copy(value, room=size)[1] == size
    with pytest.raises(NotJson, match="larger"):
        json_copy(value, room=size - 1)


# Shapes

SHAPE = ObjectSchema(
    "Order",
    {
        "item": (str, REQUIRED),
        "count": (Annotated[int, Field(ge=1)], 1),
        "tags": (list[str], []),
        "id": (UUID | None, None),
        "either": (int | str, 0),
        "note": (str, Field(default="", max_length=5)),
        "key": (str, Field(min_length=1)),
    },
)


def places(values: Any, shape: ObjectSchema = SHAPE, at: str = "/ctx") -> list[str]:
    with pytest.raises(Rejected) as caught:
        shape.check_json(values, at=at)
    return [error["pointer"] for error in caught.value.errors]


def test_defaults_are_filled_in_and_never_shared() -> None:
    first = SHAPE.check_json({"item": "tea", "key": "k"})
    assert first == {"item": "tea", "count": 1, "tags": [], "id": None, "either": 0, "note": "", "key": "k"}
    first["tags"].append("x")
    assert SHAPE.check_json({"item": "tea", "key": "k"})["tags"] == []


def test_each_wrong_place_is_named() -> None:
    assert places({}) == ["/ctx/item", "/ctx/key"]
    assert places({"item": 1, "key": "k", "count": 0}) == ["/ctx/item", "/ctx/count"]
    assert places({"item": "", "key": "k", "tags": ["a", 2]}) == ["/ctx/tags/1"]
    assert places({"item": "", "key": "k", "either": [1]}) == ["/ctx/either", "/ctx/either"]
    assert places({"item": "", "key": "k", "id": "no"}) == ["/ctx/id"]
    assert places({"item": "", "key": "k", "a/b~c": 1}) == ["/ctx/a~1b~0c"]
    assert places({"item": math.nan}) == ["/ctx"]


@pytest.mark.parametrize("value", ["1", 1.5, True, None, [1]])
def test_types_are_those_of_the_schema(value: Any) -> None:
    assert places({"item": "", "key": "k", "count": value}) == ["/ctx/count"]


def test_a_whole_number_may_be_written_with_a_fraction_of_zero() -> None:
    bound = SHAPE.check_json({"item": "", "key": "k", "count": 2.0, "either": 3.0, "tags": ["a"]})
    assert (repr(bound["count"]), repr(bound["either"])) == ("2", "3")
    assert places({"item": "", "key": "k", "count": 2.0, "note": 1}) == ["/ctx/note"]
    assert places({"item": "", "key": "k", "count": 0.0}) == ["/ctx/count"]
    shape = ObjectSchema("Any", {"value": (Any, None), "floats": (list[float], [])})
    assert repr(shape.check_json({"value": 2.0, "floats": [2.0]})) == "{'value': 2.0, 'floats': [2.0]}"
    nested = ObjectSchema("Deep", {"rows": (list[dict[str, int]], REQUIRED)})
    assert repr(nested.check({"rows": [{"a": 1.0}, {"b": 2}]})) == "{'rows': [{'a': 1}, {'b': 2}]}"


def test_text_stands_for_types_that_json_lacks() -> None:
    assert SHAPE.check_json({"item": "", "key": "k", "id": str(ID)})["id"] == ID


def test_members_of_models_are_named_too() -> None:
    class Item(BaseModel):
        price: float

    shape = ObjectSchema("Basket", {"items": (list[Item], REQUIRED)})
    assert places({"items": [{"price": 1}, {"price": "1"}, {}]}, shape) == ["/ctx/items/1/price", "/ctx/items/2/price"]


@given(st.text(min_size=1, max_size=20).filter(str.isprintable))
def test_a_field_may_have_any_name(name: str) -> None:
    shape = ObjectSchema("Any", {name: (int, 3)})
    assert shape.check_json({}) == {name: 3}
    assert shape.check_json({name: 4}) == {name: 4}
    assert list(shape.schema()["properties"]) == [name]


@pytest.mark.parametrize("name", ["json", "copy", "schema", "model_config", "_id", "class", "self", "__dict__"])
def test_a_field_may_have_a_name_that_means_something_in_python(name: str) -> None:
    assert ObjectSchema("Any", {name: (int, REQUIRED)}).check_json({name: 4}) == {name: 4}


def test_open_shapes_take_other_keys() -> None:
    shape = ObjectSchema("Open", {"a": (int, 1)}, extra=True)
    assert shape.check_json({"b": [1]}) == {"a": 1, "b": [1]}
    assert places({"a": "x", "b": 1}, shape) == ["/ctx/a"]


@given(st.dictionaries(st.sampled_from(["item", "count", "tags", "note", "key", "other"]), json_values))
def test_whatever_is_sent_is_bound_or_refused(values: dict[str, Any]) -> None:
    try:
        bound = SHAPE.check_json(values)
    except Rejected as problem:
        assert problem.errors
    else:
        assert bound | values == bound
        assert SHAPE.check_json(bound) == bound


def test_at_most_twenty_faults_are_told() -> None:
    assert len(places({str(uuid4()): 1 for _ in range(50)})) == 20
