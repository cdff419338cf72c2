"""What fields the documents of a stream have, from a sample of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

EXAMPLES, EXAMPLE_MAX = 3, 100  # of a field; characters
FIELDS_MAX = 500
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


@dataclass
class FieldStatistics:
    """Of one field: how often it is there, with which types of JSON, how often it is null, some of its values."""

    name: str
    present: int = 0
    nulls: int = 0
    types: Counter[str] = field(default_factory=Counter)
    examples: list[Any] = field(default_factory=list)

    def add(self, value: Any) -> None:
        self.present += 1
        if value is None:
            self.nulls += 1
            return
        self.types[_TYPES[type(value)]] += 1
        if isinstance(value, str):
            value = value if len(value) <= EXAMPLE_MAX else f"{value[:EXAMPLE_MAX]}..."
        is_new = not isinstance(value, list | dict) and all(
            (type(value), value) != (type(known), known) for known in self.examples
        )
        if is_new and len(self.examples) < EXAMPLES:
            self.examples.append(value)


def describe_fields(documents: Iterable[Mapping[str, Any]]) -> list[FieldStatistics]:
    """The fields of documents in the order in which they come, `FIELDS_MAX` at most; of objects as `seller.name`."""
    fields: dict[str, FieldStatistics] = {}
    for document in documents:
        _add_fields(document, "", fields)
    return list(fields.values())


def _add_fields(document: Mapping[str, Any], prefix: str, fields: dict[str, FieldStatistics]) -> None:
    for member, value in document.items():
        name = prefix + member
        if isinstance(value, dict) and value:
            _add_fields(value, f"{name}.", fields)
        elif name in fields or len(fields) < FIELDS_MAX:
            fields.setdefault(name, FieldStatistics(name)).add(value)
