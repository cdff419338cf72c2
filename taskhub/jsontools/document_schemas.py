"""JSON Schemas of documents: of drafts 4, 6, 7, 2019-09 and 2020-12, compiled.

Patterns take linear time, and nothing is fetched.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

import jsonschema_rs

from taskhub.jsontools.schema_cost import SchemaCost, TooCostly, schema_cost

REASON_MAX = 300  # characters
DRAFTS = {  # by the address of their metaschemas, which is written with and without TLS and `#`
    "json-schema.org/draft/2020-12/schema": jsonschema_rs.Draft202012Validator,
    "json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909Validator,
    "json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
    "json-schema.org/draft-06/schema": jsonschema_rs.Draft6Validator,
    "json-schema.org/draft-04/schema": jsonschema_rs.Draft4Validator,
}
_DEFAULT_DRAFT = f"https://{next(iter(DRAFTS))}"
_PATTERN_OPTIONS = jsonschema_rs.RegexOptions(size_limit=1 << 20)


class InvalidSchema(Exception):
    """A JSON Schema that cannot be used; its text says why."""


class DocumentSchema:
    """A compiled JSON Schema. Raises `InvalidSchema` for one that cannot be used."""

    is_valid: Callable[[Any], bool]
    """Whether a document matches: the compiled validator's own method, as it is called for each line of an upload."""
    cost: SchemaCost

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        draft = schema.get("$schema", _DEFAULT_DRAFT) if isinstance(schema, Mapping) else _DEFAULT_DRAFT
        validator_class = DRAFTS.get(str(draft).rpartition("://")[2].rstrip("#"))
        if validator_class is None:
            raise InvalidSchema(f"$schema must be of draft 4, 6, 7, 2019-09 or 2020-12, such as {_DEFAULT_DRAFT}.")
        try:
            self._validator: Any = validator_class(
                cast(Any, schema), pattern_options=_PATTERN_OPTIONS, retriever=_refuse_to_fetch
            )
        except jsonschema_rs.ValidationError as error:
            raise InvalidSchema(_reason(error)) from None
        except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
            raise InvalidSchema(str(error)[:REASON_MAX]) from None
        try:
            self.cost = schema_cost(schema)
        except TooCostly as error:
            raise InvalidSchema(str(error)) from None
        self.is_valid = self._validator.is_valid

    def explain(self, document: Any) -> str:
        """Why a document does not match: the pointer of the first mismatch, and what is wrong there."""
        try:
            self._validator.validate(document)  # `iter_errors` would make all errors of it, each with its words
        except jsonschema_rs.ValidationError as error:
            return _reason(error)
        return ""


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"Schemas are not fetched: {address[:100]}")


def _reason(error: Any) -> str:
    pointer = "".join(f"/{step}" for step in error.instance_path)
    return f"{pointer or '/'}: {error.message}"[:REASON_MAX]
