"""`/runs/cancel` and `/runs/retry`: all runs that a filter matches, in the background."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from pydantic import Field, WithJsonSchema
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.errors import invalid
from taskhub.jsontools.schema import ObjectSchema
from taskhub.runs.bulk.services import KIND, Action, count_matched, submit_bulk_change
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.run_filter import FILTER, RunFilter
from taskhub.runs.run_options import FIELDS, run_options
from taskhub.runs.serializers import EXAMPLE, RunSerializer
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.schemas import object_of, response_header
from taskhub.web.views import CheckedView

Post = TypeVar("Post", bound=Callable[..., Response])
_FILTER = Annotated[
    dict[str, Any],
    Field(description="Which runs: the filters of `GET /runs` by name, one at least."),
    WithJsonSchema(FILTER.schema()),
]
_ALL = Annotated[bool, Field(description="Instead of a filter: all of them.")]
_DRY_RUN = Annotated[bool, Field(description="Says how many it would be, and changes nothing.")]
_SENT = ObjectSchema(
    "BulkChangeSent", {"filter": (_FILTER, {}), "all": (_ALL, False), "dry_run": (_DRY_RUN, False), **FIELDS}
)
_MATCHED = object_of("BulkMatched", {"matched": 17})


def _described(action: Action, words: str) -> Callable[[Post], Post]:
    run = EXAMPLE | {"kind": KIND, "name": str(action), "state": "PENDING", "started_at": None, "finished_at": None}
    return extend_schema(
        operation_id=f"runs_bulk_{action}",
        tags=["runs"],
        parameters=[KEY_PARAMETER, response_header("Location", "The run's address.", 202)],
        request={"application/json": _SENT.schema()},
        responses={
            200: OpenApiResponse(
                _MATCHED, "What a dry run would change.", [OpenApiExample("So many", {"matched": 17})]
            ),
            202: OpenApiResponse(RunSerializer, words),
        },
        examples=[
            OpenApiExample("Of a tag", {"filter": {"tag": "nightly"}, "dry_run": True}, request_only=True),
            OpenApiExample("A run", run, response_only=True, status_codes=["202"]),
        ],
    )


class BulkView(CheckedView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}
    action: ClassVar[Action]

    def answer(self, request: Request) -> Response:
        body = self.check_body(request, _SENT)
        chosen = _chosen(body)

        def produce() -> Response:
            if body.get("dry_run"):
                return Response({"matched": count_matched(action=self.action, filter=chosen, user=request.user)})
            run = submit_bulk_change(
                action=self.action, filter=chosen, user=request.user, key=request.auth, **run_options(body)
            )
            return Response(RunSerializer(run).data, 202, headers={"Location": f"/runs/{run.pk}"})

        return answer_once(request, body, produce)


def _chosen(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The filter of a call. Raises `Rejected` for none: what was left out by mistake must not mean all."""
    chosen: Mapping[str, Any] = body.get("filter", {})
    if RunFilter.read(chosen, at="/filter").is_empty != bool(body.get("all")):
        raise invalid("/filter", 'Name at least one filter, or say {"all": true} instead.')
    return chosen


class BulkCancelView(BulkView):
    action = Action.CANCEL

    @_described(Action.CANCEL, "The run that cancels them.")
    def post(self, request: Request) -> Response:
        """Cancel many runs.

        Those of yours that match the filter and have not ended; staff may name another `owner`. Runs that are accepted
        after the call are left alone, and so are deliveries, notices and removals unless `kind` names them.
        """
        return self.answer(request)


class BulkRetryView(BulkView):
    action = Action.RETRY

    @_described(Action.RETRY, "The run that tries them again.")
    def post(self, request: Request) -> Response:
        """Try many runs again.

        Those of yours that match the filter, have ended, and were not tried again before: so a call that is made twice
        starts none twice. Without `state` they are those that failed. What cannot be tried again is named in the
        result of the run.
        """
        return self.answer(request)


urlpatterns = [
    path("runs/cancel", BulkCancelView.as_view()),
    path("runs/retry", BulkRetryView.as_view()),
]
