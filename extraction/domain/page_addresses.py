"""Addresses of pages: as links lead to them, and as they are asked for; and the keys of pages. Pure."""

import hashlib
import re
from urllib.parse import urldefrag, urljoin, urlsplit

from w3lib.url import safe_url_string

URL_MAX = 8_000  # characters
_PLAIN = re.compile(r"/(?!.*/\.)(?:[A-Za-z0-9_~%-][A-Za-z0-9_.~%/-]*(?<!\.)(?:\?[A-Za-z0-9_.~%/=&+-]+)?)?", re.ASCII)


def absolute_address(base: str, reference: str) -> str:
    """The absolute address that a link on a page leads to; the link as it is, where that is no address."""
    try:
        return urljoin(base, reference.strip())
    except ValueError:
        return reference


class BaseAddress:
    """The address from which the links of a page start."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}"

    def absolute(self, reference: str) -> str:
        """The address that a link leads to. Plain absolute paths, which most are, take a tenth of the time."""
        if _PLAIN.fullmatch(reference):
            return self._origin + reference
        return absolute_address(self._url, reference)


def fetchable_address(address: str) -> str | None:
    """An address as it is asked for, without its fragment; None for one that is not on the web (`mailto:`)."""
    if len(address) > URL_MAX or address[:4].lower() != "http":
        return None
    try:
        url = urldefrag(safe_url_string(address)).url
        parts = urlsplit(url)
        return url if parts.scheme in {"http", "https"} and parts.hostname else None
    except ValueError:
        return None


def page_key(rule: int, address: str, chain: bytes = b"") -> bytes:
    """The key of a page in its process, 16 bytes.

    A page of details has one key, however many links lead to it. The other pages of a list have one in that list:
    `chain` is the key of the list's first page.
    """
    first = digest(b"%d\0%b" % (rule, address.encode()))
    return first if chain in (b"", first) else digest(b"%d\0%b%b" % (rule, chain, address.encode()))


def digest(data: bytes) -> bytes:
    """A digest of 16 bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()
