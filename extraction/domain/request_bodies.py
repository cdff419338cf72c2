"""What a request sends: a form, JSON, or a text as it is. Pure."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

import orjson
from pydantic import BeforeValidator

from taskhub.jsontools.json_models import TEXTS_MAX, Steps
from taskhub.jsontools.schema import invalid_places, invalid_value

FORM_TYPE, JSON_TYPE, TEXT_TYPE = "application/x-www-form-urlencoded", "application/json", "text/plain; charset=utf-8"
BODY_MAX = 1_000_000  # bytes
VALUES_MAX = 1_000  # of one name in a form

_METHOD = re.compile(r"[A-Za-z]{1,20}", re.ASCII)
_NOT_FOR_PAGES = frozenset({"CONNECT", "TRACE", "HEAD"})  # their answers are no pages


class RequestBody(NamedTuple):
    """The body of a request, and its type."""

    data: bytes
    content_type: str


def form_body(form: Mapping[str, Any]) -> RequestBody:
    return RequestBody(urlencode(form, doseq=True).encode(), FORM_TYPE)


def json_body(value: Any) -> RequestBody:
    return RequestBody(orjson.dumps(value), JSON_TYPE)


def text_body(text: str) -> RequestBody:
    return RequestBody(text.encode("utf-8", "replace"), TEXT_TYPE)


def _read_method(value: Any) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not _METHOD.fullmatch(value) or value.upper() in _NOT_FOR_PAGES:
        raise invalid_value("Must be a method of HTTP whose answers are pages, such as GET, POST or PUT.")
    return value.upper()


def _read_form(value: Any) -> dict[str, Any]:
    """Reads the fields of a form: texts and numbers, or lists of them for names that are sent several times."""
    if not isinstance(value, Mapping) or len(value) > TEXTS_MAX:
        raise invalid_value(f"Must be an object of at most {TEXTS_MAX} texts, or lists of them.")
    faults: list[tuple[Steps, str]] = []
    form: dict[str, Any] = {}
    for name, inner in value.items():
        if not isinstance(inner, list):
            if not _is_text(inner):
                faults.append(((name,), "Must be a text."))
            form[name] = str(inner)
        elif len(inner) > VALUES_MAX:
            faults.append(((name,), f"Must have at most {VALUES_MAX} entries."))
        else:
            faults += [((name, place), "Must be a text.") for place, one in enumerate(inner) if not _is_text(one)]
            form[name] = [str(one) for one in inner]
    if faults:
        raise invalid_places(faults)
    return form


def _is_text(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _read_json(value: Any) -> Any:
    try:
        size = len(orjson.dumps(value))
    except TypeError:  # a number that has more than 64 bits
        raise invalid_value("Has a number that is too large.") from None
    if size > BODY_MAX:
        raise invalid_value(f"Must have at most {BODY_MAX} bytes.")
    return value


def _read_text(value: Any) -> str:
    if not isinstance(value, str) or len(value.encode("utf-8", "replace")) > BODY_MAX:
        raise invalid_value(f"Must be a text of at most {BODY_MAX} bytes.")
    return value


Method = Annotated[str, BeforeValidator(_read_method)]
FormValues = Annotated[dict[str, Any], BeforeValidator(_read_form)]
JsonBody = Annotated[Any, BeforeValidator(_read_json)]
TextBody = Annotated[str, BeforeValidator(_read_text)]
