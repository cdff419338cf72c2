"""Reads the JSON of a source: whatever is not what it should be has a fault with its place."""

import json
from typing import Any

from sequences.domain.json_values import kind
from sequences.domain.validation_errors import InvalidSequence
from taskhub.errors import Rejected
from taskhub.jsontools.lenient_json import parse_lenient

FAULTS_MAX = 100


class SourceReader:
    """`value` is the source as JSON. Places are paths such as `log.entries[0].request.url`."""

    def __init__(self, source: Any, subject: str) -> None:
        self.faults: list[dict[str, Any]] = []
        self._absent: dict[str, Any] = {}  # in place of an object that is none: what it should hold is no other fault
        self.value = _parse(source, subject)

    def object(self, holder: Any, place: str, *, required: bool = False) -> dict[str, Any]:
        """The object at the end of a place; what is none of it has none."""
        value = self._get(holder, place, required)
        return value if isinstance(value, dict) else self._wrong(place, "an object", value, self._absent)

    def list(self, holder: Any, place: str, *, required: bool = False) -> list[Any]:
        value = self._get(holder, place, required)
        return value if isinstance(value, list) else self._wrong(place, "an array", value, [])

    def text(self, holder: Any, place: str, *, required: bool = False) -> str:
        """A text; numbers and booleans are written as one."""
        value = self._get(holder, place, required)
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        return value if isinstance(value, str) else self._wrong(place, "text", value, "")

    def finish(self) -> None:
        """Raises `InvalidSequence` where there were faults."""
        if self.faults:
            raise InvalidSequence(self.faults)

    def fault(self, place: str, detail: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append({"path": f"source.{place}", "detail": detail})

    def _get(self, holder: Any, place: str, required: bool) -> Any:
        name = place.rpartition(".")[2]
        value = holder.get(name) if isinstance(holder, dict) else None
        if value is None and required and holder is not self._absent:
            self.fault(place, "This is required.")
        return value

    def _wrong(self, place: str, wanted: str, value: Any, otherwise: Any) -> Any:
        if value is not None:
            self.fault(place, f"This is {wanted}, not {kind(value)}.")
        return otherwise


def _parse(source: Any, subject: str) -> dict[str, Any]:
    """The source as an object: it may be one, or its text. Raises `InvalidSequence`."""
    if isinstance(source, str):
        try:
            source, _ = parse_lenient(source.encode("utf-8", "replace"))
        except Rejected as problem:
            detail = f"{subject} is JSON, which this is not: {problem.errors[0]['detail']}."
            raise InvalidSequence([{"path": "source", "detail": detail}]) from None
    if not isinstance(source, dict):
        raise InvalidSequence([{"path": "source", "detail": f"{subject} is an object, not {kind(source)}."}])
    return source
