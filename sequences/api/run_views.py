"""`/sequences`: sequences checked, run, and read step by step, by staff and by who has the permission."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sequences.serializers import (
    EXAMPLE_ID,
    EXAMPLE_RUN,
    EXAMPLE_SEQUENCE,
    EXAMPLE_WHOLE,
    SequenceFilters,
    SequenceRunSerializer,
    SubmissionSerializer,
    WholeSequenceRunSerializer,
)
from sequences.services.sequence_runs import (
    KIND,
    check_for_owner,
    key_scopes_of_owner,
    may_run,
    sequence_run,
    submit_sequence,
)
from taskhub.accounts.models import ApiKey
from taskhub.runs import queue as runs
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run
from taskhub.runs.waits import answer_when_ended
from taskhub.security.scopes import KeyScope, require_scopes
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header
from taskhub.web.rest_policies import JsoncParser
from taskhub.web.views import CheckedView


class SequenceParser(JsoncParser):
    """A sequence as the documents print it, whatever its content type."""

    media_type = "*/*"


ID = OpenApiParameter(
    "id",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="The run's id.",
    examples=[OpenApiExample("A run", EXAMPLE_ID, parameter_only=("id", OpenApiParameter.PATH))],
)
BODY_SCHEMA = {
    "type": "object",
    "description": "As docs/sequences.md says. The text may have comments and trailing commas.",
    "required": ["requests"],
    "properties": {
        "persistence": {"type": ["object", "null"]},
        "container": {"type": ["object", "null"]},
        "defaults": {"type": ["object", "null"]},
        "requests": {"type": "array", "items": {"type": "object"}},
        "on_failure": {"type": ["array", "null"], "items": {"type": "object"}},
        "finally": {"type": ["array", "null"], "items": {"type": "object"}},
    },
    "additionalProperties": False,
}
SENT_EXAMPLE = OpenApiExample("A sequence", EXAMPLE_SEQUENCE, request_only=True)
FAULTS = {400: "The sequence cannot run; `errors` names each fault's `path`, or `line` and `column`."}


class MayRunSequences(BasePermission):
    """Staff, and who has the permission `sequences.run_sequence`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return may_run(request.user)


class SequenceView(CheckedView):
    permission_classes = [IsAuthenticated, MayRunSequences]


class SequenceValidationView(SequenceView):
    key_scopes: ClassVar = {"POST": KeyScope.READ}
    parser_classes = [SequenceParser]
    throttle_scope = "read"

    @extend_schema(
        operation_id="sequences_validate",
        request={"application/json": BODY_SCHEMA},
        responses={
            200: OpenApiResponse({"type": "object", "properties": {"valid": {"const": True}}, "required": ["valid"]}),
            **problems(because=FAULTS),
        },
        examples=[
            SENT_EXAMPLE,
            OpenApiExample("It can run", {"valid": True}, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Check a sequence.

        Nothing is sent. Every fault is named, not only the first; so is each stored sequence that it calls and that the
        caller does not have.
        """
        check_for_owner(cast(Mapping[str, Any], request.data), request.user)  # what it is instead is a fault, too
        return Response({"valid": True})


class SequenceRunsView(SequenceView, GenericAPIView[Run]):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}
    parser_classes = [SequenceParser]
    serializer_class = SequenceRunSerializer
    list_parameters = frozenset({"state"})

    @extend_schema(
        operation_id="sequences_runs_list",
        parameters=[SequenceFilters],
        responses={200: SequenceRunSerializer(many=True)},
        examples=[OpenApiExample("A run", EXAMPLE_RUN, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """List runs of sequences.

        Newest first: your own; for staff everybody's.
        """
        filters = self.read_query(request, SequenceFilters)
        found = filters.filter.narrow(Run.objects.visible_to(request.user).filter(kind=KIND).brief())
        return self.get_paginated_response(SequenceRunSerializer(self.paginate_queryset(found), many=True).data)

    @extend_schema(
        operation_id="sequences_run",
        parameters=[SubmissionSerializer, KEY_PARAMETER, response_header("Location", "The run's address.", 200, 202)],
        request={"application/json": BODY_SCHEMA},
        responses={
            200: OpenApiResponse(WholeSequenceRunSerializer, "It has ended."),
            202: OpenApiResponse(WholeSequenceRunSerializer, "It is accepted."),
            **problems(because=FAULTS),
        },
        examples=[
            SENT_EXAMPLE,
            OpenApiExample("It has ended", EXAMPLE_WHOLE, response_only=True, status_codes=["200"]),
            OpenApiExample(
                "It is accepted",
                EXAMPLE_WHOLE
                | {"state": "PENDING", "result": None, "started_at": None, "finished_at": None, "steps": []},
                response_only=True,
                status_codes=["202"],
            ),
        ],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Run a sequence.

        It is accepted as a run, 202; with `wait` it is answered when the run has ended, 200, or as it is when the time
        is up, 202. An API key needs the scopes of the calls that the sequence makes in process (`JAC`), too.
        """
        return run_sequence(self, request, cast(Mapping[str, Any], request.data))


class SequenceRunView(SequenceView):
    @extend_schema(
        operation_id="sequences_runs_retrieve",
        parameters=[ID],
        responses={200: WholeSequenceRunSerializer},
        examples=[OpenApiExample("A run", EXAMPLE_WHOLE, response_only=True)],
    )
    def get(self, request: Request, id: UUID) -> Response:
        """Show a run of a sequence.

        Its result, its error, and its first 1,000 steps; all of them are at `steps`, and as a tree at `tree`.
        """
        run = sequence_run(run_id=id, user=request.user)
        return Response(WholeSequenceRunSerializer(run, context={"viewer": request.user}).data)


def run_sequence(view: CheckedView, request: Request, arguments: Mapping[str, Any]) -> HttpResponseBase:
    """Answers a call that runs a sequence, or a stored one; its query says how long to wait."""
    query = view.check_query(request, SubmissionSerializer)
    if isinstance(request.auth, ApiKey):
        require_scopes(request.auth, key_scopes_of_owner(arguments, request.user))

    def submit() -> Run:
        return submit_sequence(arguments=arguments, owner=request.user, **query["options"])

    return answer_submission(request, {"arguments": arguments, **query}, submit, query["wait"])


def answer_submission(
    request: Request, fields: Mapping[str, Any], submit: Callable[[], Run], seconds: float
) -> HttpResponseBase:
    """Answers a call with the run that it submits, when that has ended, or as it is after so many seconds."""

    def produce() -> Response:
        return _run_response(submit(), request.user)

    def finish(response: Response) -> HttpResponseBase:
        run_id = UUID(response.data["id"])

        def respond() -> Response:
            return _run_response(runs.visible_run(run_id=run_id, user=request.user), request.user)

        return answer_when_ended(request, run_ids=[run_id], seconds=seconds, respond=respond)

    return answer_once(request, fields, produce, finish if seconds else None)


def _run_response(run: Run, viewer: Any) -> Response:
    body: Mapping[str, Any] = WholeSequenceRunSerializer(run, context={"viewer": viewer}).data
    location = f"{settings.PUBLIC_URL}/sequences/runs/{run.pk}"
    return Response(body, 200 if run.ended else 202, headers={"Location": location})


urlpatterns = [
    path("sequences/validate", SequenceValidationView.as_view()),
    path("sequences/runs", SequenceRunsView.as_view()),
    path("sequences/runs/<uuid:id>", SequenceRunView.as_view()),
]
