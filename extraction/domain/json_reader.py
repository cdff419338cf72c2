"""Values of JSON, read one by one; what is wrong with them is noted with its place. Pure."""

import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from taskhub.errors import Rejected
from taskhub.jsontools.strict_json import escape_pointer

FAULTS_MAX = 20
TEXT_MAX = 8_000  # characters
ENTRIES_MAX = 200  # of an object of texts
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Reader:
    """Reads values of JSON, and notes what is wrong with them."""

    def __init__(self) -> None:
        self.faults: list[dict[str, str]] = []

    def fault(self, at: str, detail: str) -> None:
        self.faults.append({"pointer": at, "detail": detail})

    def finish(self) -> None:
        if self.faults:
            places = self.faults[:FAULTS_MAX]
            words = "; ".join(f"{place['pointer'] or '/'}: {place['detail']}" for place in places[:3])
            raise Rejected(f"The payload is not valid. {words}", errors=places)

    def mapping(self, value: Any, at: str, known: frozenset[str]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.fault(at, "Must be an object.")
            return {}
        for name in islice((name for name in value if name not in known), FAULTS_MAX):
            self.fault(f"{at}/{escape_pointer(str(name))}", "There is no such name here.")
        return value

    def text(self, values: Mapping[str, Any], name: str, at: str, most: int = TEXT_MAX) -> str:
        """A text without control characters; absent and null are empty."""
        value = values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.fault(f"{at}/{name}", "Must be a text.")
        elif len(value) > most:
            self.fault(f"{at}/{name}", f"Must have at most {most} characters.")
        elif CONTROL.search(value):
            self.fault(f"{at}/{name}", "Must have no control characters.")
        else:
            return value
        return ""

    def flag(self, values: Mapping[str, Any], name: str, at: str) -> bool:
        value = values.get(name)
        if value is not None and not isinstance(value, bool):
            self.fault(f"{at}/{name}", "Must be true or false.")
        return value is True

    def number(self, values: Mapping[str, Any], name: str, at: str, least: int = 1) -> int | None:
        value = values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            self.fault(f"{at}/{name}", "Must be a whole number.")
        elif not least <= value <= 10**12:
            self.fault(f"{at}/{name}", f"Must be at least {least}.")
        else:
            return int(value)
        return None

    def items(self, values: Mapping[str, Any], name: str, at: str, most: int) -> list[Any]:
        value = values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(f"{at}/{name}", "Must be a list.")
            return []
        if len(value) > most:
            self.fault(f"{at}/{name}", f"Must have at most {most} entries.")
        return value[:most]

    def texts(
        self, values: Mapping[str, Any], name: str, at: str, check: Callable[[str, str, str], None]
    ) -> dict[str, str]:
        given = values.get(name)
        if given is None:
            return {}
        if not isinstance(given, Mapping) or len(given) > ENTRIES_MAX:
            self.fault(f"{at}/{name}", f"Must be an object of at most {ENTRIES_MAX} texts.")
            return {}
        found = {}
        for key, value in given.items():
            place = f"{at}/{name}/{escape_pointer(str(key))}"
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                found[str(key)] = str(value)
                check(str(key), str(value), place)
            else:
                self.fault(place, "Must be a text.")
        return found
