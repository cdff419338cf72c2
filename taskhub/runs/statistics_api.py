"""`/runs/stats`, `/usage`, `/queues` and `/workers`: what ended and was done by time, what waits, and who works."""

from dataclasses import asdict, replace
from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.errors import Forbidden
from taskhub.jsontools.field_types import format_timestamp
from taskhub.runs.queue.queue_states import queue_states, worker_states
from taskhub.runs.run_filter import RunFilters
from taskhub.runs.run_statistics import SPANS, Bucket, Grouping, count_runs, period
from taskhub.usage.services import count_usage
from taskhub.web.openapi.schemas import nullable, object_of
from taskhub.web.query_values import TimeFilter
from taskhub.web.views import CheckedView, QuerySerializer

TIME = "2026-01-31T12:00:00Z"
TIMES = {"p50": 0.84, "p95": 12.5}
EXAMPLE_COUNT = {"bucket": TIME, "group": "SUCCESS", "runs": 1204, "duration": TIMES, "waiting": TIMES}
EXAMPLE_USAGE = {
    "bucket": TIME,
    "pages": 240,
    "failed_pages": 3,
    "inserted": 4800,
    "updated": 120,
    "credits": 240,
}
EXAMPLE_QUEUE = {
    "name": "walkers",
    "waiting": 12,
    "oldest_seconds": 3.2,
    "running": 4,
    "slots": 4,
    "workers": 1,
}
EXAMPLE_WORKER = {
    "name": "walkers@host",
    "host": "host",
    "queues": ["walkers"],
    "slots": 4,
    "runs": ["0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"],
    "since": TIME,
    "seen_at": TIME,
}
_PERCENTILES = object_of("RunSeconds", TIMES, p50={"type": "number"}, p95={"type": "number"})
COUNT = object_of("RunCount", EXAMPLE_COUNT, duration=nullable(_PERCENTILES), waiting=nullable(_PERCENTILES))
USAGE = object_of("UsageCount", EXAMPLE_USAGE)
QUEUE = object_of("QueueState", EXAMPLE_QUEUE, oldest_seconds={"type": ["number", "null"]})
WORKER = object_of("WorkerState", EXAMPLE_WORKER)


def _results(item: dict[str, Any], example: dict[str, Any], words: str) -> OpenApiResponse:
    results = {"type": "array", "items": item}
    schema = {
        "title": f"{item['title']}List",
        "type": "object",
        "properties": {"results": results},
        "required": ["results"],
        "additionalProperties": False,
    }
    return OpenApiResponse(schema, words, [OpenApiExample(words, {"results": [example]}, response_only=True)])


class StatisticsQuery(RunFilters):
    """The query of `GET /runs/stats`."""

    state = tag = error = parent = retry_of = schedule = None  # type: ignore[assignment]
    finished_since = finished_until = q = None  # type: ignore[assignment]
    takes_metadata = False
    bucket = serializers.ChoiceField(
        [str(bucket) for bucket in Bucket], default=str(Bucket.HOUR), help_text="By which span of time, in UTC"
    )
    by = serializers.ChoiceField(
        [str(grouping) for grouping in Grouping], default=str(Grouping.STATE), help_text="What is told apart"
    )
    since = TimeFilter(
        required=False, help_text="Ended at this time or later; else 60 minutes, 24 hours or 30 days before `until`"
    )
    until = TimeFilter(required=False, help_text="Ended before this time; else now")


class RunStatisticsView(CheckedView):
    list_parameters = frozenset({"kind", "name", "owner"})

    @extend_schema(
        operation_id="runs_stats",
        tags=["runs"],
        parameters=[StatisticsQuery],
        responses={200: _results(COUNT, EXAMPLE_COUNT, "The counts")},
    )
    def get(self, request: Request) -> Response:
        """Count runs.

        What has ended, by the minute, hour or day of its end: how many runs, and how many seconds half (`p50`) and 95
        of 100 (`p95`) of them took at most, all attempts included, and waited before they began; seconds are right to
        within 5 %. Your own runs; for staff everybody's, or those of an `owner`. Times are widened to whole buckets,
        1,000 at most; those in which nothing ended are left out.
        """
        query = self.read_query(request, StatisticsQuery)
        values, filters = query.validated_data, query.filter
        filters.check_viewer(request.user)
        span = period(Bucket(values["bucket"]), timezone.now(), values.get("since"), values.get("until"))
        chosen = replace(filters, since=None, until=None)
        counts = count_runs(request.user, chosen, span, Grouping(values["by"]))
        return Response({"results": [asdict(one) | {"bucket": format_timestamp(one.bucket)} for one in counts]})


class UsageQuery(QuerySerializer):
    bucket = serializers.ChoiceField(
        [str(bucket) for bucket in Bucket], default=str(Bucket.HOUR), help_text="By which span of time, in UTC"
    )
    since = TimeFilter(
        required=False, help_text="Done at this time or later; else 60 minutes, 24 hours or 30 days before `until`"
    )
    until = TimeFilter(required=False, help_text="Done before this time; else now")


class UsageView(CheckedView):
    @extend_schema(
        operation_id="usage",
        tags=["runs"],
        parameters=[UsageQuery],
        responses={200: _results(USAGE, EXAMPLE_USAGE, "What was done")},
    )
    def get(self, request: Request) -> Response:
        """Count what was done.

        By the minute, hour or day: pages that extraction was shown and that failed, the credits that they cost, and
        documents that uploads inserted and updated. Yours; for staff everybody's. Times are widened to whole buckets,
        1,000 at most; those in which nothing was done are left out. Minutes are known for two hours, then hours alone,
        for 35 days.
        """
        values = self.check_query(request, UsageQuery)
        span = period(Bucket(values["bucket"]), timezone.now(), values.get("since"), values.get("until"))
        counts = count_usage(request.user, since=span.since, until=span.until, length=SPANS[span.bucket])
        return Response({"results": [asdict(one) | {"bucket": format_timestamp(one.bucket)} for one in counts]})


class QueuesView(CheckedView):
    @extend_schema(
        operation_id="queues",
        tags=["runs"],
        responses={200: _results(QUEUE, EXAMPLE_QUEUE, "The queues")},
    )
    def get(self, request: Request) -> Response:
        """List the queues.

        Of the whole hub, whosesoever the runs are: how many could begin now (`waiting`, of each kind counted up to
        10,000) and for how many seconds the oldest could, how many go on, and the slots of the workers there are.
        """
        self.check_query(request)
        return Response({"results": [asdict(queue) for queue in queue_states()]})


class WorkersView(CheckedView):
    @extend_schema(
        operation_id="workers",
        tags=["operating"],
        responses={200: _results(WORKER, EXAMPLE_WORKER, "The workers")},
    )
    def get(self, request: Request) -> Response:
        """List the workers.

        Those that are alive: their slots, the runs that they carry out, since when they are there and when they last
        said so. For staff.
        """
        if not request.user.is_staff:
            raise Forbidden("Only staff may see the workers.")
        self.check_query(request)
        workers = [
            asdict(worker)
            | {"runs": [str(run_id) for run_id in worker.runs]}
            | {"since": format_timestamp(worker.since), "seen_at": format_timestamp(worker.seen_at)}
            for worker in worker_states()
        ]
        return Response({"results": workers})


urlpatterns = [
    path("runs/stats", RunStatisticsView.as_view()),
    path("usage", UsageView.as_view()),
    path("queues", QueuesView.as_view()),
    path("workers", WorkersView.as_view()),
]
