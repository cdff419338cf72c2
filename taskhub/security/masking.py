"""Masking of secrets in log lines and in values that are shown."""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4  # a shorter secret stands in too many words to be searched for

_NAMES = (
    r"(?:authorization|(?:api|access|private)[_-]?key|password|passwd|passphrase|secret|token|credential|cookie|sessionid)"
    r"s?(?:[_-]?(?:key|value|hash))?s?\d*"
)
# No two branches of a repetition match the same character: a line made for it would otherwise take hours.
_PATTERNS = [
    # "password": "abc", 'token': b'abc', ("api_key", "abc"), {\"secret\": \"abc\"}; or cut off at the end
    re.compile(rf"""(?is)({_NAMES}(?:\\*["']?\s*[:=]|\\*["'],)\s*b?)(\\*["'])(?:(?!\2)(?:\\.|[^\\]))*(?:\2|\\?\Z)"""),
    # Authorization: Digest a="b", c="d"; whatever the scheme, the rest of the line belongs to it
    re.compile(r"""(?i)(authorization\\*["']?\s*[:=]\s*)(?!["'\\\s]|\*{3}|b["']|none\b|null\b)[^\r\n]+"""),
    # api_key=abc, X-API-Key: abc, "token": 123
    re.compile(rf"""(?i)({_NAMES}\\*["']?\s*[:=]\s*)(?!["'\\\s*]|b["']|none\b|null\b)[^\s&,;"'<>)}}\]]+"""),
    re.compile(r"(?i)(\b(?:token|bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}"),
    # Ours are known by their first letters, wherever they stand
    re.compile(r"\b(tht_)[0-9a-f]{8,}"),
    re.compile(r"\b(thk_[0-9a-f]{12}_)[A-Za-z0-9_-]+"),
    re.compile(r"\b(whsec_)[A-Za-z0-9+/=]+"),
    re.compile(r"(/c/)[A-Za-z0-9_-]{32}(?=/)"),  # capabilities
    re.compile(r"(/v1/files/)[A-Za-z0-9_:.-]{40,}(?=/)"),  # links to files
    re.compile(r"(://[^\s/:@]*:)[^\s/]+(?=@)"),  # passwords in addresses
]
# "password": ["abc", "def"], credentials={'user': 'u'}, token=Text('abc'): what follows the name up to the bracket
_ORIGIN = re.compile(r"https?://[^/?#\s]+", re.IGNORECASE)  # of an address
_BRACKETED = re.compile(rf"""(?i){_NAMES}(?:\\*["']?\s*[:=]|\\*["'],)\s*(?=\w{{0,40}}[\[({{])""")
# No possessive repeat around the lookahead: with it, it finds nothing in Python 3.11.2, which Debian 12 has.
_BRACKET_OR_TEXT = re.compile(
    r"""(?s)([\[({])|([\])}])|"""
    r"""(?<!\\)(\\{0,15}["'])(?:[^\\"']++|(?!\3)(?:\\.|[^\\]))*(?:\3|\\?\Z)"""
)
_IS_SECRET = re.compile(rf"(?i){_NAMES}$")


@lru_cache(4096)
def is_secret(name: str) -> bool:
    """Whether what stands under this name is to be hidden: `password`, `X-API-Key`, `clientSecret`; not `task_id`."""
    return _IS_SECRET.search(name) is not None


def mask(text: str) -> str:
    """`text` with the values after names of secrets, and our own tokens and keys, replaced by three stars."""
    if not may_hold_secret(text):
        return text
    text = "".join(_without_bracketed(text))
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text


def _without_bracketed(text: str) -> Iterator[str]:
    """The text's parts, with stars for bracketed values. Goes on behind each value, so no character is read twice."""
    index = 0
    while found := _BRACKETED.search(text, index):
        yield text[index : found.end()] + MASK
        index = _behind_bracket(text, found.end())
    yield text[index:]


def _behind_bracket(text: str, index: int) -> int:
    """The index behind the bracket that closes the first one after `index`; the text's end if none does."""
    depth = 0
    for found in _BRACKET_OR_TEXT.finditer(text, index):
        depth += bool(found[1]) - bool(found[2])
        if not depth:
            return found.end()
    return len(text)


# Of what `mask` hides each has one of these in it. To look for them is a hundred times as fast as to mask.
_HINTS = (
    *("auth", "key", "passw", "passphrase", "secret", "token", "credential", "cookie", "sessionid", "bearer", "basic"),
    *("tht_", "thk_", "whsec_", "/c/", "/files/", "@"),
)
_SAME_LETTERS = str.maketrans("\u017f\u0131\u0130", "sii")  # long s, dotless i and I with a dot: the same to IGNORECASE
MASKED_MAX = 100_000  # characters of a text that is masked
LONG = 10_000  # characters of a text that is not masked any more to see whether it holds a secret


def may_hold_secret(text: str) -> bool:
    """Whether a text has a word by which `mask` finds what it hides."""
    lower = (text if text.isascii() else text.translate(_SAME_LETTERS)).lower()
    return any(hint in lower for hint in _HINTS)


def holds_secret(text: str, secrets: frozenset[str] = frozenset()) -> bool:
    """Whether `mask` or `hide` would hide something in a text; of a long one, whether they might."""
    if any(secret in text for secret in secrets):
        return True
    return may_hold_secret(text) and (len(text) > LONG or mask(text) != text)


def mask_all(value: Any, secrets: frozenset[str] = frozenset()) -> Any:
    """As `mask_value`, and in its texts also what `mask` hides: for those who are not the value's owner.

    A text that is too long to be masked, and may hold a secret, is stars as a whole.
    """
    if isinstance(value, dict):
        return {key: MASK if inner and is_secret(key) else mask_all(inner, secrets) for key, inner in value.items()}
    if isinstance(value, str):
        text = hide(value, secrets)
        return text if not may_hold_secret(text) else mask(text) if len(text) <= MASKED_MAX else MASK
    return [mask_all(inner, secrets) for inner in value] if isinstance(value, list) else value


def masked_address(url: str) -> str:
    """An address without what may be secret in it: its path and query, and what `mask` hides.

    Whoever knows the path of a webhook can often send to it: many services give it as their only credential.
    """
    origin = _ORIGIN.match(shown := mask(url))
    return f"{origin[0]}/{MASK}" if origin and shown[origin.end() :] not in ("", "/") else shown


def masked_places(value: Any, at: str = "") -> Iterator[str]:
    """The pointers of stars in a JSON value: somebody sends back what was shown to him masked."""
    if value == MASK:
        yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in pairs:
        yield from masked_places(inner, f"{at}/{str(step).replace('~', '~0').replace('/', '~1')}")


def mask_value(value: Any, secrets: frozenset[str] = frozenset()) -> Any:
    """A copy of a JSON value in which what stands under a secret's name, and each of `secrets`, is three stars."""
    if isinstance(value, dict):
        return {key: MASK if inner and is_secret(key) else mask_value(inner, secrets) for key, inner in value.items()}
    if isinstance(value, str):
        return hide(value, secrets)
    return [mask_value(inner, secrets) for inner in value] if isinstance(value, list) else value


def mask_texts(value: Any, texts: frozenset[str]) -> Any:
    """A copy of a JSON value in which each of `texts` is three stars, in its keys, too."""
    if isinstance(value, dict):
        return {hide(key, texts): mask_texts(inner, texts) for key, inner in value.items()}
    if isinstance(value, str):
        return hide(value, texts)
    if isinstance(value, list):
        return [mask_texts(inner, texts) for inner in value]
    return MASK if is_number(value) and str(value) in texts else value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class SecretText(str):
    """A text of which nothing but this says that it is secret."""

    __slots__ = ()


def secrets_of(value: Any) -> frozenset[str]:
    """The texts in a JSON value that stand under a secret's name, or are `SecretText`: elsewhere, too, they are to be
    hidden."""
    if isinstance(value, SecretText):
        return texts_of(value)
    if isinstance(value, dict):
        return frozenset().union(
            *(texts_of(inner) if is_secret(key) else secrets_of(inner) for key, inner in value.items())
        )
    return frozenset().union(*map(secrets_of, value)) if isinstance(value, list) else frozenset()


def texts_of(value: Any) -> frozenset[str]:
    """The texts in a JSON value that are long enough to be hidden wherever they occur."""
    if isinstance(value, dict | list):
        return frozenset().union(*map(texts_of, value.values() if isinstance(value, dict) else value))
    return frozenset({value}) if isinstance(value, str) and len(value) >= SHORTEST else frozenset()


# What is left as it is in a whole address that is made fit for the wire.
_ADDRESS_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"


def written_forms(texts: Iterable[str]) -> frozenset[str]:
    """Texts, and how they are written in addresses, forms and JSON, as what is sent has them."""
    forms = set(texts)
    for text in list(forms):
        forms |= {quote(text, safe=""), quote(text, safe=_ADDRESS_CHARACTERS), quote_plus(text)}
        forms |= {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True)}
    return frozenset(forms)


def hide(text: str, secrets: frozenset[str]) -> str:
    """`text` without `secrets`, also where they stand quoted; the longest first, as one may be a part of another."""
    for secret in sorted(secrets, key=len, reverse=True) if secrets else ():
        text = text.replace(secret, MASK).replace(repr(secret)[1:-1], MASK)
    return text


_hidden: ContextVar[frozenset[str]] = ContextVar("hidden", default=frozenset())


def hiding(value: Any) -> AbstractContextManager[None]:
    """Hides the secrets of a JSON value in this thread's log lines within the block: errors may quote them."""
    return hiding_texts(secrets_of(value))


@contextmanager
def hiding_texts(secrets: frozenset[str]) -> Iterator[None]:
    before = _hidden.set(_hidden.get() | secrets)
    try:
        yield
    finally:
        _hidden.reset(before)


def hidden_texts() -> frozenset[str]:
    """The texts that are hidden in this thread's log lines now."""
    return _hidden.get()


def hide_from_now(texts: frozenset[str]) -> None:
    """Hides more texts in this thread's log lines, until the end of the `hiding_texts` block around it."""
    _hidden.set(_hidden.get() | texts)


class MaskingFilter(logging.Filter):
    """Masks the finished line, arguments and traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _masked(_message(record)), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _masked(record.exc_text)
        if record.stack_info:
            record.stack_info = _masked(record.stack_info)
        return True


def _masked(text: str) -> str:
    return mask(hide(text, _hidden.get()))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a line that is not well formed must not take down what it tells of
        return f"{record.msg} {record.args}"
