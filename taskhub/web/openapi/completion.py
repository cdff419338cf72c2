"""What is done to the finished OpenAPI document: drf-spectacular's hook `complete_document`."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from taskhub import errors
from taskhub.web.openapi.problem_responses import FAMILY, MEANING
from taskhub.web.openapi.schema_tree import SharedSchemas, default_in_words, without_defaults
from taskhub.web.openapi.schemas import MULTIPART
from taskhub.web.problems import PROBLEM_TYPE
from taskhub.web.query_values import FLAG_SCHEMA

_SUCCESS = {
    "200": "The answer.",
    "201": "It was made.",
    "202": "It was written down, and will be done.",
    "204": "It is done, and there is nothing more to say.",
}
_HEADERS = {
    401: ("WWW-Authenticate", "The scheme of `Authorization` that is expected.", {"type": "string"}),
    429: ("Retry-After", "Seconds to wait.", {"type": "integer", "minimum": 1}),
    503: ("Retry-After", "Seconds to wait, where that is known.", {"type": "integer", "minimum": 1}),
}


def complete_document(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Adds what can be said of every call at once: descriptions, problems' headers, spellings in queries.

    And makes the document one from which clients can be made: bodies have one form, schemas stand in it once, and
    nothing has a default, which a client would send where its caller says nothing.
    """
    components = result.setdefault("components", {})
    responses, schemas = components.setdefault("responses", {}), components.setdefault("schemas", {})
    for name, schema in schemas.items():
        schemas[name] = without_defaults(schema)
    schemas["Flag"] = FLAG_SCHEMA
    shared = SharedSchemas(schemas)
    for operation in _operations(result):
        if operation.get("security") == [{}]:
            del operation["security"]  # that none is needed is said by none
        _leave_one_form(operation)
        _spell_as_text(operation, schemas)
        for content in _contents(operation):
            content["schema"] = shared.share(without_defaults(content["schema"]))
        for status, response in operation["responses"].items():
            _say_what_it_means(status, response)
            operation["responses"][status] = _shared(int(status), response, responses)
        _require_body(operation, schemas)
    components["schemas"] = dict(sorted(schemas.items()))
    return result


def _contents(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Whatever has a schema: bodies, answers, parameters as JSON."""
    for place in (operation.get("requestBody", {}), *operation["responses"].values(), *operation.get("parameters", [])):
        yield from place.get("content", {}).values()


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from (operation for operation in path.values() if "responses" in operation)


def _say_what_it_means(status: str, response: dict[str, Any]) -> None:
    response["description"] = response.get("description") or _SUCCESS.get(status, "As the walker says.")
    if PROBLEM_TYPE in response.get("content", {}) and int(status) in _HEADERS:
        name, description, schema = _HEADERS[int(status)]
        response.setdefault("headers", {})[name] = {"description": description, "schema": schema}


def _shared(status: int, response: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """A problem that means what it means everywhere is written down once: the document is a third as long so."""
    if response["description"] != MEANING.get(status) or PROBLEM_TYPE not in response["content"]:
        return response
    name = FAMILY.get(status, errors.Problem).__name__
    shared[name] = response
    return {"$ref": f"#/components/responses/{name}"}


def _leave_one_form(operation: Mapping[str, Any]) -> None:
    """All calls that take JSON take forms as well; the document has those that say more, which is files."""
    contents = operation.get("requestBody", {}).get("content", {})
    if "application/json" in contents:
        for kind in set(contents) - {"application/json"}:
            if kind != MULTIPART or "file" not in contents[kind]["schema"].get("properties", {}):
                del contents[kind]


KINDS = {"type", "anyOf", "oneOf", "allOf"}  # words of a schema that say of which kind a value is


def _require_body(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Where a member of it is required, where it is the bytes of something, or JSON of any kind."""
    contents = operation.get("requestBody", {}).get("content", {}).values()
    bodies = [_resolved(content["schema"], schemas) for content in contents]
    if any(body.get("required") or body.get("format") == "binary" or not body.keys() & KINDS for body in bodies):
        operation["requestBody"]["required"] = True


def _spell_as_text(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """In a query and in a form all is text: there is no null but leaving out, and yes and no have several spellings."""
    for parameter in operation.get("parameters", []):
        if schema := parameter.get("schema"):
            parameter["description"] = f"{parameter.get('description', '')} {default_in_words(schema)}".strip()
            plain = without_defaults({word: value for word, value in schema.items() if word != "default"})
            parameter["schema"] = _as_text(plain) if parameter["in"] == "query" else plain
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if kind == MULTIPART:
            schema = content["schema"] = copy.deepcopy(_resolved(content["schema"], schemas))
            schema["properties"] = {name: _as_text(one) for name, one in schema.get("properties", {}).items()}


def _as_text(schema: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    rest = {name: value for name, value in schema.items() if name not in {"anyOf", "title"}}
    if rest.get("type") == "boolean" or any(kind.get("type") == "boolean" for kind in kinds):
        words = {name: rest[name] for name in ("description",) if name in rest}
        return {**words, "$ref": "#/components/schemas/Flag"}
    if len(kinds) == 1:
        return {**rest, **kinds[0]}
    return rest | ({"anyOf": kinds} if kinds else {})


def _resolved(schema: dict[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = schemas[name] if name else schema
    return resolved
