"""`/sequences/dry-run`, `/sequences/import` and `/sequences/schema.json`: what helps authors of sequences."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from sequences.api.run_views import BODY_SCHEMA, SequenceParser, SequenceView
from sequences.domain.imports import FORMATS, import_source
from sequences.domain.language_schema import language_schema
from sequences.domain.validation_errors import InvalidSequence
from sequences.serializers import EXAMPLE_SEQUENCE
from sequences.services.dry_runs import dry_run_in_turn
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.problem_responses import problems

_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 1}


def _entry(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": _entry(**properties)}


_ANSWER = {
    "type": "object",
    "properties": {
        "status": {"type": ["integer", "null"], "minimum": 100, "maximum": 599},
        "headers": {"type": ["object", "null"]},
        "body": {},
    },
    "additionalProperties": False,
}
DRY_RUN_SCHEMA = {
    "type": "object",
    "required": ["sequence"],
    "properties": {
        "sequence": BODY_SCHEMA,
        "answers": {
            "type": ["object", "null"],
            "description": "By the paths of steps: an answer for each request of the step, or a list for one after the "
            "other. What has none gets an empty one with status 200.",
            "additionalProperties": {"anyOf": [_ANSWER, {"type": "array", "items": _ANSWER}]},
        },
    },
    "additionalProperties": False,
}
REPORT_SCHEMA = _entry(
    requests=_list(
        path=_TEXT, title=_TEXT, attempt=_COUNT, method=_TEXT, url=_TEXT, headers={"type": "object"}, body={}
    ),
    errors=_list(path=_TEXT, detail=_TEXT),
    nothing_found=_list(path=_TEXT, expression=_TEXT, times=_COUNT),
    unused_answers={"type": "array", "items": _TEXT},
    stopped={"anyOf": [_entry(path=_TEXT, detail=_TEXT), {"type": "null"}]},
)
EXAMPLE_SENT = {
    "sequence": EXAMPLE_SEQUENCE,
    "answers": {"requests[0]": {"status": 200, "body": {"status": "ok"}}},
}
EXAMPLE_REPORT: dict[str, Any] = {
    "requests": [
        {
            "path": "requests[0]",
            "title": "",
            "attempt": 1,
            "method": "GET",
            "url": "http://localhost:8000/healthz",
            "headers": {},
            "body": None,
        }
    ],
    "errors": [],
    "nothing_found": [],
    "unused_answers": [],
    "stopped": None,
}

IMPORT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["format", "source"],
    "properties": {
        "format": {"enum": [*FORMATS]},
        "source": {"type": ["string", "object"], "description": "For curl text; else JSON, or its text."},
    },
    "additionalProperties": False,
}
IMPORTED_SCHEMA = _entry(sequence={"type": "object"}, warnings=_list(path=_TEXT, detail=_TEXT))
EXAMPLE_SOURCE = {"format": "curl", "source": "curl -L https://api.example/users -H 'Authorization: Bearer abc'"}
EXAMPLE_IMPORTED = {
    "sequence": {
        "requests": [{"method": "GET", "url": "https://api.example/users", "auth": {"bearer": "{{secret.TOKEN}}"}}]
    },
    "warnings": [{"path": "commands[0]", "detail": "Store the value as a secret: PUT /secrets/TOKEN."}],
}


class SequenceDryRunView(SequenceView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}  # it computes with secrets, as a run does
    parser_classes = [SequenceParser]

    @extend_schema(
        operation_id="sequences_dry_run",
        request={"application/json": DRY_RUN_SCHEMA},
        responses={
            200: OpenApiResponse(REPORT_SCHEMA, "What it would send, also where it would stop."),
            **problems(because={400: "`errors` names the `path` of each fault of the sequence or the answers."}),
        },
        examples=[
            OpenApiExample("A sequence", EXAMPLE_SENT, request_only=True),
            OpenApiExample("What it would send", EXAMPLE_REPORT, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Try a sequence without sending anything.

        Its requests get the answers that are given with it, and are listed as they would be sent, secrets masked;
        `nothing_found` are the expressions that found nothing, and `stopped` tells where the sequence would stop.
        Pauses are not waited for. Nothing is stored.
        """
        sent = cast(Mapping[str, Any], request.data)
        if not isinstance(sent, Mapping):
            raise InvalidSequence([{"path": "", "detail": "This is an object with a sequence."}])
        if unknown := [name for name in sent if name not in ("sequence", "answers")]:
            raise InvalidSequence(
                {"path": name[:100], "detail": "There is no such key here."} for name in unknown[:100]
            )
        return Response(dry_run_in_turn(owner=request.user, sequence=sent.get("sequence"), answers=sent.get("answers")))


class SequenceImportView(SequenceView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}
    throttle_scope = "read"

    @extend_schema(
        operation_id="sequences_import",
        request={"application/json": IMPORT_SCHEMA},
        responses={
            200: OpenApiResponse(IMPORTED_SCHEMA, "The sequence, and what its author has to do."),
            **problems(because={400: "`errors` names the `path` of each fault of the source."}),
        },
        examples=[
            OpenApiExample("A curl command", EXAMPLE_SOURCE, request_only=True),
            OpenApiExample("The sequence", EXAMPLE_IMPORTED, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Make a sequence of requests that another tool wrote down.

        Of curl commands, a HAR, or a collection of Postman (v2.1); the last two as objects or as text. What is secret
        in the source becomes a `secret.NAME`, which a warning tells to store. Nothing is stored or sent.
        """
        sent = self.read_object(request)
        if unknown := [name for name in sent if name not in IMPORT_SCHEMA["properties"]]:
            raise InvalidSequence(
                {"path": name[:100], "detail": "There is no such key here."} for name in unknown[:100]
            )
        return Response(import_source(sent.get("format"), sent.get("source")))


class LanguageSchemaView(SequenceView):
    @extend_schema(
        operation_id="sequences_schema",
        responses={200: OpenApiResponse({"type": "object"}, "A JSON Schema (2020-12).")},
        examples=[OpenApiExample("Its beginning", {"title": "A sequence", "type": "object"}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Describe the language of sequences.

        As a JSON Schema, for editors. It accepts what `POST /sequences/validate` accepts, and refuses what has wrong
        keys or types; what is in expressions it does not check.
        """
        return Response(language_schema())


urlpatterns = [
    path("sequences/schema.json", LanguageSchemaView.as_view()),
    path("sequences/dry-run", SequenceDryRunView.as_view()),
    path("sequences/import", SequenceImportView.as_view()),
]
