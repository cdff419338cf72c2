"""Types of fields that calls of several apps have, for pydantic."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _parse_timestamp(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not _RFC3339.fullmatch(value):
        raise ValueError("this is no RFC 3339 time, such as 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is out of range") from None


_TIMESTAMP_SCHEMA = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}

Text = Annotated[str, Field(pattern=NO_CONTROLS)]  # without control characters
Timestamp = Annotated[datetime | None, BeforeValidator(_parse_timestamp), WithJsonSchema(_TIMESTAMP_SCHEMA)]


def format_timestamp(when: datetime) -> str:
    """A time on the wire: RFC 3339, in UTC."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
