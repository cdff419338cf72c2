"""Fields of documents by their paths, such as `price` and `seller.name`: what of a document is shown, and its columns.

A path goes through objects and, for each of their items, through lists. A member whose own name holds dots is found by
that name, before it is looked for within others.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from taskhub.errors import Rejected, invalid
from taskhub.jsontools.json_numbers import exact_value

FIELDS_MAX = 500
# A number that a double may not hold as it was sent; digits in texts cost only time.
_LONG_NUMBER = re.compile(rb"[0-9][0-9.]{15}|[0-9][eE]")


def read_fields(text: str) -> tuple[str, ...]:
    """The paths in a query such as `a,b.c`, each once. Raises `Rejected`."""
    fields = tuple(dict.fromkeys(field.strip() for field in text.split(",")))
    if "" in fields:
        raise invalid("/fields", "Must be names of fields, separated by commas.")
    if len(fields) > FIELDS_MAX:
        raise invalid("/fields", f"Names {len(fields)} fields; {FIELDS_MAX} are allowed.")
    return fields


def read_line(line: bytes) -> dict[str, Any]:
    """A document. Numbers that a double does not hold are fragments of JSON, which are written as they were."""
    document: dict[str, Any] = exact_value(line) if _LONG_NUMBER.search(line) else orjson.loads(line)
    return document


def project_line(line: bytes, fields: Sequence[str]) -> bytes:
    """A line with those fields of the document in a line; what it does not have is left out."""
    return orjson.dumps(select_fields(read_line(line), fields), option=orjson.OPT_APPEND_NEWLINE)


def select_fields(value: Any, fields: Sequence[str]) -> Any:
    """Those fields of an object, in their order; of a list, of each object in it."""
    if isinstance(value, list):
        return [select_fields(item, fields) for item in value if isinstance(item, dict | list)]
    selected: dict[str, Any] = {}
    deeper: dict[str, list[str]] = {}
    for field in fields:
        if field in value:
            selected[field] = value[field]
        elif place := _place_in(value, field):
            name, rest = place
            deeper.setdefault(name, []).append(rest)
            selected.setdefault(name, None)
    return selected | {
        name: select_fields(value[name], rest) for name, rest in deeper.items() if selected[name] is None
    }


def find_field(value: Any, field: str) -> Any:
    """The value of a field, None where there is none; through a list, the list of what its items have."""
    if isinstance(value, list):
        found = [find_field(item, field) for item in value]
        return [item for item in found if item is not None] or None
    if not isinstance(value, dict):
        return None
    if field in value:
        return value[field]
    place = _place_in(value, field)
    return find_field(value[place[0]], place[1]) if place else None


def _place_in(value: Mapping[str, Any], field: str) -> tuple[str, str] | None:
    """The member of an object in which a path goes on, and the rest of the path."""
    for dot in re.finditer(r"\.", field):
        name = field[: dot.start()]
        if isinstance(value.get(name), dict | list):
            return name, field[dot.end() :]
    return None


def columns_of_schema(schema: Any) -> list[str]:
    """The paths of the properties that a JSON Schema of objects names, in its order; then those that it requires."""
    if not isinstance(schema, Mapping):
        return []
    properties = schema.get("properties")
    columns = list(_columns_of_properties(properties, "")) if isinstance(properties, Mapping) else []
    required = schema.get("required")
    top = {column.partition(".")[0] for column in columns}
    columns += [name for name in (required if isinstance(required, list) else []) if name not in top]
    return list(dict.fromkeys(columns))


def _columns_of_properties(properties: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, schema in properties.items():
        inner = schema.get("properties") if isinstance(schema, Mapping) else None
        if isinstance(inner, Mapping) and inner:
            yield from _columns_of_properties(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def columns_of_documents(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """The paths of all values in documents, in the order in which they come; a list is one value."""
    return list(dict.fromkeys(path for document in documents for path in _paths(document, "")))


def _paths(document: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def check_columns(columns: Sequence[str], most: int) -> None:
    """Raises `Rejected` for more columns than a table may have."""
    if len(columns) > most:
        detail = f"The documents have {len(columns)} fields; a table has {most} columns at most. Name some of them."
        raise Rejected(detail, errors=[{"pointer": "/fields", "detail": detail}])


def cell_value(value: Any) -> str | float | bool | None:
    """What a cell of a table holds: texts, numbers, true and false as they are, all else as JSON."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return orjson.dumps(value).decode()
