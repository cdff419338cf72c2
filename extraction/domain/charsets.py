"""From the bytes of a page to its text (WHATWG Encoding and HTML standards, as far as they suffice). Pure."""

from charset_normalizer import from_bytes
from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom, resolve_encoding

_GUESSED_BYTES = 32 * 1024


def decode_page(body: bytes, content_type: str | None) -> str:
    """The text of a page.

    What the byte order mark says holds; then what the header says, the page says, or looks likely: the first in which
    the page can be read. Many servers say Latin-1, in which everything can be read: what is good UTF-8 is that.
    """
    encoding, mark = read_bom(body)
    if encoding and mark:
        return body[len(mark) :].decode(encoding, "replace")
    if b"\x1b" not in body and (text := _strict(body, "utf-8")) is not None:  # ISO-2022-JP hides its letters in ASCII
        return text
    for name in (http_content_type_encoding(content_type), html_body_declared_encoding(body)):
        if name and (text := _strict(body, name)) is not None:
            return text
    return _guessed(body, http_content_type_encoding(content_type) or html_body_declared_encoding(body))


def _strict(body: bytes, encoding: str) -> str | None:
    try:
        return body.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _guessed(body: bytes, declared: str | None) -> str:
    """The text of a page that is broken in every encoding it declares, or declares none."""
    best = None if declared else from_bytes(body[:_GUESSED_BYTES]).best()
    name = declared or resolve_encoding(best.encoding if best else "utf-8") or "utf-8"
    return body.decode(name, "replace")
