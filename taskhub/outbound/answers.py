"""What an answer says beside its body."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from urllib.parse import quote_from_bytes, unquote, urljoin, urlsplit

HEADER_MAX_BYTES = 64 * 1024  # a line of a head
HEAD_MAX_BYTES = 256 * 1024  # all of it, as Chromium takes it
HEADERS_MAX = 2048
PAUSES = frozenset({429, 503})
PAUSE_MAX_SECONDS = 24 * 3600
_BLANK = bytes(range(0x21))
_KEPT = "%/:?#[]@!$&'()*+,;=|\\^"  # in an address; browsers escape what else is no letter, digit or one of -._~


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds of the header Retry-After (RFC 9110, section 10.2.3); None where it says none."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        until = parsedate_to_datetime(text)
        return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    return None


def pause_of(status: int, headers: Mapping[str, str]) -> int:
    """The whole seconds for which a server wants to be left alone, by 429 or 503 and Retry-After; a day at most."""
    return min(ceil(retry_after(headers) or 0), PAUSE_MAX_SECONDS) if status in PAUSES else 0


def escaped_address(address: bytes) -> str:
    """An address as a header has it, written as it can be asked for.

    Spaces and bytes that are not ASCII are escaped, whatever encoding they were meant in, as Chromium does.
    """
    return quote_from_bytes(address.strip(_BLANK).translate(None, b"\t\r\n"), safe=_KEPT)


def redirect_address(base: str, location: bytes) -> str:
    """Where a `Location` leads, without its fragment. Raises `ValueError` for what is no address."""
    text = escaped_address(location)
    path = text.partition("#")[0].partition("?")[0]
    url = urljoin(base, path.replace("\\", "/") + text[len(path) :])
    authority = urlsplit(url).netloc
    if "%" in authority:  # a name that is not ASCII
        url = url.replace(authority, unquote(authority), 1)
    return url.partition("#")[0]
