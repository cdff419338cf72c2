"""The work that a schema can cause: what is taken, what is refused, and that no document causes more."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlers.domain.documents import CHECKS_MAX, DocumentReader
from crawlers.domain.line_faults import InvalidDocument
from taskhub.jsontools.document_schemas import DocumentSchema, InvalidSchema
from taskhub.jsontools.schema_cost import COST_MAX, SUBSCHEMAS_MAX, TooCostly, schema_cost

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
    assert 1 <= DocumentSchema(TAKEN[name]).cost.subschemas <= COST_MAX


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_can_cause_too_much_work_is_refused(name: str) -> None:
    schema, words = REFUSED[name]
    with pytest.raises(InvalidSchema, match=words):
        DocumentSchema(schema)


def test_a_costly_schema_takes_documents_of_fewer_values() -> None:
    schema = DocumentSchema({"items": {}, "properties": {"a": {"items": {"anyOf": [{"type": "number"}] * 400}}}})
    reader = DocumentReader(schema, "")
    assert reader.read_key(b'{"a": [%b1]}' % (b"1," * 1000), 1)
    many = CHECKS_MAX // schema.cost.checks
    assert reader.read_key(b'{"b": ["%b"]}' % (b"1," * (many + 1)), 1)
    with pytest.raises(InvalidDocument, match="too many values"):
        reader.read_key(b'{"a": [%b1]}' % (b"1," * (many + 1)), 1)


ITEMS: dict[str, tuple[Any, bytes, bool]] = {
    "many texts": ({"enum": [f"v{n}" for n in range(20_000)]}, b'"v1"', True),
    "many numbers": ({"enum": list(range(20_000))}, b"1", True),
    "many fractions": ({"enum": [n + 0.5 for n in range(1_000)]}, b"1.5", False),
    "many objects": ({"enum": [{"n": n} for n in range(2_000)]}, b'{"n": 1}', False),
    "many of all sorts": ({"enum": ["a", *range(5_000)]}, b"1", False),
    "a list of fractions": ({"not": {"const": [0.5] * 200}}, b"1", False),
    "multiples of a fraction": ({"multipleOf": 0.01}, b"0.02", False),
    "a fraction as a limit": ({"allOf": [{"minimum": 0.5}] * 20}, b"1", False),
    "small lists of other items": ({"uniqueItems": True}, b"[0.5, 1.5]", False),
    "names that need others": ({"dependentRequired": {f"n{n}": ["a"] for n in range(2_000)}}, b"{}", False),
}


@pytest.mark.parametrize("items", ITEMS)
def test_a_document_of_many_values_that_are_costly_to_check_is_refused(items: str) -> None:
    schema, item, is_taken = ITEMS[items]
    reader = DocumentReader(DocumentSchema({"properties": {"a": {"items": schema}}}), "")
    assert reader.read_key(b'{"a": [%b]}' % item, 1)
    line = b'{"a": [%b]}' % b", ".join([item] * 60_000)
    if is_taken:
        assert reader.read_key(line, 1)
        return
    with pytest.raises(InvalidDocument, match="too many values"):
        reader.read_key(line, 1)


@pytest.mark.parametrize("pattern", ["[ab]*a[ab]{900}c", r"^(\w{1,40}\s?){1,20}!$", "(?i)x{900}"])
@pytest.mark.parametrize("keyword", ["pattern", "patternProperties", "propertyNames"])
def test_a_long_text_for_a_large_pattern_is_refused(pattern: str, keyword: str) -> None:
    values: dict[str, Any] = {
        "pattern": {"patternProperties": {".": {"not": {"pattern": pattern}}}},
        "patternProperties": {"patternProperties": {pattern: False}},
        "propertyNames": {"propertyNames": {"not": {"pattern": pattern}}},
    }
    schema = DocumentSchema({"properties": {"a": True}, **values[keyword]})
    reader = DocumentReader(schema, "")
    text = b"ab" * 1_000
    for long in (b'{"b": "%b"}', b'{"%b": "b"}'):
        assert reader.read_key(long % text, 1)
        with pytest.raises(InvalidDocument, match="too large for a schema"):
            reader.read_key(long % (text * 150), 1)


@pytest.mark.parametrize("pattern", [r"^\d{4}-\d{2}-\d{2}$", r"^[\w ]{1,80}$", "^https?://", r"^[\w.+-]+@[\w.-]+$"])
def test_a_long_text_for_a_usual_pattern_is_read(pattern: str) -> None:
    schema = DocumentSchema({"properties": {"a": {"pattern": pattern}}})
    assert DocumentReader(schema, "").read_key(b'{"b": "%b"}' % (b"x" * 500_000), 1)


def test_only_documents_that_take_long_take_a_turn() -> None:
    turns = []

    @contextmanager
    def slow_turn() -> Iterator[None]:
        turns.append("begun")
        yield
        turns.append("ended")

    schema = DocumentSchema({"properties": {"a": {"items": {"multipleOf": 0.5}}}})
    reader = DocumentReader(schema, "", slow_turn)
    reader.read_key(b'{"a": [1.5]}', 1)
    assert turns == []
    reader.read_key(b'{"a": [%b]}' % b",".join([b"1.5"] * 1_000), 1)
    assert turns == ["begun", "ended"]


def test_of_many_faults_the_first_is_told_and_no_other_is_made() -> None:
    """A hundred thousand faults, each with a megabyte of words, would not fit into the memory."""
    schema = DocumentSchema({"properties": {"a": {"items": {"const": "x" * 1_000_000}}}})
    with pytest.raises(InvalidDocument) as caught:
        DocumentReader(schema, "").read_key(b'{"a": [%b]}' % b",".join([b'"y"'] * 100_000), 1)
    assert str(caught.value).startswith("/a/0: ")


def test_the_counting_has_a_budget_of_its_own() -> None:
    """Members of a long chain of references, each of which leads on and on: to count them would take minutes."""
    chain = {
        f"c{n}": {
            "properties": {f"m{n}.{k}": {"$ref": f"#/$defs/v{(n + k) % 100}"} for k in range(5)},
            "$ref": f"#/$defs/c{n + 1}",
        }
        for n in range(600)
    }
    values = {f"v{n}": {"properties": {"a": {"$ref": f"#/$defs/v{n + 1}"}}} for n in range(100)}
    with pytest.raises(TooCostly, match="too many members to count"):
        schema_cost({"$ref": "#/$defs/c0", "$defs": chain | values | {"c600": {}, "v100": {}}})


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
        cost = schema_cost(schema).subschemas
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
