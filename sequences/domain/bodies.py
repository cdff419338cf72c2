"""The ways in which a request's body may be written, and whether a Content-Type allows it."""

import re
from typing import Any

from sequences.domain.json_values import kind
from sequences.domain.templates import Template
from sequences.domain.validation_errors import StepFailure

BODY_KEYS = ("body", "form", "multipart", "text", "file")
FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
_TYPES = {"form": FORM, "multipart": MULTIPART}
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]{0,1000}")
PART_KEYS = frozenset({"filename", "content", "file", "content_type"})


def body_fault(key: str, body: Template, headers: Template) -> str:
    """Why a body cannot be written under its headers; empty where it can, or where that is not known yet."""
    if not headers.constant:
        return ""
    try:
        stated = content_type(headers.value)
    except StepFailure:
        return ""  # the headers have a fault of their own
    return mismatch("" if key == "body" else key, stated, body.value if body.constant else None)


def content_type(headers: dict[str, Any]) -> str:
    """The media type of a request's headers, without its parameters; empty where they state none."""
    value = next((value for name, value in headers.items() if name.lower() == "content-type"), "") or ""
    return str(value).partition(";")[0].strip().lower()


def mismatch(format_: str, stated: str, body: Any) -> str:
    """Why `body` cannot be written in the stated media type; empty where it can."""
    wanted = _TYPES.get(format_)
    if wanted:
        return (
            f"The header Content-Type says {stated[:100]}, and this is {wanted}." if stated not in ("", wanted) else ""
        )
    if format_ in ("text", "file") or not stated or "json" in stated or body is None or isinstance(body, str):
        return ""
    if stated == FORM and isinstance(body, dict):
        return ""
    if isinstance(body, dict | list):
        return f"The header Content-Type says {stated[:100]}, and {kind(body)} cannot be written so."
    return ""


def part_fault(value: Any) -> str:
    """Why a value is no part of a multipart body: text, or `{filename?, content or file, content_type?}`."""
    if isinstance(value, dict):
        if not value.keys() <= PART_KEYS or ("content" in value) == ("file" in value):
            told = ", ".join(value)[:100] or "nothing"
            return f"A part is text, or {{filename, content or file, content_type}}; it has {told}."
        if "file" in value and not isinstance(value["file"], str):
            return f"The file of a part is a link, which is text, not {kind(value['file'])}."
        for key in ("filename", "content_type"):
            if value.get(key) is not None and not (isinstance(value[key], str) and _PRINTABLE.fullmatch(value[key])):
                return f"The {key} of a part is text on one line."
    return ""
