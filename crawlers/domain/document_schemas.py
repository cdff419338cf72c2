"""JSON Schemas of documents: 2020-12 and draft 7, compiled; patterns in linear time, nothing fetched."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

import jsonschema_rs

SHOWN_MAX = 300  # characters of a reason
DRAFTS = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
}
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20)


class Unusable(Exception):
    """What is wrong with a schema."""


def compiled(schema: Mapping[str, Any] | bool) -> Callable[[Any], str]:
    """Says why a document does not match; nothing when it does. Raises `Unusable`."""
    draft = schema.get("$schema", next(iter(DRAFTS))) if isinstance(schema, Mapping) else next(iter(DRAFTS))
    made = DRAFTS.get(str(draft).rstrip("#"))
    if made is None:
        raise Unusable(f"$schema must be one of {', '.join(DRAFTS)}.")
    try:
        validator: Any = made(cast(Any, schema), pattern_options=_PATTERNS, retriever=_refuse)
    except jsonschema_rs.ValidationError as error:
        raise Unusable(_words(error)) from None
    except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
        raise Unusable(str(error)[:SHOWN_MAX]) from None
    is_valid, first_error = validator.is_valid, validator.iter_errors

    def why_not(document: Any) -> str:
        return "" if is_valid(document) else _words(next(iter(first_error(document))))

    return why_not


def _refuse(address: str) -> NoReturn:
    raise ValueError(f"Schemas are not fetched: {address[:100]}")


def _words(error: Any) -> str:
    place = "".join(f"/{step}" for step in error.instance_path)
    return f"{place or '/'}: {error.message}"[:SHOWN_MAX]
