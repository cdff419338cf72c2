"""Types of fields that calls of several apps have, for pydantic."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


def _parse_flag(value: Any) -> Any:
    word = str(value).lower() if isinstance(value, str | int) else None
    return True if word in _TRUE else False if word in _FALSE else value


def _parse_timestamp(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not _RFC3339.fullmatch(value):
        raise ValueError("this is no RFC 3339 time, such as 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("this time is out of range") from None


_FLAG_SCHEMA = {
    "anyOf": [
        {"type": "boolean"},
        {"type": "integer", "enum": [0, 1]},
        {"type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|1|[Yy][Ee][Ss]|[Ff][Aa][Ll][Ss][Ee]|0|[Nn][Oo])$"},
    ]
}
_TIMESTAMP_SCHEMA = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}

Text = Annotated[str, Field(pattern=NO_CONTROLS)]  # without control characters
Flag = Annotated[bool, BeforeValidator(_parse_flag), WithJsonSchema(_FLAG_SCHEMA)]  # also as queries spell it
Timestamp = Annotated[datetime | None, BeforeValidator(_parse_timestamp), WithJsonSchema(_TIMESTAMP_SCHEMA)]


def format_timestamp(when: datetime) -> str:
    """A time on the wire: RFC 3339, in UTC."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
