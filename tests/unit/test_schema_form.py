"""Forms of the console that are made from JSON Schemas: which field a property gets, and what is read from it."""

from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from django.http import QueryDict
from pydantic import Field, SecretStr, WithJsonSchema

from taskhub.console.schema_form import REST, SchemaForm
from taskhub.errors import Rejected
from taskhub.jsontools.schema import REQUIRED, ObjectSchema


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def form_of(kind: Any, default: Any = REQUIRED, sent: str | None = None, *, name: str = "it") -> SchemaForm:
    """A form with one field; `sent` as a browser would send it, None where it sends nothing."""
    data = QueryDict(mutable=True)
    if sent is not None:
        data[f"ctx-{name}"] = sent
    return SchemaForm(ObjectSchema("Ctx", {name: (kind, default)}).schema(), data, prefix="ctx")


def widget_of(kind: Any, default: Any = REQUIRED) -> str:
    widget = form_of(kind, default).fields["it"].widget
    return f"{type(widget).__name__} {getattr(widget, 'input_type', '')}".strip()


FIELDS = [
    (str, REQUIRED, "Textarea"),
    (str, "two\nlines", "Textarea"),
    (Annotated[str, Field(max_length=50)], REQUIRED, "TextInput text"),
    (Annotated[str, Field(max_length=5000)], REQUIRED, "Textarea"),
    (Annotated[str, Field(pattern="^[a-z]+$")], REQUIRED, "TextInput text"),
    (datetime, REQUIRED, "TextInput text"),
    (date, REQUIRED, "TextInput date"),
    (SecretStr, REQUIRED, "PasswordInput password"),
    (int, 1, "NumberInput number"),
    (float | None, None, "NumberInput number"),
    (bool, False, "CheckboxInput checkbox"),
    (bool | None, None, "Select select"),
    (Literal["a", "b"], REQUIRED, "Select select"),
    (Literal["a"], "a", "Select select"),
    (Colour | None, None, "Select select"),
    (list[str], [], "Textarea"),
    (Any, None, "Textarea"),
    (Annotated[int, WithJsonSchema({"type": ["integer", "null"]})], 1, "NumberInput number"),
    (Annotated[int, WithJsonSchema({"items": True, "type": "array"})], 1, "Textarea"),
]


@pytest.mark.parametrize(("kind", "default", "widget"), FIELDS, ids=[f"{number}" for number in range(len(FIELDS))])
def test_each_kind_of_value_has_its_field(kind: Any, default: Any, widget: str) -> None:
    assert widget_of(kind, default) == widget


@pytest.mark.parametrize(
    ("kind", "default", "sent", "value"),
    [
        (str, REQUIRED, "a\r\nb ", {"it": "a\nb "}),
        (str, "x", "", {"it": ""}),
        (str, "", "", {}),
        (str | None, None, "", {}),
        (str | None, "x", "", {"it": None}),
        (str | None, REQUIRED, "", {"it": None}),
        (int, 3, "7", {"it": 7}),
        (int, 3, "", {}),
        (int, 3, "seven", {"it": "seven"}),
        (int | None, 3, "", {"it": None}),
        (float, REQUIRED, "-1.5e3", {"it": -1500.0}),
        (bool, True, None, {"it": False}),
        (bool, False, "on", {"it": True}),
        (bool | None, None, "", {}),
        (bool | None, None, "false", {"it": False}),
        (bool | None, True, "", {"it": None}),
        (Literal["a", 1, None], "a", "1", {"it": 1}),
        (Literal["a", 1, None], "a", "null", {"it": None}),
        (Literal["a", 1], "a", "c", {"it": "c"}),
        (Colour, Colour.RED, '"blue"', {"it": "blue"}),
        (list[str], [], "a\r\n\r\n b, c\r\n", {"it": ["a", " b, c"]}),
        (list[str], ["a"], "", {}),
        (list[str], ["two\nlines"], '["a"]', {"it": ["a"]}),
        (list[int], [], "[1, 2]", {"it": [1, 2]}),
        (dict[str, Any], {}, '{"a": {"b": 1}, // why\n}', {"it": {"a": {"b": 1}}}),
        (Any, None, '"hello"', {"it": "hello"}),
        (Any, None, "", {}),
    ],
)
def test_what_is_sent_is_read(kind: Any, default: Any, sent: str | None, value: dict[str, Any]) -> None:
    form = form_of(kind, default, sent)
    assert form.is_valid(), form.errors
    assert form.values == value


@pytest.mark.parametrize(
    ("kind", "sent", "fault"),
    [
        (str, "", "This is required."),
        (int, None, "This is required."),
        (list[str], "", "This is required."),
        (dict[str, Any], "{", "it is not JSON."),
        (Any, "hello", "it is not JSON."),
    ],
)
def test_what_cannot_be_read_is_told_at_its_field(kind: Any, sent: str | None, fault: str) -> None:
    form = form_of(kind, REQUIRED, sent)
    assert not form.is_valid()
    assert str(form.errors["it"][0]).startswith(fault)


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        (str, "x"),
        (str, "two\nlines"),
        (str | None, None),
        (int, 0),
        (float, 1e-7),
        (bool, True),
        (bool, False),
        (bool | None, None),
        (Literal["a", "b"], "b"),
        (Colour, Colour.BLUE),
        (list[str], ["a", "b"]),
        (list[str], ["two\nlines", ""]),
        (list[int], [1, 2]),
        (dict[str, Any], {"a": [1, {"b": None}]}),
        (Any, "text"),
        (Any, None),
        (date, date(2026, 1, 31)),
    ],
)
def test_a_form_that_is_sent_as_it_was_shown_means_the_defaults(kind: Any, default: Any) -> None:
    shown = form_of(kind, default).fields["it"].initial
    sent = ("on" if shown else None) if isinstance(shown, bool) else str(shown).replace("\n", "\r\n")
    form = form_of(kind, default, sent)
    assert form.is_valid(), form.errors
    schema = ObjectSchema("Ctx", {"it": (kind, default)})
    assert schema.check_json(form.values).get("it", default) == default


@pytest.mark.parametrize(
    ("name", "kind", "label"),
    [
        ("max_pages", int, "Max pages"),
        ("max_pages", Annotated[int, Field(title="How many")], "How many"),
        ("url", str, "Url"),
        ("it", Colour, "It"),
        ("_", str, "_"),
    ],
)
def test_a_field_is_called_as_its_author_calls_it(name: str, kind: Any, label: str) -> None:
    assert form_of(kind, name=name).fields[name].label == label


def test_other_fields_are_an_object_where_the_schema_allows_them() -> None:
    schema = ObjectSchema("Ctx", {"it": (int, 1)}, extra=True).schema()
    sent = {"it": "2", "other-fields": '{"a": [1]}'}
    form = SchemaForm(schema, sent)
    assert form.is_valid()
    assert form.values == {"it": 2, "a": [1]}
    for text, fault in (("[1]", "This must be an object."), ('{"it": 3}', "it has a field of its own.")):
        assert SchemaForm(schema, sent | {"other-fields": text}).errors["other-fields"] == [fault]


ODD: dict[str, dict[str, Any]] = {
    "a definition of itself": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "properties": {"it": {"$ref": "#/$defs/a"}}},
    "alternatives that are none": {"properties": {"it": {"oneOf": [True, False]}}},
    "a default that is no list": {"properties": {"it": {"type": "array", "items": {"type": "string"}, "default": 5}}},
    "words of another draft": {"$defs": 5, "properties": {"it": {"$ref": "#/x", "examples": {"a": 1}}}},
    "an example that is none": {"properties": {"it": {"type": "string", "examples": 5}}},
    "yes to everything": {"properties": {"it": True}},
}


@pytest.mark.parametrize("odd", ODD)
def test_every_schema_has_a_form(odd: str) -> None:
    form = SchemaForm(ODD[odd], {"ctx-it": '"x"'}, prefix="ctx")
    assert "ctx-it" in form.as_p()
    assert form.is_valid()


@pytest.mark.parametrize("allows_others", [False, True])
def test_a_property_may_be_called_as_the_field_of_the_others(allows_others: bool) -> None:
    schema = {"properties": {REST: {"type": "string"}}, "additionalProperties": allows_others}
    form = SchemaForm(schema, {f"ctx-{REST}": "x"}, prefix="ctx")
    assert form.is_valid()
    assert form.values == {REST: "x"}


def test_faults_of_values_are_shown_at_their_fields() -> None:
    schema = ObjectSchema("Ctx", {"a/b": (list[int], REQUIRED), "n": (Annotated[int, Field(ge=1)], 1)})
    form = SchemaForm(schema.schema(), {"a/b": '[1, "x"]', "n": "0"})
    assert form.is_valid()
    with pytest.raises(Rejected) as refusal:
        schema.check_json(form.values)
    for error in [*refusal.value.errors, {"pointer": "/c", "detail": "strange"}, {"pointer": "", "detail": "whole"}]:
        form.add_fault(error["pointer"], error["detail"])
    assert str(form.errors["a/b"][0]).startswith("/1: Input should be")
    assert str(form.errors["n"][0]).startswith("Input should be greater")
    assert form.non_field_errors() == ["/c: strange", "whole"]
