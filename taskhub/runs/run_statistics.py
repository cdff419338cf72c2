"""Statistics of runs that have ended: how many, how long they took and how long they waited, by when they ended.

Hours that are over have their tallies; other runs are looked at one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from taskhub.db.plans import TimeIsUp, groups_by_hashing, time_limit
from taskhub.errors import Rejected, invalid
from taskhub.runs.models import Run, RunTally
from taskhub.runs.run_filter import RunFilter
from taskhub.runs.run_kinds import all_kinds
from taskhub.runs.run_tallies import EPOCH, HOUR, seconds_of_bin, tallied_until, tallies_of

BUCKETS_MAX = 1000
ROWS_MAX = 10_000
SECONDS_MAX = 5.0


class Bucket(StrEnum):
    """Spans of time in UTC, by each of which runs are counted."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class Grouping(StrEnum):
    """What runs of a bucket are told apart by."""

    STATE = "state"
    KIND = "kind"
    NAME = "name"
    QUEUE = "queue"
    NONE = "none"


SPANS = {Bucket.MINUTE: timedelta(minutes=1), Bucket.HOUR: timedelta(hours=1), Bucket.DAY: timedelta(days=1)}
DEFAULT_BUCKETS = {Bucket.MINUTE: 60, Bucket.HOUR: 24, Bucket.DAY: 30}


@dataclass(frozen=True)
class Period:
    """From the beginning of one bucket to the end of another."""

    bucket: Bucket
    since: datetime
    until: datetime


@dataclass(frozen=True)
class RunCount:
    """Runs of one bucket and group that have ended, and how many seconds they took and waited: percentiles, to within
    5 %, or None where none of them had begun. `group` is empty where nothing is told apart.
    """

    bucket: datetime
    group: str
    runs: int
    duration: Mapping[str, float] | None
    waiting: Mapping[str, float] | None


def period(bucket: Bucket, now: datetime, since: datetime | None = None, until: datetime | None = None) -> Period:
    """Whole buckets that hold these times; up to now, and so many as are usual, where nothing is said.

    Raises `Rejected` for none, for more than `BUCKETS_MAX`, and for those that reach beyond the calendar.
    """
    span = SPANS[bucket]
    try:
        end = _floor(until or now, span)
        if end < (until or now):
            end += span
        begin = _floor(since, span) if since else end - DEFAULT_BUCKETS[bucket] * span
    except OverflowError:
        raise invalid("/until", "The buckets reach beyond the calendar, which has the years 1 to 9999.") from None
    if begin >= end:
        raise invalid("/since", "It is not before the end.")
    if (end - begin) // span > BUCKETS_MAX:
        raise invalid("/since", f"These are more than {BUCKETS_MAX} buckets.")
    return Period(bucket, begin, end)


def count_runs(user: Any, chosen: RunFilter, period: Period, grouping: Grouping) -> list[RunCount]:
    """What ended in a period of the runs that a user may see, oldest buckets first; buckets and groups without runs
    are left out. The filter is by kind, name and owner.

    Raises `Rejected` where there are more than `ROWS_MAX`, or where it takes longer than `SECONDS_MAX`.
    """
    tallied = period.since if period.bucket is Bucket.MINUTE else tallied_until()
    conditions = {"kind__in": chosen.kind, "name__in": chosen.name, "owner__in": chosen.owner}
    tallies = RunTally.objects.visible_to(user).filter(
        hour__gte=period.since,
        hour__lt=min(tallied, period.until),
        **{name: values for name, values in conditions.items() if values},
    )
    runs = chosen.narrow(Run.objects.visible_to(user))
    fresh = runs.filter(finished_at__gte=max(tallied, period.since), finished_at__lt=period.until)
    statement, values = _statement(tallies, fresh, grouping, SPANS[period.bucket])
    try:
        with time_limit(SECONDS_MAX), groups_by_hashing(), connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.fetchall()
    except TimeIsUp:
        raise Rejected(
            f"There are too many runs to be counted in {SECONDS_MAX:g} seconds: ask for a shorter time, or for fewer "
            "of them by `name`, `kind` or `owner`."
        ) from None
    if len(rows) > ROWS_MAX:
        raise invalid("/by", f"There are more than {ROWS_MAX} buckets and groups: ask for a shorter time.")
    return [RunCount(at, group, number, _times(*took), _times(*waited)) for at, group, number, took, waited in rows]


_TALLIED = ("hour", "kind", "name", "state", "runs", "took_bins", "took_runs", "waited_bins", "waited_runs")
_COUNT = """
WITH tallies AS MATERIALIZED (
    SELECT date_bin(%s, hour, %s) AS bucket, {group} AS label, runs, took_bins, took_runs, waited_bins, waited_runs
    FROM ({tallied} UNION ALL SELECT {columns} FROM ({others}) AS others) AS found
    LEFT JOIN unnest(%s::text[], %s::text[]) AS queues (queue_kind, queue) ON queue_kind = kind
), bins AS MATERIALIZED (
    SELECT bucket, label, measure, bin, sum(number) AS number FROM (
        SELECT bucket, label, 'took' AS measure, bin, number
        FROM tallies, unnest(took_bins, took_runs) AS took (bin, number)
        UNION ALL
        SELECT bucket, label, 'waited', bin, number
        FROM tallies, unnest(waited_bins, waited_runs) AS waited (bin, number)
    ) AS unnested GROUP BY bucket, label, measure, bin
), ranked AS (
    SELECT bucket, label, measure, bin, sum(number) OVER (PARTITION BY bucket, label, measure ORDER BY bin) AS upto,
        sum(number) OVER (PARTITION BY bucket, label, measure) AS total
    FROM bins
), percentiles AS (
    SELECT bucket, label, {percentiles} FROM ranked GROUP BY bucket, label
)
SELECT bucket, label, runs, ARRAY[took_50, took_95], ARRAY[waited_50, waited_95]
FROM (SELECT bucket, label, sum(runs)::bigint AS runs FROM tallies GROUP BY bucket, label) AS counts
LEFT JOIN percentiles USING (bucket, label)
ORDER BY bucket, label LIMIT %s
"""
_PERCENTILES = ", ".join(
    f"min(bin) FILTER (WHERE measure = '{measure}' AND upto >= total * 0.{percent}) AS {measure}_{percent}"
    for measure in ("took", "waited")
    for percent in (50, 95)
)
_GROUPS = {
    Grouping.STATE: "state",
    Grouping.KIND: "kind",
    Grouping.NAME: "name",
    Grouping.QUEUE: "coalesce(queue, 'none')",
    Grouping.NONE: "''",
}


def _statement(
    tallies: QuerySet[RunTally], fresh: QuerySet[Run], grouping: Grouping, span: timedelta
) -> tuple[str, list[Any]]:
    """The statement that counts what is tallied, and runs that are not; and its values."""
    tallied, tallied_values = tallies.values(*_TALLIED).query.sql_with_params()
    others, other_values = tallies_of(fresh, min(span, HOUR))
    statement = _COUNT.format(
        group=_GROUPS[grouping],
        tallied=tallied,
        columns=", ".join(_TALLIED),
        others=others,
        percentiles=_PERCENTILES,
    )
    kinds = all_kinds()
    known = [kind.name for kind in kinds], [kind.queue for kind in kinds]
    return statement, [span, EPOCH, *tallied_values, *other_values, *known, ROWS_MAX + 1]


def _times(p50: int | None, p95: int | None) -> dict[str, float] | None:
    return None if p50 is None or p95 is None else {"p50": seconds_of_bin(p50), "p95": seconds_of_bin(p95)}


def _floor(moment: datetime, span: timedelta) -> datetime:
    return moment - (moment - EPOCH) % span
