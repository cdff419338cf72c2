"""Reads the header `Set-Cookie` as browsers do (RFC 6265bis), for `http.cookiejar`, which reads it otherwise. Pure."""

import re
from contextlib import suppress
from urllib.parse import SplitResult

from taskhub.outbound.addresses import read_host
from taskhub.outbound.errors import Refused
from taskhub.outbound.public_suffixes import is_public_suffix

COOKIE_MAX_BYTES = 4096  # of a name and a value, as in browsers
ATTRIBUTE_MAX = 1024  # characters of an attribute; a longer one counts as absent
AGE_MAX = 400 * 24 * 3600  # seconds, as in browsers
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HAS_DOMAINS = re.compile(r"\.[^.0-9][^.]*$")  # a name with a dot, and no address
_AGE = re.compile(r"(-?)(?=[0-9])0*+([0-9]{0,10}+)[0-9]*+")
_LOOPBACK = re.compile(r"(?:.+\.)?localhost|127(?:\.[0-9]+){3}|::1")
# What a cookie must have that has such a name (RFC 6265bis, section 4.1.3), or without a name such a value.
_PREFIXES: dict[str, frozenset[str]] = {
    "__secure-": frozenset({"Secure"}),
    "__http-": frozenset({"Secure", "HttpOnly"}),
    "__host-http-": frozenset({"Secure", "HttpOnly", "Path"}),
    "__host-": frozenset({"Secure", "Path"}),
}


def readable_header(header: str, origin: SplitResult) -> str:
    """A header from an origin as `http.cookiejar` reads it right; empty for a cookie that browsers do not take."""
    if not header.isascii():  # bytes that are no UTF-8 were meant to be Latin-1
        data = header.encode("utf-8", "surrogateescape")
        try:
            header = data.decode()
        except UnicodeDecodeError:
            header = data.decode("latin-1")
    pair, _, attributes = header.partition(";")
    if _CONTROL.search(header) or len(pair.encode()) > COOKIE_MAX_BYTES:
        return ""
    pair = pair.lstrip(" \t=")  # one without a name has a value alone
    found = _attributes(attributes)
    if "Domain" in found:
        domain = _domain_of(found.pop("Domain"), origin.hostname or "")
        if domain is None:
            return ""
        found |= {"Domain": domain} if domain else {}
    return "; ".join([pair, *map("=".join, found.items())]) if _may_be_set(pair, found, origin) else ""


def is_secure(origin: SplitResult) -> bool:
    """Whether nobody listens on the way to an origin."""
    return origin.scheme == "https" or bool(_LOOPBACK.fullmatch(origin.hostname or ""))


def _may_be_set(pair: str, attributes: dict[str, str], origin: SplitResult) -> bool:
    """Whether an origin may set a cookie with these attributes (RFC 6265bis, section 5.7)."""
    needed = next((needed for prefix, needed in _PREFIXES.items() if pair.lower().startswith(prefix)), frozenset[str]())
    if "Path" in needed and ("Domain" in attributes or attributes.get("Path") != "/"):
        return False
    return needed <= attributes.keys() and ("Secure" not in attributes or is_secure(origin))


def _domain_of(text: str, host: str) -> str | None:
    """The domain for which a host sets a cookie: empty for itself alone; None where that is refused."""
    domain = text.lower()
    if not domain.isascii():
        with suppress(Refused):
            domain = str(read_host(domain))
    if domain == host and (is_public_suffix(host) or not _HAS_DOMAINS.search(host)):
        return ""  # names below it, if there are any, are not its own
    return None if is_public_suffix(domain) else domain


def _attributes(text: str) -> dict[str, str]:
    """The attributes of a cookie, as `http.cookiejar` tells them apart (RFC 6265, section 5.2).

    The last one of a name counts. What is none, such as a path that does not begin with a slash, counts as absent.
    """
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if len(value) > ATTRIBUTE_MAX:
            continue
        match name.lower():
            case "secure":
                found["Secure"] = "yes"
            case "httponly":
                found["HttpOnly"] = ""
            case "samesite":
                found["SameSite"] = value
            case "expires" if value:
                found["Expires"] = value
            case "max-age" if age := _AGE.fullmatch(value):
                found["Max-Age"] = f"{age[1]}{min(int(age[2] or 0), AGE_MAX)}"
            case "path":
                found["Path"] = value if value.startswith("/") else ""
            case "domain":
                found["Domain"] = value.removeprefix(".")
    return {name: value for name, value in found.items() if value or name not in ("Path", "Domain")}
