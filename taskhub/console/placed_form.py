"""Forms whose faults are told by pointers, as calls tell them, and are shown at their fields."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms

from taskhub.errors import Problem


class PlacedForm(forms.Form):
    """A form of which `places` says the field of a pointer and of what lies below it; the longest that fits counts."""

    places: ClassVar[Mapping[str, str]] = {}

    def add_problem(self, problem: Problem) -> None:
        """Shows what a call refused: each place at its field, what has none above the form."""
        self.add_faults(problem.errors or [{"detail": problem.detail}])

    def add_faults(self, errors: Iterable[Mapping[str, Any]]) -> None:
        for error in errors:
            place = self.place_of(str(error.get("pointer", "")))
            field = self.places.get(place)
            rest = "" if field is None else str(error.get("pointer", "")).removeprefix(place).strip("/")
            self.add_error(field if field in self.fields else None, _words(rest, error))

    def place_of(self, pointer: str) -> str:
        """The place whose field a fault is shown at; empty where there is none."""
        fitting = [place for place in self.places if pointer == place or pointer.startswith(f"{place}/")]
        return max(fitting, key=len, default="")


def _words(rest: str, error: Mapping[str, Any]) -> str:
    """A fault with its place in the field's own value: a line, a path, the number of an item."""
    if "line" in error:
        where = f"Line {error['line']}, column {error['column']}"
    else:
        where = str(error.get("path") or (f"number {int(rest) + 1}" if rest.isdecimal() else rest))
    return f"{where}: {error['detail']}" if where else str(error["detail"])


class LinesField(forms.CharField):
    """A text of several lines, which end as they did before a browser sent them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")
