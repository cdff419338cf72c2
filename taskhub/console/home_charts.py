"""`/console/charts`: how many runs ended and how long they took, over an hour, a day or a month."""

from collections.abc import Sequence
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from taskhub.console.charts import BarChart, Series
from taskhub.console.console_view import ConsoleView
from taskhub.errors import Rejected, invalid
from taskhub.runs.domain import State
from taskhub.runs.run_filter import RunFilter
from taskhub.runs.run_statistics import SPANS, Bucket, Grouping, Period, RunCount, count_runs, period

CHOICES = {Bucket.MINUTE: "an hour", Bucket.HOUR: "a day", Bucket.DAY: "30 days"}
LABELS = {Bucket.MINUTE: "%H:%M", Bucket.HOUR: "%a %H:%M", Bucket.DAY: "%d %b"}
STATES = (State.SUCCESS, State.REVOKED, State.FAILURE)


class ChartsView(ConsoleView):
    """A part of the first page, which comes after it: to count many runs takes its time."""

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            bucket = Bucket(request.GET.get("bucket", Bucket.MINUTE))
        except ValueError:
            raise invalid("/bucket", "There is no such span of time.") from None
        span = period(bucket, timezone.now())
        charts, fault = [], ""
        try:
            counts = count_runs(request.user, RunFilter(), span, Grouping.STATE)
            charts = [_ended_chart(span, counts), _duration_chart(span, counts)]
        except Rejected as refusal:  # there are too many
            fault = refusal.detail
        context = {
            "bucket": bucket,
            "choices": CHOICES.items(),
            "charts": charts,
            "fault": fault,
        }
        return render(request, "console/home_charts.html", context)


def _buckets(span: Period) -> list[datetime]:
    length = SPANS[span.bucket]
    return [span.since + number * length for number in range((span.until - span.since) // length)]


def _ended_chart(span: Period, counts: Sequence[RunCount]) -> BarChart:
    runs = {(count.bucket, count.group): count.runs for count in counts}
    buckets = _buckets(span)
    series = [Series(str(state), [runs.get((moment, str(state)), 0) for moment in buckets]) for state in STATES]
    return BarChart("Runs that ended", _labels(span), series)


def _duration_chart(span: Period, counts: Sequence[RunCount]) -> BarChart:
    ended_well = [count for count in counts if count.group == State.SUCCESS]
    seconds = {count.bucket: count.duration["p95"] for count in ended_well if count.duration}
    values = [seconds.get(moment, 0) for moment in _buckets(span)]
    return BarChart(
        "Duration of 95 of 100 that succeeded, at most",
        _labels(span),
        [Series("seconds", values)],
        unit=" s",
        adds_up=False,
    )


def _labels(span: Period) -> list[str]:
    return [f"{moment:{LABELS[span.bucket]}}" for moment in _buckets(span)]
