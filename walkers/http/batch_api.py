"""`/runs/batch`: many walkers, submitted to the background by one call."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from django.http import HttpResponseBase
from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.errors import invalid
from taskhub.jsontools.schema import REQUIRED, ObjectSchema, check_each
from taskhub.runs.domain import State
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run
from taskhub.runs.run_options import FIELDS
from taskhub.runs.serializers import EXAMPLE
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.schemas import object_of
from taskhub.web.views import CheckedView
from walkers.http.calls.walker_runs import Ctx, MaybeSentinel, NodeRef, RunAt, WalkerName
from walkers.walks.batch_submission import accept_batch
from walkers.walks.principal import Principal

CALLS_MAX = 1_000
_CALL = ObjectSchema(
    "BatchCall",
    {
        "name": (WalkerName, REQUIRED),
        "ctx": (Ctx, {}),
        "nd": (NodeRef, None),
        "snt": (MaybeSentinel, None),
        "run_at": (RunAt, None),
        **FIELDS,
    },
)
_BATCH = ObjectSchema("Batch", {"runs": (Annotated[list[Any], Field(min_length=1, max_length=CALLS_MAX)], REQUIRED)})
_BODY: dict[str, Any] = {
    "title": "Batch",
    "type": "object",
    "properties": {"runs": {"type": "array", "minItems": 1, "maxItems": CALLS_MAX, "items": _CALL.schema()}},
    "required": ["runs"],
    "additionalProperties": False,
}
_SENT = {"runs": [{"name": "echo", "ctx": {"value": number}, "tags": ["nightly"]} for number in (1, 2)]}
_ACCEPTED = {"id": EXAMPLE["id"], "state": "PENDING"}
_ANSWER = object_of(
    "AcceptedBatch",
    {"runs": [_ACCEPTED]},
    runs={
        "type": "array",
        "items": object_of("AcceptedRun", _ACCEPTED, state={"type": "string", "enum": [str(state) for state in State]}),
    },
)


class BatchView(CheckedView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="runs_batch",
        tags=["runs"],
        parameters=[KEY_PARAMETER],
        request={"application/json": _BODY},
        responses={202: _ANSWER},
        examples=[
            OpenApiExample("Two walkers", _SENT, request_only=True),
            OpenApiExample("They are accepted", {"runs": [_ACCEPTED] * 2}, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Run many walkers.

        Up to 1,000 calls of walkers, all accepted or none: what is wrong in one of them is named by its place, such as
        `/runs/3/ctx/value`. Each is as in `walker_run` with `is_async`, and waits for a worker also where there is none
        yet. The answer has their runs in the same order.
        """
        body = self.check_body(request, _BATCH)
        calls = check_each(body["runs"], _check_call, at="/runs")
        runs: list[Run] = []

        def produce() -> Response:
            runs[:] = accept_batch(Principal(request.user), calls)
            return _response(runs)

        # What the commit has changed: what its concurrency leaves out is revoked by now.
        return answer_once(request, body, produce, lambda _: _response(runs))


def _check_call(call: Any, at: str) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        raise invalid(at, "Must be an object.")
    return _CALL.check(call, at=at)


def _response(runs: list[Run]) -> Response:
    return Response({"runs": [{"id": str(run.pk), "state": run.state} for run in runs]}, 202)


urlpatterns = [path("runs/batch", BatchView.as_view())]
