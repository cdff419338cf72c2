"""`/sequences/runs/{id}/resume`: runs that go on from where others failed."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponseBase
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request

from sequences.api.run_views import ID, SequenceParser, SequenceView, answer_submission
from sequences.serializers import EXAMPLE_WHOLE, WaitSerializer, WholeSequenceRunSerializer
from sequences.services.resumptions import resume
from sequences.services.sequence_runs import key_scopes_of_owner, sequence_run
from taskhub.errors import invalid
from taskhub.runs.idempotency import KEY_PARAMETER
from taskhub.runs.models import Run
from taskhub.security.scopes import KeyScope, require_scopes
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header

RESUMPTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "persistence": {"type": ["object", "null"], "description": "Takes the place of what was saved, key by key."}
    },
    "additionalProperties": False,
}


class SequenceResumptionView(SequenceView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}
    parser_classes = [SequenceParser]

    @extend_schema(
        operation_id="sequences_runs_resume",
        parameters=[ID, WaitSerializer, KEY_PARAMETER, response_header("Location", "The new run's address.", 200, 202)],
        request={"application/json": RESUMPTION_SCHEMA},
        responses={
            200: OpenApiResponse(WholeSequenceRunSerializer, "It has ended."),
            202: OpenApiResponse(WholeSequenceRunSerializer, "It is accepted."),
            **problems(because={409: "The run has not failed, or its owner's account is not active."}),
        },
        examples=[
            OpenApiExample("Another token", {"persistence": {"token": "t2"}}, request_only=True),
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
    def post(self, request: Request, id: UUID) -> HttpResponseBase:
        """Resume a run that failed.

        A new run goes on from the step that failed, with what was saved; its `retry_of` is the old one. What its owner
        needed to start it is asked again. With `wait` it is answered when the new run has ended, 200.
        """
        query = self.check_query(request, WaitSerializer)
        persistence = _persistence(self.read_object(request))

        def submit() -> Run:
            run = sequence_run(run_id=id, user=request.user)
            require_scopes(request.auth, key_scopes_of_owner(run.arguments, run.owner))
            return resume(run=run, persistence=persistence)

        return answer_submission(request, {"persistence": persistence, **query}, submit, query["wait"])


def _persistence(sent: dict[str, Any]) -> dict[str, Any]:
    for name in sent.keys() - {"persistence"}:
        raise invalid(f"/{name[:100]}", "There is no such name here.")
    persistence = {} if sent.get("persistence") is None else sent["persistence"]
    if not isinstance(persistence, dict):
        raise invalid("/persistence", "This is an object.")
    return persistence


urlpatterns = [path("sequences/runs/<uuid:id>/resume", SequenceResumptionView.as_view())]
