"""What an answer says beside its body."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil

PAUSES = frozenset({429, 503})
PAUSE_MAX_SECONDS = 24 * 3600


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of the header Retry-After (RFC 9110, section 10.2.3); None where it says none."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        until = parsedate_to_datetime(text)
        return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    return None


def pause_of(status: int, headers: Mapping[str, str]) -> int:
    """The whole seconds for which a server wants to be left alone, by 429 or 503 and Retry-After; a day at most."""
    return min(ceil(retry_after(headers) or 0), PAUSE_MAX_SECONDS) if status in PAUSES else 0
