"""The calls of deliveries: show where a task's results go, test that, and list a process's deliveries."""

from typing import Any, ClassVar

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api import examples
from extraction.api.views import ExtractionView, documented_array
from extraction.domain.kind_names import DELIVERY
from extraction.services import processes
from extraction.services.deliveries import queue_test_deliveries
from extraction.services.tasks import visible_task
from taskhub.errors import Conflict
from taskhub.jsontools.field_types import format_timestamp
from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run
from taskhub.runs.waits import answer_when_ended
from taskhub.security.masking import mask_value
from taskhub.security.scopes import KeyScope
from taskhub.web.views import QuerySerializer

WAIT_MAX = 60  # seconds
SHOWN_MAX = 100


def delivery_of(run: Run) -> dict[str, Any]:
    return {
        "to": run.name,
        "state": run.state,
        "attempt": run.attempt,
        "error": (run.error or {}).get("message"),
        "next_attempt_at": format_timestamp(run.not_before) if run.state == State.RETRY and run.not_before else None,
        "run": str(run.pk),
        "finished_at": format_timestamp(run.finished_at) if run.finished_at else None,
    }


class DeliveryTestQuery(QuerySerializer):
    wait = serializers.FloatField(default=0, min_value=0, max_value=WAIT_MAX, help_text="Seconds to wait for its end.")


class TaskDeliveryView(ExtractionView):
    @extend_schema(
        operation_id="extraction_tasks_delivery",
        responses={200: documented_array("Destinations", {"type": "object"}, examples.DESTINATION)},
    )
    def get(self, request: Request, id: str) -> Response:
        """Show where a task's results go.

        As it was sent in `delivery`, without what is secret in it.
        """
        return Response(mask_value(visible_task(id=id, user=request.user).delivery))


class TestDeliveryView(ExtractionView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="extraction_tasks_delivery_test",
        parameters=[DeliveryTestQuery, KEY_PARAMETER],
        responses={202: documented_array("Deliveries", examples.DELIVERY_SCHEMA, examples.DELIVERY)},
    )
    def post(self, request: Request, id: str) -> HttpResponseBase:
        """Test a task's delivery.

        Writes a small file to each destination, as a run each; `wait` answers when they have ended.
        """
        task = visible_task(id=id, user=request.user)
        seconds = self.check_query(request, DeliveryTestQuery)["wait"]
        deliveries: list[Run] = []

        def produce() -> Response:
            if not task.delivery:
                raise Conflict("The task has no delivery.")
            deliveries.extend(queue_test_deliveries(task=task))
            return Response([delivery_of(run) for run in deliveries], 202)

        def finish(_: Response) -> HttpResponseBase:
            run_ids = [run.pk for run in deliveries]

            def respond() -> Response:
                waited = [runs.visible_run(run_id=run_id, user=request.user) for run_id in run_ids]
                return Response([delivery_of(run) for run in waited], 202)

            return answer_when_ended(request, run_ids=run_ids, seconds=seconds, respond=respond)

        return answer_once(request, {}, produce, finish)


class ProcessDeliveriesView(ExtractionView):
    @extend_schema(
        operation_id="extraction_processes_deliveries",
        responses={200: documented_array("Deliveries", examples.DELIVERY_SCHEMA, examples.DELIVERY)},
    )
    def get(self, request: Request, id: str) -> Response:
        """List a process's deliveries.

        What became of each; `POST /runs/{run}/retry` tries one again.
        """
        process = processes.visible_process(id=id, user=request.user)
        rows = Run.objects.filter(parent=process.run_id, kind=DELIVERY) if process.run_id else Run.objects.none()
        return Response([delivery_of(run) for run in rows.order_by("pk")[:SHOWN_MAX]])
