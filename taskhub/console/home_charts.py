"""`/console/charts`: what ended and was done, and how long it took and waited, over an hour, a day or a week."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from taskhub.console.charts import BarChart, Series
from taskhub.console.console_view import ConsoleView
from taskhub.errors import Rejected, invalid
from taskhub.runs.domain import State
from taskhub.runs.run_filter import RunFilter
from taskhub.runs.run_statistics import SPANS, Bucket, Grouping, Period, RunCount, count_runs, period
from taskhub.usage.services import UsageCount, count_usage


class ChartTime(NamedTuple):
    """A stretch of time up to now, by which of its buckets there is a bar, and how these are called."""

    words: str
    bucket: Bucket
    length: timedelta
    label: str


TIMES = {
    "hour": ChartTime("an hour", Bucket.MINUTE, timedelta(hours=1), "%H:%M UTC"),
    "day": ChartTime("a day", Bucket.HOUR, timedelta(days=1), "%a %H:%M UTC"),
    "week": ChartTime("a week", Bucket.HOUR, timedelta(days=7), "%a %d %b %H:%M UTC"),
}
STATES = (State.SUCCESS, State.REVOKED, State.FAILURE)


class ChartsView(ConsoleView):
    """A part of the first page, which comes after it: to count many runs takes its time."""

    def get(self, request: HttpRequest) -> HttpResponse:
        name = request.GET.get("time", "hour")
        if name not in TIMES:
            raise invalid("/time", "There is no such span of time.")
        time, now = TIMES[name], timezone.now()
        span = period(time.bucket, now, now - time.length + SPANS[time.bucket])
        charts, fault = [], ""
        try:
            charts = _run_charts(request.user, span, time)
        except Rejected as refusal:  # there are too many
            fault = refusal.detail
        charts += _usage_charts(request.user, span, time)
        context = {"chosen": name, "times": [(key, one.words) for key, one in TIMES.items()]}
        return render(request, "console/home_charts.html", {**context, "charts": charts, "fault": fault})


def _buckets(span: Period) -> list[datetime]:
    length = SPANS[span.bucket]
    return [span.since + number * length for number in range((span.until - span.since) // length)]


def _labels(span: Period, time: ChartTime) -> list[str]:
    return [f"{moment:{time.label}}" for moment in _buckets(span)]


def _run_charts(user: Any, span: Period, time: ChartTime) -> list[BarChart]:
    counts = count_runs(user, RunFilter(), span, Grouping.STATE)
    runs = {(count.bucket, count.group): count.runs for count in counts}
    series = [Series(str(state), [runs.get((at, str(state)), 0) for at in _buckets(span)]) for state in STATES]
    ended_well = [count for count in counts if count.group == State.SUCCESS]
    return [
        BarChart("Runs that ended", _labels(span, time), series),
        _seconds_chart("Duration, 95th percentile", span, time, ended_well, "duration"),
        _seconds_chart("Waited, 95th percentile", span, time, ended_well, "waiting"),
    ]


def _seconds_chart(title: str, span: Period, time: ChartTime, counts: Sequence[RunCount], what: str) -> BarChart:
    percentiles = {count.bucket: getattr(count, what) for count in counts}
    seconds = [(percentiles.get(moment) or {}).get("p95", 0) for moment in _buckets(span)]
    return BarChart(title, _labels(span, time), [Series("seconds", seconds)], unit=" s", adds_up=False)


def _usage_charts(user: Any, span: Period, time: ChartTime) -> list[BarChart]:
    counts = count_usage(user, since=span.since, until=span.until, length=SPANS[span.bucket])
    by_bucket = {count.bucket: count for count in counts}
    done = [by_bucket.get(moment, UsageCount(moment)) for moment in _buckets(span)]
    labels = _labels(span, time)
    pages = [Series("read", [one.pages for one in done]), Series("FAILURE", [one.failed_pages for one in done])]
    documents = [Series("inserted", [one.inserted for one in done]), Series("updated", [one.updated for one in done])]
    return [
        BarChart("Pages", labels, pages),
        BarChart("Documents", labels, documents),
        BarChart("Credits", labels, [Series("spent", [one.credits for one in done])]),
    ]
