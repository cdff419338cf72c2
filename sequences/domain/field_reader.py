"""Reads the fields of a sequence's objects; what is wrong with them goes to `faults`, each with its place."""

from typing import Any

from sequences.domain.json_values import kind
from sequences.domain.validation_errors import Location, ValidationFaults

Fields = dict[str, Any]


class FieldReader:
    """Each method gives a value that can be used, also where it has added a fault."""

    def __init__(self, faults: ValidationFaults) -> None:
        self.faults = faults

    def object(self, value: Any, location: Location, known: tuple[str, ...] = ()) -> Fields:
        """The fields that are not null; keys that are not `known` are faults. Without `known` these are all fields."""
        if not isinstance(value, dict):
            self.faults.add(location, f"This is an object, not {kind(value)}.")
            return {}
        for key in value:
            if known and key not in known:
                self.faults.add((location, key), f"There is no such key here; there are {', '.join(known)}.")
        return {key: item for key, item in value.items() if item is not None} if known else value

    def either(self, fields: Fields, location: Location, first: str, second: str) -> tuple[str, Any]:
        """The spelling of a key that is used, and its value. Both at once are a fault unless their values are equal."""
        if second not in fields:
            return first, fields.get(first)
        if first in fields and fields[first] != fields[second]:
            self.faults.add((location, second), f"This is another spelling of '{first}': give one of them.")
        return second, fields[second]

    def boolean(self, fields: Fields, location: Location, key: str, default: bool) -> bool:
        value = fields.get(key, default)
        if not isinstance(value, bool):
            self.faults.add((location, key), f"This is true or false, not {kind(value)}.")
            return default
        return value

    def text(self, fields: Fields, location: Location, key: str, longest: int) -> str:
        """A text that may be absent."""
        value = fields.get(key, "")
        if not isinstance(value, str) or len(value) > longest:
            self.faults.add((location, key), f"This is a text of at most {longest} characters.")
            return ""
        return value

    def seconds(
        self, fields: Fields, location: Location, key: str, default: float, most: float, least: float = 0.0
    ) -> float:
        """A number of seconds, from `least` (exclusive if 0.001 or more is wanted) to `most`."""
        value = fields.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.faults.add((location, key), f"This is a number of seconds, from {least:g} to {most:g}.")
            return default
        return float(value)

    def count(self, fields: Fields, location: Location, key: str, default: int, most: int, least: int = 1) -> int:
        value = fields.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.faults.add((location, key), f"This is a whole number, from {least} to {most}.")
            return default
        return value

    def choice(self, fields: Fields, location: Location, key: str, choices: tuple[str, ...], default: str) -> str:
        value = fields.get(key, default)
        if value not in choices and value != default:
            self.faults.add((location, key), f"This is one of {', '.join(choices)}.")
            return default
        return str(value)
