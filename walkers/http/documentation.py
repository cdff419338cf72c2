"""Describes the registry's functions, and each walker, for the OpenAPI document."""

import copy
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from pydantic import TypeAdapter

from taskhub.runs.idempotency import KEY_PARAMETER
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import MULTIPART, response_header
from taskhub.web.problems import PROBLEM_TYPE
from walkers.authoring import sentinels
from walkers.authoring.sentinels import WalkerDefinition
from walkers.http import examples
from walkers.http.registry import CallFunction, json_type_of
from walkers.http.response_types import ResultPage, WalkFailedProblem

FILE = {
    "type": "string",
    "format": "binary",
    "contentMediaType": "application/octet-stream",
    "description": "A file for the walker; its field may have any name, and there may be several.",
}
COMPONENT = "#/components/schemas/{model}"
WAPI = "/js/wapi/{walker}"

_components: dict[str, Any] = {}  # referred to by the schemas of responses


def describe(view: Any, function: CallFunction, path: str) -> Any:
    """Describes the two operations of a view, and returns the view."""
    named = "<" in path
    name = "wapi" if named else function.name
    title = name.title().replace("_", "")
    common_options: dict[str, Any] = {
        "tags": [function.perform.__module__.rpartition(".")[2]],
        "summary": function.summary + (" (named in the path)" if named else ""),
        "description": function.description,
    }
    walks = 202 in function.response_types
    parameters = [_path_parameter()] if named else []
    if not function.reads:
        parameters.append(KEY_PARAMETER)
    if walks:
        parameters.append(response_header("Location", "Where to ask for its state.", 202))
    properties = _properties(function, without={"name"} if named else set())
    return extend_schema_view(
        get=extend_schema(
            operation_id=f"{name}_get",
            parameters=[*parameters, *_query(properties, function.example_arguments)],
            responses=_responses(function),
            examples=_examples(function),
            **common_options,
        ),
        post=extend_schema(
            operation_id=f"{name}_post",
            # The documents put it in the query of a POST, too.
            parameters=[*parameters, *_query({"is_async": properties["is_async"]} if walks else {}, {})],
            request=_bodies(title, _object(properties), with_files=walks),
            responses=_responses(function),
            examples=[*_request_examples(function, named), *_examples(function)],
            **common_options,
        ),
    )(view)


def _path_parameter() -> OpenApiParameter:
    return OpenApiParameter(
        "walker",
        str,
        OpenApiParameter.PATH,
        description="The walker's name.",
        examples=[OpenApiExample("echo", "echo")],
    )


def _properties(function: CallFunction, without: set[str]) -> dict[str, tuple[dict[str, Any], bool]]:
    """The schema of each parameter, and whether it is required."""
    schema = function.json_schema
    required = schema.get("required", [])
    return {
        name: (property_, name in required)
        for name, property_ in schema.get("properties", {}).items()
        if name not in without
    }


def _object(properties: Mapping[str, tuple[dict[str, Any], bool]]) -> dict[str, Any]:
    required = [name for name, (_, needed) in properties.items() if needed]
    schema = {name: property_ for name, (property_, _) in properties.items()}
    body = {"type": "object", "properties": schema, "additionalProperties": False}
    return body | ({"required": required} if required else {})


def _query(
    properties: Mapping[str, tuple[dict[str, Any], bool]], arguments: Mapping[str, Any]
) -> list[OpenApiParameter]:
    return [
        OpenApiParameter(
            name,
            schema,
            required=required,
            description=schema.get("description", ""),
            examples=[OpenApiExample("A call", arguments[name])] if name in arguments else [],
        )
        for name, (schema, required) in properties.items()
    ]


def _bodies(title: str, schema: dict[str, Any], *, with_files: bool) -> dict[str, Any]:
    """The fields as JSON; and, where files may come with them, as multipart whose structured fields are JSON text."""
    bodies: dict[str, Any] = {"application/json": schema | {"title": f"{title}Body"}}
    if with_files:
        json_texts = [name for name, one in schema["properties"].items() if json_type_of(one) in {"object", "array"}]
        encoding = {name: {"contentType": "application/json"} for name in json_texts}
        form = schema | {"title": f"{title}Form", "properties": schema["properties"] | {"file": FILE}}
        bodies[MULTIPART] = OpenApiRequest(form | {"additionalProperties": FILE}, encoding=encoding)
    return bodies


def _responses(function: CallFunction) -> dict[Any, Any]:
    """Bodies by the function's annotations, and the refusals that are its own."""
    answers = {status: OpenApiResponse(_schema_of(kind)) for status, kind in function.response_types.items()}
    refusals = {400, *function.problem_statuses} | ({403} if function.scope == "admin" or not function.reads else set())
    return {**answers, **problems(*refusals), **(_walker_failed() if 202 in function.response_types else {})}


def _walker_failed() -> dict[Any, Any]:
    """A problem with more members, or one without."""
    words = "The walker raised: `report` is what it had reported, `error` what it raised; or the Idempotency-Key was "
    response = OpenApiResponse(
        {"anyOf": [_schema_of(WalkFailedProblem), {"$ref": COMPONENT.format(model="Problem")}]},
        f"{words}used for another request.",
        [OpenApiExample("The walker failed", examples.WALKER_FAILED, status_codes=["422"], media_type=PROBLEM_TYPE)],
    )
    return {(422, PROBLEM_TYPE): response}


def _schema_of(kind: Any) -> dict[str, Any]:
    """A type's schema, of a page titled after what it lists; what it refers to is kept for the components."""
    schema = TypeAdapter(kind).json_schema(mode="serialization", ref_template=COMPONENT)
    _components.update(schema.pop("$defs", {}))
    if get_origin(kind) is ResultPage:
        schema["title"] = f"{get_args(kind)[0].__name__}Page"
    return schema


def _request_examples(function: CallFunction, named: bool) -> list[OpenApiExample]:
    arguments = {name: value for name, value in function.example_arguments.items() if not (named and name == "name")}
    return [OpenApiExample("A call", arguments, request_only=True)] if arguments else []


def _examples(function: CallFunction) -> list[OpenApiExample]:
    if function.example_answer is None:
        return []
    by_status = {"200": ("An answer", function.example_answer)}
    if 202 in function.response_types:
        by_status["202"] = ("Queued", examples.QUEUED)
    return [
        OpenApiExample(name, answer, response_only=True, status_codes=[status])
        for status, (name, answer) in by_status.items()
    ]


# The document as a whole


def add_walkers(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's hook: an entry for each walker, with its `ctx`; and how structured text is sent in a query."""
    components = result.setdefault("components", {}).setdefault("schemas", {})
    components.update(_components)
    generic = result["paths"].get(WAPI)
    if generic is not None:
        for definition in sentinels.global_sentinel().walkers.values():
            result["paths"][f"/js/wapi/{definition.name}"] = _entry(generic, definition, components)
    for operations in result["paths"].values():
        for operation in operations.values():
            _query_as_json(operation)
    return result


def _entry(generic: Mapping[str, Any], definition: WalkerDefinition, components: dict[str, Any]) -> dict[str, Any]:
    entry = copy.deepcopy(dict(generic))
    ctx = _ctx(definition, components)
    for method, operation in entry.items():
        operation["operationId"] = f"wapi_{definition.sentinel}_{definition.name}_{method}"
        operation["tags"] = [f"sentinel {definition.sentinel}"]
        operation["summary"] = f"Run {definition.name}"
        operation["description"] = definition.description
        operation["parameters"] = [parameter for parameter in operation["parameters"] if parameter["in"] != "path"]
        for example in operation["responses"]["200"]["content"]["application/json"]["examples"].values():
            example["value"] = {**example["value"], "report": []}  # what it reports only its author knows
        _put_ctx(operation, definition.name, ctx)
    return entry


def _example(ctx: Mapping[str, Any]) -> dict[str, Any]:
    """By the fields' own examples and defaults; of a required field without an example nothing can be said."""
    fields: dict[str, Any] = ctx.get("properties", {})
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    return defaults | {name: field["examples"][0] for name, field in fields.items() if field.get("examples")}


def _ctx(definition: WalkerDefinition, components: dict[str, Any]) -> dict[str, Any]:
    """The schema of a walker's `ctx`; what it refers to is added to the components under the walker's own name."""
    title = f"{definition.name}.ctx"
    schema = definition.ctx_schema.schema(ref_template=COMPONENT.replace("{", f"{title}.{{"))
    for name, component in schema.pop("$defs", {}).items():
        components[f"{title}.{name}"] = component | {"title": f"{title}.{name}"}
    return schema | {"title": title}


def _put_ctx(operation: dict[str, Any], walker: str, ctx: dict[str, Any]) -> None:
    required, example = ctx.get("required", []), _example(ctx)
    examples_ = {"ACall": {"value": example}} if set(required) <= example.keys() else {}
    for parameter in operation["parameters"]:
        if parameter["name"] == "ctx":
            parameter["schema"] = ctx
            parameter.pop("required", None)
            parameter.update({"required": True} if required else {})
            parameter.update({"examples": examples_} if examples_ else {})
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        schema["title"] = f"{walker}.{'form' if kind == MULTIPART else 'body'}"
        schema["properties"]["ctx"] = ctx
        schema.update({"required": ["ctx"]} if required else {})
        content.pop("examples", None)
        if examples_ and kind != MULTIPART:
            content["examples"] = {"ACall": {"value": {"ctx": example}}}


def _query_as_json(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        schema = parameter.get("schema", {})
        if parameter["in"] == "query" and schema.get("type") == "object":
            members = {name: parameter.pop(name) for name in ("schema", "examples") if name in parameter}
            parameter["content"] = {"application/json": members}
