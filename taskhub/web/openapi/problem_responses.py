"""Problems in the OpenAPI document: what each status means, and which ones a call can answer by what it is."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema_serializer
from rest_framework import serializers

from taskhub import errors
from taskhub.web.problems import PROBLEM_TYPE, problem_body

FAMILY: dict[int, type[errors.Problem]] = {
    kind.status: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Problem)
}
MEANING = {
    400: "A value is missing, unknown or wrong, or the query has U+0000; `errors` names each place.",
    401: "No credentials, or they are wrong, expired or revoked.",
    403: (
        "The API key lacks a scope, which `scope` names; or this is for staff; or a browser's session came without its "
        "CSRF token, or with GET to a call that writes."
    ),
    404: "There is no such thing, or it is another user's.",
    406: "A number of the body cannot be kept.",
    409: "The present state does not allow it; where that is a run's, `state` names it.",
    408: "The body did not arrive in time.",
    410: "What the cursor refers to is not kept any more.",
    411: "The body comes in chunks, is long, and its length is not known.",
    412: "`If-Match` names another version than the present one, which is `version`.",
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


def problems(*statuses: int, because: Mapping[int, str] | None = None) -> dict[tuple[int, str], OpenApiResponse]:
    """Entries for `responses` of `extend_schema`: problems with these statuses and those that `because` explains.

    Only for what a view answers besides the statuses that `HubAutoSchema` derives. `because` says what a status means
    at this call, where the general sentence falls short.
    """
    meaning = {**MEANING, **(because or {})}
    return {
        (status, PROBLEM_TYPE): problem_response(status, meaning[status]) for status in {*statuses, *(because or {})}
    }


def problem_response(status: int, meaning: str) -> OpenApiResponse:
    """A problem with an example."""
    kind = FAMILY.get(status, errors.Problem)
    places = [{"pointer": "/name", "detail": "This field is required."}] if status == 400 else []
    body = problem_body(kind(meaning.replace("`", ""), errors=places))
    example = OpenApiExample(kind.title, body, media_type=PROBLEM_TYPE, response_only=True, status_codes=[str(status)])
    return OpenApiResponse(ProblemSerializer, meaning, [example])
