"""Types of fields that calls of several apps have, for pydantic."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:(\.\d{1,6})\d{0,94})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)


def parse_timestamp(text: str) -> datetime:
    """A time as RFC 3339 writes it, in UTC. Raises `ValueError`.

    What is finer than a microsecond is left out. A leap second, which the last minute of a day in UTC may have, is the
    first second of the next day.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("this is no RFC 3339 time, such as 2026-01-31T12:00:00Z")
    day, minute, second, fraction, zone = found.groups()[:5]
    try:
        time = datetime.fromisoformat(f"{day}T{minute}:00{zone.upper()}").astimezone(UTC)
        leap = second == "60" and (time.hour, time.minute) == (23, 59)
        if not (leap or second < "60") or minute.startswith("24"):
            raise ValueError("this time is out of range")
        return time + timedelta(seconds=int(second), microseconds=0 if leap else round(float(fraction or 0) * 1e6))
    except (OverflowError, ValueError):
        raise ValueError("this time is out of range") from None


def _parse_timestamp(value: Any) -> Any:
    return parse_timestamp(value) if isinstance(value, str) else value


_TIMESTAMP_SCHEMA = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}

Text = Annotated[str, Field(pattern=NO_CONTROLS)]  # without control characters
Timestamp = Annotated[datetime | None, BeforeValidator(_parse_timestamp), WithJsonSchema(_TIMESTAMP_SCHEMA)]


def format_timestamp(when: datetime) -> str:
    """A time on the wire: RFC 3339, in UTC."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
