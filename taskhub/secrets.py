"""Masking: what must never stand in a log line or be shown again."""

import logging
import re
from typing import Any

MASK = "***"

_NAMES = r"authorization|x-api-key|api[_-]?key|password|passwd|secret|token|credentials?"
_PATTERNS = [
    # Authorization: token abc, "password": "abc", api_key=abc, X-API-Key: abc
    re.compile(rf"""(?i)(["']?(?:{_NAMES})["']?\s*[:=]\s*)(["'])(?:\\.|(?!\2).)*\2"""),
    re.compile(rf"(?i)((?:{_NAMES})\s*[:=]\s*(?:(?:token|bearer|basic)\s+)?)(?![\"'\s*])[^\s&,;\"'<>]+"),
    re.compile(r"(?i)(\b(?:token|bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}"),
    re.compile(r"(://[^\s/:@]*:)[^\s/@]+(?=@)"),  # passwords in addresses
]


def mask(text: str) -> str:
    """`text` with the values after names of secrets replaced by three stars."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text


_SECRET_KEY = re.compile(rf"(?i)(?:{_NAMES})s?$")


def mask_value(value: Any) -> Any:
    """A copy of a JSON value in which what stands under a secret's name is three stars."""
    if isinstance(value, dict):
        return {key: MASK if _SECRET_KEY.search(key) and inner else mask_value(inner) for key, inner in value.items()}
    return [mask_value(inner) for inner in value] if isinstance(value, list) else value


class MaskingFilter(logging.Filter):
    """Masks the finished line, arguments and traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = mask(record.exc_text)
        return True
