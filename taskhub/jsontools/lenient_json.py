"""JSON as other servers send it: in any charset, and mended where the mend is plain, which is told.

A key that stands twice counts as it stands last; NaN, infinities and numbers out of range become null; a lone surrogate
becomes U+FFFD; U+0000 is left out. Anything else that is no JSON (RFC 8259) is refused, as `strict_json` refuses it.
"""

import codecs
import json
import math
import re
from collections import Counter
from typing import Any

from taskhub.errors import Rejected
from taskhub.jsontools.strict_json import NESTING_MAX

_SURROGATE = re.compile("[\ud800-\udfff]")
# Bytes that Latin-1 has for control characters stand for what windows-1252 has there, as browsers read them.
_LATIN = {code: text for code in range(0x80, 0xA0) if (text := bytes([code]).decode("cp1252", "ignore"))}
_LATIN_NAMES = ("iso8859-1", "cp1252")
_UNICODE_NAMES = re.compile(r"utf-(8(-sig)?|16(-[lb]e)?|32(-[lb]e)?)|ascii")
_NOT_FOR_BODIES = ("punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape")  # slow, or not of texts

DUPLICATE, NO_NUMBER, SURROGATE, NUL = "duplicate", "number", "surrogate", "nul"
_WORDS = {
    DUPLICATE: "keys that stood twice in one object count as they stood last",
    NO_NUMBER: "numbers that JSON does not have, or that are out of range, became null",
    SURROGATE: "lone surrogates became U+FFFD",
    NUL: "U+0000 was left out",
}


def parse_lenient(body: bytes, charset: str = "", *, lines: bool = False) -> tuple[Any, str]:
    """The value of a body, and what was mended in it, or an empty text.

    `charset` is that of its header. With `lines` each line is a value of its own, and the value is their list. Raises
    `Rejected` for what cannot be read, as `parse_json` does.
    """
    reader = _LenientReader()
    text = _json_text(body, charset)
    if "\x00" in text:
        reader.mends[NUL] += text.count("\x00")
        text = text.replace("\x00", "")
    if lines:
        pieces = text.split("\x1e" if "\x1e" in text else "\n")  # the former is RFC 7464's
        value: Any = [reader.value(piece) for piece in pieces if piece.strip()]
    else:
        value = reader.value(text)
    notes = [f"{_WORDS[kind]} ({count})" for kind, count in reader.mends.items()]
    if charset and codec_name(charset) is None:
        notes.append(f"the charset {charset[:40]!r} is not known, and was taken for UTF-8")
    return value, "; ".join(notes)


def decode_text(body: bytes, charset: str = "") -> str:
    """The text of a body in the charset of its header, by default UTF-8; what cannot be read becomes U+FFFD."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(name, "replace")
    name = codec_name(charset) or "utf-8"
    return body.decode("latin-1").translate(_LATIN) if name in _LATIN_NAMES else body.decode(name, "replace")


class _LenientReader:
    """Reads values, and counts its mends by their kind."""

    def __init__(self) -> None:
        self.mends: Counter[str] = Counter()

    def value(self, text: str) -> Any:
        try:
            value = json.loads(
                text, object_pairs_hook=self._object, parse_constant=self._constant, parse_float=self._float
            )
        except json.JSONDecodeError as error:
            raise _unreadable(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
        except RecursionError:
            raise _unreadable(f"nested deeper than {NESTING_MAX} levels") from None
        except ValueError:
            raise _unreadable("a number has too many digits") from None
        # Only these can bring in what is looked for below: most texts are spared the walk.
        if text.count("[") + text.count("{") > NESTING_MAX or "\\u" in text or _SURROGATE.search(text):
            value = self._mended(value, 0)
        return value

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            self.mends[DUPLICATE] += len(pairs) - len(value)
        return value

    def _constant(self, name: str) -> None:
        self.mends[NO_NUMBER] += 1

    def _float(self, text: str) -> float | None:
        number = float(text)
        if math.isfinite(number):
            return number
        self.mends[NO_NUMBER] += 1
        return None

    def _mended(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if depth == NESTING_MAX and isinstance(value, dict | list):
            raise _unreadable(f"nested deeper than {NESTING_MAX} levels")
        if isinstance(value, dict):
            return self._object([(self._text(key), self._mended(inner, depth + 1)) for key, inner in value.items()])
        return [self._mended(inner, depth + 1) for inner in value] if isinstance(value, list) else value

    def _text(self, text: str) -> str:
        if "\x00" in text:
            self.mends[NUL] += text.count("\x00")
            text = text.replace("\x00", "")
        text, count = _SURROGATE.subn("\ufffd", text)
        if count:
            self.mends[SURROGATE] += count
        return text


def _json_text(body: bytes, charset: str) -> str:
    """The text of a body that says that it is JSON.

    What begins with a byte order mark is what the mark says. Of the encodings of Unicode the first bytes tell which it
    is, for JSON begins with ASCII; so a header that names the wrong one of them does no harm.
    """
    name = codec_name(charset) or "utf-8"
    found = json.detect_encoding(body)
    if found in ("utf-8-sig", "utf-16", "utf-32") or _UNICODE_NAMES.fullmatch(name):
        name = found
    if name in _LATIN_NAMES:
        return body.decode("latin-1").translate(_LATIN)
    try:
        return body.decode(name, "surrogatepass" if name.startswith(("utf-16", "utf-32")) else "strict")
    except UnicodeError as error:
        place = f"byte {error.start}" if isinstance(error, UnicodeDecodeError) else "it"
        raise _unreadable(f"{place} is not {name.removesuffix('-sig').upper()}") from None


def codec_name(charset: str) -> str | None:
    """Python's name of a charset, with hyphens; None for none that texts are in."""
    try:
        name = codecs.lookup(charset.strip("'\" ")).name.replace("_", "-")
        b"a".decode(name, "ignore")
    except (LookupError, ValueError):
        return None
    return None if name in _NOT_FOR_BODIES else name


def _unreadable(detail: str) -> Rejected:
    return Rejected(
        f"The JSON cannot be read: {detail}.", errors=[{"pointer": "", "detail": detail}], type="broken-json"
    )
