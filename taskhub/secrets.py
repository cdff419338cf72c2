"""Masking: what must never stand in a log line, or be shown again."""

import logging
import re
from typing import Any

MASK = "***"

_NAMES = r"(?:authorization|api[_-]?key|password|passwd|secret|token|credentials?|cookie|sessionid)(?:[_-]?key)?"
# No two branches of a repetition match the same character: a line made for it would otherwise take hours.
_PATTERNS = [
    # "password": "abc", 'token': b'abc', ("api_key", "abc"), {\"secret\": \"abc\"}; or cut off at the end
    re.compile(rf"""(?is)({_NAMES}(?:\\*["']?\s*[:=]|\\*["'],)\s*b?)(\\*["'])(?:(?!\2)(?:\\.|[^\\]))*+(?:\2|\\?\Z)"""),
    # Authorization: token abc, api_key=abc, X-API-Key: abc, "token": 123
    re.compile(
        rf"""(?i)({_NAMES}\\*["']?\s*[:=]\s*(?:(?:token|bearer|basic)\s+)?)(?!["'\\\s*]|b["']|none\b|null\b)[^\s&,;"'<>)}}\]]+"""
    ),
    re.compile(r"(?i)(\b(?:token|bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}"),
    # Ours are known by their first letters, wherever they stand
    re.compile(r"\b(tht_)[0-9a-f]{8,}"),
    re.compile(r"\b(thk_[0-9a-f]{12}_)[A-Za-z0-9_-]+"),
    re.compile(r"(://[^\s/:@]*:)[^\s/]+(?=@)"),  # passwords in addresses
]


def mask(text: str) -> str:
    """`text` with the values after names of secrets, and our own tokens and keys, replaced by three stars."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text


_SECRET_KEY = re.compile(rf"(?i){_NAMES}s?$")


def mask_value(value: Any) -> Any:
    """A copy of a JSON value in which what stands under a secret's name is three stars."""
    if isinstance(value, dict):
        return {key: MASK if inner and _SECRET_KEY.search(key) else mask_value(inner) for key, inner in value.items()}
    return [mask_value(inner) for inner in value] if isinstance(value, list) else value


class MaskingFilter(logging.Filter):
    """Masks the finished line, arguments and traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask(_message(record)), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = mask(record.exc_text)
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a line that is not well formed must not take down what it tells of
        return f"{record.msg} {record.args}"
