"""Arguments of calls from queries and forms, where each is a text or a part of a multipart body."""

import re
from collections.abc import Callable, Collection
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from taskhub.errors import TooLarge, invalid
from taskhub.jsontools.strict_json import parse_double, parse_json
from taskhub.web.form_parts import JSON_TYPE, parse_json_text, text_of_part
from taskhub.web.query_values import FLAGS, refuse_repeated


def read_form(
    form: QueryDict, names: Collection[str], read: Callable[[str], Any] = parse_json
) -> tuple[dict[str, str], dict[str, Any]]:
    """The texts of a form by name, and the values of parts that say they are JSON (RFC 7578, section 4.4), by `read`.

    A part with a file name is a field where the call has an argument of its name (`names`); else it is a file, and none
    of these. Raises `Rejected` for a field that is given twice, and for one that cannot be read.
    """
    fields = QueryDict(mutable=True)
    for name, given in form.lists():
        fields.setlist(name, [one for one in given if name in names or not isinstance(one, UploadedFile)])
    refuse_repeated(fields)
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, given in fields.lists():
        for one in given:
            text = _text_of_file(one, name) if isinstance(one, UploadedFile) else str(one)
            if isinstance(one, UploadedFile) and text.strip() and JSON_TYPE.fullmatch(one.content_type or ""):
                values[name] = parse_json_text(text, name, read)
            else:
                texts[name] = text
    return texts, values


def without_fields(files: "MultiValueDict[str, Any]", names: Collection[str]) -> "MultiValueDict[str, Any]":
    """The files that are no fields of the call."""
    return MultiValueDict({name: several for name, several in files.lists() if name not in names})


def _text_of_file(part: UploadedFile, name: str) -> str:
    size, limit = part.size or 0, settings.BODY_MAX_BYTES
    if size > limit:
        raise TooLarge(f"The field {name} has {size} bytes; {limit} are allowed.", limit=limit)
    return text_of_part(name, part.read(), part.charset or "")


def parse_text(text: str, json_type: str, name: str, read: Callable[[str], Any] = parse_json) -> Any:
    """The value that a text stands for, where an argument has this type of JSON; an empty one is an empty object.

    `read` is for objects and lists. A text that cannot be read as a number stays as it is, and is refused when it is
    checked. Raises `Rejected`.
    """
    match json_type:
        case "integer" | "number" if len(text) <= 30:
            return _parse_number(text)
        case "boolean":
            return _parse_boolean(text, name)
        case "object" if not text.strip():
            return {}
        case "object" | "array":
            return parse_json_text(text, name, read)
    return text


def _parse_boolean(text: str, name: str) -> bool:
    """Raises `Rejected`. The check of all arguments does not see the text where the body has the name, too."""
    if text.lower() not in FLAGS:
        raise invalid(f"/{name}", "Must be true or false.")
    return FLAGS[text.lower()]


def _parse_number(text: str) -> int | float | str:
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    return parse_double(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text) else text
