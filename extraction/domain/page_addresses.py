"""Addresses of pages: as links lead to them, and as they are asked for; and the keys of pages. Pure."""

import hashlib
import re
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

from w3lib.url import safe_url_string

URL_MAX = 8_000  # characters
_PLAIN = re.compile(r"/(?!.*/\.)(?:[A-Za-z0-9_~%-][A-Za-z0-9_.~%/-]*(?<!\.)(?:\?[A-Za-z0-9_.~%/=&+-]+)?)?", re.ASCII)

# What stays the same when it is escaped and normalized. A lookahead within a possessive repeat goes wrong in Python
# 3.11.2.
_NORMAL = re.compile(
    r"https?://[a-z0-9.-]+(?::(?!80/|443/)(?:[1-5][0-9]{4}|[1-9][0-9]{0,3}))?/(?!\.)(?:[A-Za-z0-9_~,;=&+-]++|\.(?!\.|/)|/(?!\.))*(?:\?[A-Za-z0-9_.~/,;=&+-]+)?"
)
_ENCODED = re.compile("%([0-9A-Fa-f]{2})")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def absolute_address(base: str, reference: str) -> str:
    """The absolute address that a link on a page leads to; the link as it is, where that is no address."""
    if "\\" in reference:  # in a path browsers take it for a slash
        path = re.split("[?#]", reference, maxsplit=1)[0]
        reference = path.replace("\\", "/") + reference[len(path) :]
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


def fetchable_address(address: str, *, rendered: bool = False) -> str | None:
    """An address as it is asked for; None for one that is not on the web (`mailto:`).

    Its fragment is left out but where the page is `rendered`: there it may be what scripts show.
    """
    if len(address) > URL_MAX or address[:4].lower() != "http":
        return None
    if _NORMAL.fullmatch(address):  # as most are, for a thirtieth of the time
        return address
    try:
        url, fragment = urldefrag(safe_url_string(address))
        if rendered and fragment:
            url = f"{url}#{fragment}"
        parts = urlsplit(url)
        return url if parts.scheme in {"http", "https"} and parts.hostname else None
    except ValueError:
        return None


def normal_address(address: str) -> str:
    """An address in the form in which all spellings of it are the same (RFC 3986, 6.2.2 and 6.2.3).

    The case of scheme, host and percent-encodings, the default port, dot segments, an empty path or query make no
    difference. The order of a query does, and so do its members: which of them a site needs is not known.
    """
    if _NORMAL.fullmatch(address):
        return address
    try:
        scheme, authority, path, query, fragment = urlsplit(address)
    except ValueError:
        return address
    user, at, host = authority.rpartition("@")
    host = host.lower().removesuffix(":").removesuffix(_DEFAULT_PORTS.get(scheme, ":"))
    path = _without_dots(_ENCODED.sub(_normal_encoding, path))
    return urlunsplit((scheme, f"{user}{at}{host}", path, _ENCODED.sub(_normal_encoding, query), fragment))


def _normal_encoding(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    before = match.string[max(0, match.start() - 2) : match.start()]
    is_broken_off = before.endswith("%") or before.startswith("%")  # with the character it would be an encoding
    return character if character in _UNRESERVED and not is_broken_off else match[0].upper()


def _without_dots(path: str) -> str:
    """A path without `.` and `..` (RFC 3986, 5.2.4)."""
    segments: list[str] = []
    given = path.split("/")[1:] or [""]
    for segment in given:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    if given[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def page_key(rule: int, address: str, chain: bytes = b"") -> bytes:
    """The key of a page in its process, 16 bytes.

    A page of details has one key, however many links lead to it. The other pages of a list have one in that list:
    `chain` is the key of the list's first page.
    """
    normal = normal_address(address).encode()
    first = digest(b"%d\0%b" % (rule, normal))
    return first if chain in (b"", first) else digest(b"%d\0%b%b" % (rule, chain, normal))


def digest(data: bytes) -> bytes:
    """A digest of 16 bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()
