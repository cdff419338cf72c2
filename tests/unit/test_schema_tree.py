"""Schemas as trees: what is shared, and what is told in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.web.openapi.schema_tree import SharedSchemas, with_parts, without_defaults

ITEM = {"title": "Item", "type": "object", "properties": {"price": {"type": "number"}}}
REFERENCE = {"$ref": "#/components/schemas/Item"}
NULL = {"type": "null"}


def holder(part: Any) -> dict[str, Any]:
    """A schema that has a part at each place where there may be one, and at none where there may not."""
    lists = {word: [part] for word in ("anyOf", "oneOf", "allOf", "prefixItems")}
    named = {word: {"default": part} for word in ("properties", "patternProperties", "dependentSchemas")}
    words = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
    return {"type": "object", **dict.fromkeys(words, part), **lists, **named}


def test_what_has_a_title_and_members_is_shared_wherever_it_stands() -> None:
    components: dict[str, Any] = {}
    assert SharedSchemas(components).share(holder(ITEM) | {"examples": [ITEM]}) == holder(REFERENCE) | {
        "examples": [ITEM]
    }
    assert components == {"Item": ITEM}


@pytest.mark.parametrize(
    ("schema", "shared"),
    [
        (ITEM, REFERENCE),
        (ITEM | {"type": ["object", "null"]}, {"anyOf": [REFERENCE, NULL]}),
        (
            ITEM | {"type": ["object", "null"], "description": "The last."},
            {"description": "The last.", "anyOf": [REFERENCE, NULL]},
        ),
        ({"title": "Price", "type": "number"}, {"title": "Price", "type": "number"}),
        ({"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"items": {"$ref": "#/$defs/Item"}, "$defs": {"Item": ITEM}}, {"items": REFERENCE}),
        (ITEM | {"required": ["price"]}, ITEM | {"required": ["price"]}),  # another of the name is there
        ({"items": True, "type": "array"}, {"items": True, "type": "array"}),
    ],
)
def test_shared(schema: Any, shared: Any) -> None:
    components: dict[str, Any] = {"Item": ITEM}
    assert SharedSchemas(components).share(schema) == shared
    assert components == {"Item": ITEM}


def test_components_refer_to_each_other() -> None:
    components: dict[str, Any] = {
        "Basket": {"title": "Basket", "properties": {"items": {"type": "array", "items": ITEM}}}
    }
    SharedSchemas(components)
    assert components["Basket"]["properties"]["items"]["items"] == REFERENCE
    assert components["Item"] == ITEM


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "integer", "default": 5}, {"type": "integer", "description": "Default: `5`."}),
        (
            {"type": "boolean", "default": False, "description": "Whether."},
            {"type": "boolean", "description": "Whether. Default: `false`."},
        ),
        ({"type": "string", "default": ""}, {"type": "string"}),
        ({"default": None}, {}),
        ({"properties": {"default": {"default": 1}}}, {"properties": {"default": {"description": "Default: `1`."}}}),
        ({"enum": [{"default": 1}]}, {"enum": [{"default": 1}]}),
    ],
)
def test_a_default_is_told_in_words(schema: Any, told: Any) -> None:
    assert without_defaults(schema) == told


SCHEMAS = st.recursive(
    st.sampled_from([{}, {"type": "string"}, {"default": 0}, {"default": [1]}, True]),
    lambda inner: st.builds(holder, inner) | st.builds(lambda part: {"items": part, "default": 1}, inner),
    max_leaves=3,
)


@given(SCHEMAS)
def test_no_default_is_left_and_nothing_given_is_changed(schema: Any) -> None:
    if schema is True:
        return
    before = repr(schema)

    def left(part: Any) -> bool:
        found: list[bool] = ["default" in part]
        with_parts(part, lambda inner: found.append(left(inner)))
        return any(found)

    assert not left(without_defaults(schema))
    assert repr(schema) == before
