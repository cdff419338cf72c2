"""Byte order marks in front of bodies, as some editors and shells write them."""

import json
from codecs import BOM_UTF8

from taskhub.errors import Rejected


def in_utf8(body: bytes) -> bytes:
    """A body without its byte order mark, in UTF-8. Raises `Rejected` for what is not in the encoding of its mark.

    UTF-16 and UTF-32 are read by their marks alone: without one, a body is UTF-8 (RFC 8259, section 8.1).
    """
    if body.startswith(BOM_UTF8):
        return body[len(BOM_UTF8) :]
    encoding = json.detect_encoding(body[:4])
    if encoding not in {"utf-16", "utf-32"}:  # with -be or -le behind it where there is no mark
        return body
    try:
        return body.decode(encoding).encode()
    except UnicodeError:
        detail = f"The body begins with the byte order mark of {encoding.upper()}, and is something else."
        raise Rejected(detail, errors=[{"pointer": "", "detail": detail}], type="broken-json") from None
