"""Statistics of runs that have ended: how many, how long they took and how long they waited, by when they ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from taskhub.db.plans import TimeIsUp, time_limit
from taskhub.errors import Rejected, invalid
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import all_kinds

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
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Period:
    """From the beginning of one bucket to the end of another."""

    bucket: Bucket
    since: datetime
    until: datetime


@dataclass(frozen=True)
class RunCount:
    """Runs of one bucket and group that have ended, and how many seconds they took and waited: percentiles, or None
    where none of them had begun. `group` is empty where nothing is told apart.
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


def count_runs(runs: QuerySet[Run], period: Period, grouping: Grouping) -> list[RunCount]:
    """What ended of the runs in a period, oldest buckets first; buckets and groups without runs are left out.

    Raises `Rejected` where there are more than `ROWS_MAX`, or where it takes longer than `SECONDS_MAX`.
    """
    ended = runs.order_by().filter(finished_at__gte=period.since, finished_at__lt=period.until)
    columns = ("kind", "name", "state", "created_at", "not_before", "started_at", "finished_at")
    statement, values = ended.values(*columns).query.sql_with_params()
    kinds = all_kinds()
    known = ([kind.name for kind in kinds], [kind.queue for kind in kinds])
    try:
        with time_limit(SECONDS_MAX), connection.cursor() as cursor:
            said: list[Any] = [SPANS[period.bucket], EPOCH, *values, *known, ROWS_MAX + 1]
            cursor.execute(_COUNT.format(ended=statement, group=_GROUPS[grouping]), said)
            rows = cursor.fetchall()
    except TimeIsUp:
        raise Rejected(
            f"There are too many runs to be counted in {SECONDS_MAX:g} seconds: ask for a shorter time, or for fewer "
            "of them by `name`, `kind` or `owner`."
        ) from None
    if len(rows) > ROWS_MAX:
        raise invalid("/by", f"There are more than {ROWS_MAX} buckets and groups: ask for a shorter time.")
    return [RunCount(at, group, number, _times(took), _times(waited)) for at, group, number, took, waited in rows]


# What was given a time to begin waits from then on; `not_before` may also be that of a later attempt.
_COUNT = """
SELECT date_bin(%s, finished_at, %s) AS bucket, {group} AS label, count(*),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY date_part('epoch', finished_at - started_at))
        FILTER (WHERE started_at IS NOT NULL),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY greatest(0, date_part('epoch', started_at - CASE
            WHEN not_before > created_at AND not_before <= started_at THEN not_before ELSE created_at
        END))
    ) FILTER (WHERE started_at IS NOT NULL)
FROM ({ended}) AS ended LEFT JOIN unnest(%s::text[], %s::text[]) AS queues (queue_kind, queue) ON queue_kind = kind
GROUP BY bucket, label ORDER BY bucket, label LIMIT %s
"""
_GROUPS = {
    Grouping.STATE: "state",
    Grouping.KIND: "kind",
    Grouping.NAME: "name",
    Grouping.QUEUE: "coalesce(queue, 'none')",
    Grouping.NONE: "''",
}


def _times(percentiles: list[float] | None) -> dict[str, float] | None:
    return None if percentiles is None else {"p50": round(percentiles[0], 3), "p95": round(percentiles[1], 3)}


def _floor(moment: datetime, span: timedelta) -> datetime:
    return moment - (moment - EPOCH) % span
