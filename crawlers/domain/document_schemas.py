"""JSON Schemas of documents: draft 2020-12 and draft 7, compiled; patterns in linear time, nothing fetched."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

import jsonschema_rs

REASON_MAX = 300  # characters
DRAFTS = {
    "https://json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
}
_DEFAULT_DRAFT = next(iter(DRAFTS))
_PATTERN_OPTIONS = jsonschema_rs.RegexOptions(size_limit=1 << 20)


class InvalidSchema(Exception):
    """A JSON Schema that cannot be used; its text says why."""


class DocumentSchema:
    """A compiled JSON Schema. Raises `InvalidSchema` for one that cannot be used."""

    is_valid: Callable[[Any], bool]
    """Whether a document matches: the compiled validator's own method, as it is called for each line of an upload."""

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        draft = schema.get("$schema", _DEFAULT_DRAFT) if isinstance(schema, Mapping) else _DEFAULT_DRAFT
        validator_class = DRAFTS.get(str(draft).rstrip("#"))
        if validator_class is None:
            raise InvalidSchema(f"$schema must be one of {', '.join(DRAFTS)}.")
        try:
            self._validator: Any = validator_class(
                cast(Any, schema), pattern_options=_PATTERN_OPTIONS, retriever=_refuse_to_fetch
            )
        except jsonschema_rs.ValidationError as error:
            raise InvalidSchema(_reason(error)) from None
        except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
            raise InvalidSchema(str(error)[:REASON_MAX]) from None
        self.is_valid = self._validator.is_valid

    def explain(self, document: Any) -> str:
        """Why a document does not match: the pointer of the first mismatch, and what is wrong there."""
        return _reason(next(iter(self._validator.iter_errors(document))))


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"Schemas are not fetched: {address[:100]}")


def _reason(error: Any) -> str:
    pointer = "".join(f"/{step}" for step in error.instance_path)
    return f"{pointer or '/'}: {error.message}"[:REASON_MAX]
