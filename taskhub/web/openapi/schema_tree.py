"""JSON Schemas as trees: their parts are found where JSON Schema 2020-12 has schemas, not among names of members."""

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs")


def with_parts(schema: Schema, change: Callable[[Schema], Any]) -> Schema:
    """A copy of a schema, in which each schema directly inside of it is what `change` makes of it."""
    copy = dict(schema)
    for word, value in schema.items():
        if word in _ONE and isinstance(value, dict):
            copy[word] = change(value)
        elif word in _LIST:
            copy[word] = [change(part) if isinstance(part, dict) else part for part in value]
        elif word in _NAMED:
            copy[word] = {name: change(part) if isinstance(part, dict) else part for name, part in value.items()}
    return copy


class SharedSchemas:
    """The components of a document, to which whatever has a title and members is moved: it is written down once.

    Two that have the same title and differ stay where they are, but for the first.
    """

    def __init__(self, components: dict[str, Schema]) -> None:
        self._components = components
        for name, schema in list(components.items()):
            components[name] = with_parts(schema, self.share)

    def share(self, schema: Schema) -> Schema:
        """The schema with references to components, or a reference to what it has become."""
        if schema.get("$ref", "").startswith("#/$defs/"):
            schema = schema | {"$ref": schema["$ref"].replace("#/$defs/", "#/components/schemas/")}
        definitions = schema.get("$defs", {})
        schema = with_parts({word: value for word, value in schema.items() if word != "$defs"}, self.share)
        for name, definition in definitions.items():
            self._components.setdefault(name, with_parts(definition, self.share))
        name = schema.get("title", "")
        if "properties" not in schema or not name:
            return schema
        if schema.get("type") != ["object", "null"]:
            return self._reference(name, schema) or schema
        described = {"description": schema["description"]} if "description" in schema else {}  # of this place
        component = {word: value for word, value in schema.items() if word != "description"} | {"type": "object"}
        reference = self._reference(name, component)
        return described | {"anyOf": [reference, {"type": "null"}]} if reference else schema

    def _reference(self, name: str, component: Schema) -> Schema | None:
        """A reference to the component; None where another has the name."""
        if self._components.setdefault(name, component) != component:
            return None
        return {"$ref": f"#/components/schemas/{name}"}


def without_defaults(schema: Schema) -> Schema:
    """The schema, which tells defaults in words: a client that is made of it would send each that it is told."""
    copy = with_parts(schema, without_defaults)
    words = default_in_words(copy)
    copy.pop("default", None)
    return copy | ({"description": f"{copy.get('description', '')} {words}".strip()} if words else {})


def default_in_words(schema: Schema) -> str:
    """A sentence, empty where nothing is the default."""
    default = schema.get("default")
    if default in (None, "", [], {}):
        return ""
    return f"Default: `{str(default).lower() if isinstance(default, bool) else default}`."
