"""What is done to the finished OpenAPI document: drf-spectacular's hook `complete_document`."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from taskhub import errors
from taskhub.web.openapi.problem_responses import FAMILY, MEANING
from taskhub.web.openapi.schemas import FORMS
from taskhub.web.problems import PROBLEM_TYPE

YES_OR_NO = {"type": "string", "enum": ["true", "false", "1", "0", "yes", "no"]}
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
    """Adds what can be said of every call at once: descriptions, problems' headers, spellings in queries."""
    responses = result.setdefault("components", {}).setdefault("responses", {})
    schemas = result["components"].setdefault("schemas", {})
    for operation in _operations(result):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["schema"] = _with_shared_definitions(content["schema"], schemas)
        for status, response in operation["responses"].items():
            _say_what_it_means(status, response)
            operation["responses"][status] = _shared(int(status), response, responses)
        _require_body(operation, result)
        _spell_as_text(operation, result)
    return result


def _with_shared_definitions(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema, with what stood in its own `$defs` among the document's: references begin at the document's root."""
    definitions = schema.get("$defs")
    if not definitions:
        return schema
    rest = {name: value for name, value in schema.items() if name != "$defs"}
    moved = json.loads(json.dumps([rest, definitions]).replace('"#/$defs/', '"#/components/schemas/'))
    for name, definition in moved[1].items():
        assert schemas.setdefault(name, definition) == definition, f"Two schemas are named {name}"
    return cast(dict[str, Any], moved[0])


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


def _require_body(operation: dict[str, Any], document: Mapping[str, Any]) -> None:
    contents = operation.get("requestBody", {}).get("content", {}).values()
    if any(_resolved(content["schema"], document).get("required") for content in contents):
        operation["requestBody"]["required"] = True


def _spell_as_text(operation: dict[str, Any], document: Mapping[str, Any]) -> None:
    """In a query and in a form all is text: there is no null but leaving out, and yes and no have several spellings."""
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query" and "schema" in parameter:
            parameter["schema"] = _as_text(parameter["schema"])
            for example in parameter.get("examples", {}).values():
                if isinstance(example["value"], bool):
                    example["value"] = str(example["value"]).lower()
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if kind in FORMS:
            schema = content["schema"] = copy.deepcopy(_resolved(content["schema"], document))
            schema["properties"] = {name: _as_text(one) for name, one in schema.get("properties", {}).items()}


def _as_text(schema: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    rest = {name: value for name, value in schema.items() if name != "anyOf" and (name, value) != ("default", None)}
    if len(kinds) == 1:
        rest |= kinds[0]
    elif any(kind.get("type") == "boolean" for kind in kinds):
        rest["type"] = "boolean"
    elif kinds:
        rest["anyOf"] = kinds
    return _yes_or_no(rest) if rest.get("type") == "boolean" else rest


def _yes_or_no(schema: dict[str, Any]) -> dict[str, Any]:
    default = {"default": str(schema["default"]).lower()} if "default" in schema else {}
    return schema | YES_OR_NO | default


def _resolved(schema: dict[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return resolved
