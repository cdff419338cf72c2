"""The work that a schema can cause: what is taken, what is refused, and that no document causes more."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.domain.document_schemas import DocumentSchema, InvalidSchema
from crawlers.domain.documents import CHECKS_MAX, DocumentReader
from crawlers.domain.line_faults import InvalidDocument
from crawlers.domain.schema_cost import COST_MAX, SUBSCHEMAS_MAX, TooCostly, schema_cost

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def doubling(keyword: str, levels: int, wrap: Any = lambda pair: pair) -> dict[str, Any]:
    """`$defs` of which each refers twice to the next."""
    pair = {f"d{n}": {keyword: wrap([{"$ref": f"#/$defs/d{n + 1}"}] * 2)} for n in range(levels)}
    return {"$defs": {**pair, f"d{levels}": {"type": "object"}}, "$ref": "#/$defs/d0"}


def unevaluated(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {"d0": {"type": "object"}}
    for n in range(levels):
        definitions[f"d{n + 1}"] = {"allOf": [{"$ref": f"#/$defs/d{n}"}], "unevaluatedProperties": {"type": "number"}}
    return {"$defs": definitions, "$ref": f"#/$defs/d{levels}"}


TWICE = [{"$ref": "#"}, {"$ref": "#"}]
TREE = {"type": "object", "properties": {"name": {"type": "string"}, "children": {"items": {"$ref": "#"}}}}
TAKEN: dict[str, Any] = {
    "true": True,
    "types": {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]},
    "a tree": TREE,
    "two named branches": {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}},
    "a hundred variants": {
        "oneOf": [{"properties": {"kind": {"const": n}, "to": {"type": "string"}}} for n in range(100)]
    },
    "a thousand members": {"properties": {f"m{n}": {"type": "string"} for n in range(1000)}},
    "ten levels of definitions": {
        "$defs": {f"d{n}": {"items": {"$ref": f"#/$defs/d{n + 1}"}} for n in range(10)} | {"d10": True},
        "$ref": "#/$defs/d0",
    },
    "a few doublings": doubling("allOf", 5),
    "the metaschema": {"$ref": "https://json-schema.org/draft/2020-12/schema"},
    "anchors and addresses": {
        "$id": "https://shop.example/a",
        "$defs": {"b": {"$id": "b", "$anchor": "c", "type": "object"}},
        "allOf": [{"$ref": "b"}, {"$ref": "b#c"}, {"$ref": "#/$defs/b"}],
    },
    "draft 7": {
        "$schema": DRAFT_7,
        "definitions": {"a/b": {"type": "object"}},
        "dependencies": {"a": ["b"], "c": {"$ref": "#/definitions/a~1b"}},
        "items": [{"type": "string"}],
        "additionalItems": False,
    },
    "a dynamic tree": {"$dynamicAnchor": "node", "properties": {"children": {"items": {"$dynamicRef": "#node"}}}},
    "some levels of unevaluated members": unevaluated(4),
    "draft 4, by ids": {
        "$schema": DRAFT_4,
        "id": "http://shop.example/a",
        "definitions": {"b": {"id": "#b", "type": "object"}, "c": {"properties": {"id": {"type": "string"}}}},
        "allOf": [{"$ref": "#b"}, {"$ref": "#/definitions/c"}],
    },
    "a recursive tree": {
        "$schema": DRAFT_2019,
        "$recursiveAnchor": True,
        "properties": {"children": {"items": {"$recursiveRef": "#"}}},
    },
}
REFUSED: dict[str, tuple[Any, str]] = {
    **{f"doubled {keyword}": (doubling(keyword, 40), "more than 1000") for keyword in ("allOf", "anyOf", "oneOf")},
    "doubled if": (doubling("if", 40, lambda pair: {"anyOf": pair}), "more than 1000"),
    "doubled dependentSchemas": (
        doubling("dependentSchemas", 40, lambda pair: dict(zip("ab", pair, strict=True))),
        "more than 1000",
    ),
    "doubled dependencies": (
        {
            "$schema": DRAFT_7,
            "definitions": {},
            **doubling("dependencies", 40, lambda pair: dict(zip("ab", pair, strict=True))),
        },
        "more than 1000",
    ),
    "twice an id of draft 4": (
        {
            "$schema": DRAFT_4,
            "definitions": {"b": {"id": "b.json", "properties": {"a": {"allOf": [{"$ref": "b.json"}] * 2}}}},
            "allOf": [{"$ref": "b.json"}],
        },
        "more than 1000",
    ),
    "twice itself by recursive references": (
        {
            "$schema": DRAFT_2019,
            "$recursiveAnchor": True,
            "properties": {"a": {"allOf": [{"$recursiveRef": "#"}] * 2}},
        },
        "more than 1000",
    ),
    "twice itself for a member": ({"properties": {"a": {"allOf": TWICE}}}, "more than 1000"),
    "twice itself for any member": ({"additionalProperties": {"anyOf": TWICE}}, "more than 1000"),
    "twice itself by patterns": ({"patternProperties": {"a": {"$ref": "#"}, "aa?": {"$ref": "#"}}}, "more than 1000"),
    "a member and a pattern": (
        {"properties": {"a": {"$ref": "#"}}, "patternProperties": {"a": {"$ref": "#"}}},
        "more than 1000",
    ),
    "twice itself for items": ({"items": {"oneOf": TWICE}}, "more than 1000"),
    "items and contains": ({"items": {"$ref": "#"}, "contains": {"$ref": "#"}}, "more than 1000"),
    "twice itself for an item": ({"prefixItems": [{"allOf": TWICE}]}, "more than 1000"),
    "twice an anchor": (
        {"$anchor": "x", "items": {"allOf": [{"$ref": "#x"}, {"not": {"$ref": "#x"}}]}},
        "more than 1000",
    ),
    "twice a dynamic anchor": (
        {"$dynamicAnchor": "x", "items": {"allOf": [{"$dynamicRef": "#x"}, {"$dynamicRef": "#x"}]}},
        "more than 1000",
    ),
    "many levels of unevaluated members": (unevaluated(40), "more than 1000"),
    "itself": ({"$ref": "#"}, "without going down"),
    "itself in a list": ({"anyOf": [{"type": "string"}, {"not": {"$ref": "#"}}]}, "without going down"),
    "a circle": (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        "without going down",
    ),
    "too many": ({"$defs": {f"d{n}": {} for n in range(SUBSCHEMAS_MAX)}}, "more than 5000"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_an_honest_schema_is_taken(name: str) -> None:
    assert 1 <= DocumentSchema(TAKEN[name]).cost <= COST_MAX


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_can_cause_too_much_work_is_refused(name: str) -> None:
    schema, words = REFUSED[name]
    with pytest.raises(InvalidSchema, match=words):
        DocumentSchema(schema)


def test_a_costly_schema_takes_documents_of_fewer_values() -> None:
    schema = DocumentSchema({"items": {}, "properties": {"a": {"items": {"anyOf": [{"type": "number"}] * 400}}}})
    reader = DocumentReader(schema, "")
    assert reader.read_key(b'{"a": [%b1]}' % (b"1," * 1000), 1)
    many = CHECKS_MAX // schema.cost
    assert reader.read_key(b'{"b": ["%b"]}' % (b"1," * (many + 1)), 1)
    with pytest.raises(InvalidDocument, match="too many values"):
        reader.read_key(b'{"a": [%b1]}' % (b"1," * (many + 1)), 1)


REFERENCES = st.sampled_from([{"$ref": "#"}, {"$ref": "#/$defs/x"}, {"$ref": "#/$defs/y"}])


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "allOf": lists,
            "not": inner,
            "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
            "additionalProperties": inner,
        },
    )


SUBSCHEMAS = st.recursive(st.just({"type": "object"}) | st.booleans() | REFERENCES, _nested, max_leaves=6)


@settings(max_examples=300)
@given(SUBSCHEMAS, SUBSCHEMAS, SUBSCHEMAS)
def test_no_value_is_checked_more_often_than_the_cost_says(root: Any, x: Any, y: Any) -> None:
    schema = {"allOf": [root], "$defs": {"x": x, "y": y}}
    jsonschema_rs.Draft202012Validator(schema)
    try:
        cost = schema_cost(schema)
    except TooCostly:
        return
    for path in (path for length in range(4) for path in product("abc", repeat=length)):
        assert sum(1 for _ in checks(schema, schema, path)) <= cost


def checks(schema: Any, root: Any, path: tuple[str, ...]) -> Iterator[None]:
    """A check for each time that the value behind `path` meets a subschema."""
    if not path:
        yield
    if not isinstance(schema, dict):
        return
    same = [*schema.get("allOf", ()), *([schema["not"]] if "not" in schema else ())]
    if "$ref" in schema:
        same.append(root if schema["$ref"] == "#" else root["$defs"][schema["$ref"][-1]])
    for other in same:
        yield from checks(other, root, path)
    if path:
        members = schema.get("properties", {})
        if path[0] in members:
            yield from checks(members[path[0]], root, path[1:])
        elif "additionalProperties" in schema:
            yield from checks(schema["additionalProperties"], root, path[1:])
