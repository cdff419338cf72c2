"""Finds out where a page leads at once, as browsers do (HTML standard, "shared declarative refresh steps"). Pure."""

import re
from html import unescape

SECONDS_MAX = 5  # what stays longer is a page to be read
ADDRESS_MAX = 4096
HEAD = 4096  # characters in which a page says it

_CONTENT = re.compile(r"\s*(?=[0-9.])([0-9]*)[0-9.]*(?:\s*[;,]|\s)\s*(.*)", re.DOTALL)
_URL = re.compile(r"url\s*=\s*", re.IGNORECASE)
# Comments, and what is not shown where scripts run, are passed over.
_META = re.compile(
    r"<!--.*?(?:-->|\Z)|<(noscript|script|style|template|title|textarea)\b.*?(?:</\1|\Z)"
    r"|<meta\b((?:[^<>\"']|\"[^\"]*\"|'[^']*')*+)>",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([a-z-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)


def refresh_target(content: str) -> str | None:
    """The address in a header `Refresh`; None where it leads nowhere else, or not soon."""
    match = _CONTENT.fullmatch(content[:ADDRESS_MAX])
    if not match or int(match[1] or 0) > SECONDS_MAX:
        return None
    address = match[2]
    if url := _URL.match(address):
        address = address[url.end() :]
    if address[:1] in {'"', "'"}:
        address = address[1:].partition(address[0])[0]
    return address.strip() or None


def meta_refresh_target(html: str) -> str | None:
    """The address in the element `<meta http-equiv="refresh">` of a page; None as above."""
    head = html[:HEAD]
    if "refresh" not in head.lower():
        return None
    for element in _META.finditer(head):
        if element[2]:
            attributes = {
                match[1].lower(): match[2] or match[3] or match[4] or "" for match in _ATTRIBUTE.finditer(element[2])
            }
            if attributes.get("http-equiv", "").strip().lower() == "refresh":
                return refresh_target(unescape(attributes.get("content", "")))
    return None
