"""What the OpenAPI document says about every call alike: problems, their headers, and how a caller is known.

An operation's `responses` are its own answers and these: `{200: Receipt, **problems(401, 404, *BODY)}`.
"""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.authentication import SessionScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema_serializer
from rest_framework import serializers

from taskhub import errors
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.problems import PROBLEM_TYPE, problem_body

BODY = (400, 411, 413, 415)  # what a call that reads a body may answer
ALWAYS = (429, 503)  # what every call may answer; `problems` adds them
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

FAMILY: dict[int, type[errors.Problem]] = {
    kind.status: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Problem)
}
MEANING = {
    400: "A value is missing, unknown or wrong; `errors` names each place.",
    401: "No credentials, or they are wrong, expired or revoked.",
    403: "This is for staff; or a browser's session came without its CSRF token, or with GET to a call that writes.",
    404: "There is no such thing, or it is another user's.",
    406: "Documents are no objects, or do not match the schema; `errors` names the first ten lines.",
    409: "The present state does not allow it; where that is a run's, `state` names it.",
    411: "The body comes in chunks, and its length is not known.",
    413: "The body is larger than is allowed, which is `limit` bytes.",
    415: "The content type or content encoding is not one that this call reads.",
    416: "The range does not reach into the file; `Content-Range` tells its size.",
    422: "It was understood, and the work failed; or the Idempotency-Key was used for another request.",
    429: "The rate limit is reached; `Retry-After` says for how many seconds.",
    500: "A fault on our side; it is in the log.",
    503: "Something that taskhub leans on does not answer; try again after `Retry-After` seconds.",
}


@extend_schema_serializer(component_name="ProblemPlace")
class PlaceSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="What is wrong there.")
    pointer = serializers.CharField(required=False, help_text="JSON pointer (RFC 6901), such as `/ctx/value`.")
    path = serializers.CharField(required=False, help_text="Dotted path, such as `requests[1].url`.")
    line = serializers.IntegerField(required=False, help_text="Line of a text or an upload, from 1.")
    column = serializers.IntegerField(required=False, help_text="Column in that line, from 1.")


@extend_schema_serializer(component_name="Problem")
class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457. Some problems carry more members, which their description names."""

    type = serializers.CharField(help_text="Which kind of problem; made for programs.")
    title = serializers.CharField(help_text="The kind of problem in words.")
    status = serializers.IntegerField(help_text="The HTTP status again.")
    detail = serializers.CharField(help_text="What went wrong this time.")
    errors = PlaceSerializer(many=True, help_text="The places it concerns.")  # type: ignore[assignment]
    success = serializers.BooleanField(help_text="Always false.")


PROBLEM = ProblemSerializer
PAGE = [  # for `parameters` of a list's `extend_schema`
    OpenApiParameter(
        "limit",
        {
            "type": "integer",
            "minimum": 1,
            "maximum": NewestFirstPagination.max_page_size,
            "default": NewestFirstPagination.page_size,
        },
        description="How many at most.",
    ),
    OpenApiParameter("cursor", str, description="As in `next` or `previous` of another page."),
]


def problems(*statuses: int, because: Mapping[int, str] | None = None) -> dict[tuple[int, str], OpenApiResponse]:
    """Entries for `responses` of `extend_schema`: these statuses, 429 and 503, as `application/problem+json`.

    `because` says of a status what it means at this call, where the general sentence falls short.
    """
    meaning = {**MEANING, **(because or {})}
    wanted = sorted({*statuses, *meaning.keys() & (because or {}).keys(), *ALWAYS})
    return {
        (status, PROBLEM_TYPE): OpenApiResponse(PROBLEM, meaning[status], [_example(status, meaning[status])])
        for status in wanted
    }


def response_header(name: str, description: str, *statuses: int, kind: type = str) -> OpenApiParameter:
    """A header that answers with these statuses carry, for `parameters` of `extend_schema`."""
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description, response=list(statuses))


def page_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a page of a list."""
    return NewestFirstPagination().get_paginated_response_schema({"type": "array", "items": item})


def object_of(example: Mapping[str, Any], **special: Any) -> dict[str, Any]:
    """The schema of an object that looks like the example; `special` says what one alone does not show."""
    properties = {name: special.get(name, _schema_of(value)) for name, value in example.items()}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _schema_of(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array", "items": _schema_of(value[0]) if value else {}}
        case dict():
            return object_of(value) if value else {"type": "object"}
    return {}


def _example(status: int, meaning: str) -> OpenApiExample:
    kind = FAMILY.get(status, errors.Problem)
    places = [{"pointer": "/name", "detail": "This field is required."}] if status == 400 else []
    body = problem_body(kind(meaning.replace("`", ""), errors=places))
    return OpenApiExample(kind.title, body, media_type=PROBLEM_TYPE, response_only=True, status_codes=[str(status)])


class StrictBody(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = "taskhub.accounts.serializers.Strict"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        describe: Any = auto_schema._map_serializer
        schema = describe(self.target, direction, bypass_extensions=True)
        pairs = {given: [needed] for given, needed in self.target.goes_with.items()}
        return {**schema, "additionalProperties": False, **({"dependentRequired": pairs} if pairs else {})}


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "taskhub.accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "`Authorization: token <token>` (or `Bearer`, in any case). `POST /user/token/` gives one.",
        }


class HeaderSessionScheme(SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "taskhub.accounts.authentication.HeaderSession"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "taskhub.accounts.authentication.ApiKeyAuthentication"
    name = ["apiKeyHeader", "apiKeyQuery"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, str]]:
        said = "`POST /user/apikey` gives one."
        return [
            {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": said},
            {"type": "apiKey", "in": "query", "name": "api_key", "description": said},
        ]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]  # either, not both
