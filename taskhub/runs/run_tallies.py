"""Tallies of runs: what ended in an hour is counted once, when the hour is over, so that statistics of weeks need not
look at each run.

Seconds are counted in bins, each ten percent longer than the one before, so that histograms of several hours can be
added up; the middle of a bin is within five percent of all that is in it. What is removed later, such as a sample,
stays counted; of a removed account nothing is left.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Max, Min, QuerySet
from django.utils import timezone

from taskhub.db.plans import groups_by_hashing
from taskhub.runs.models import Run, RunTally

HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Where the bins from 1 on begin, in seconds: from a millisecond to years. What is shorter is in bin 0.
BIN_STARTS = [0.001 * 1.1**number for number in range(260)]

# Of a run that was given a time to begin; `not_before` may also be that of a later attempt.
_BEGAN_TO_WAIT = "CASE WHEN not_before > created_at AND not_before <= started_at THEN not_before ELSE created_at END"
# What never began has no bin.
_TALLIES = f"""
SELECT hour, owner_id, kind, name, state, (sum(number) FILTER (WHERE measure = 'took'))::int AS runs,
    coalesce(array_agg(bin) FILTER (WHERE measure = 'took' AND bin IS NOT NULL), '{{{{}}}}') AS took_bins,
    coalesce(array_agg(number) FILTER (WHERE measure = 'took' AND bin IS NOT NULL), '{{{{}}}}') AS took_runs,
    coalesce(array_agg(bin) FILTER (WHERE measure = 'waited' AND bin IS NOT NULL), '{{{{}}}}') AS waited_bins,
    coalesce(array_agg(number) FILTER (WHERE measure = 'waited' AND bin IS NOT NULL), '{{{{}}}}') AS waited_runs
FROM (
    SELECT date_bin(%s, finished_at, %s) AS hour, owner_id, kind, name, state, measure,
        width_bucket(date_part('epoch', time), %s)::smallint AS bin, count(*)::int AS number
    FROM ({{ended}}) AS ended CROSS JOIN LATERAL (
        VALUES ('took', finished_at - started_at), ('waited', started_at - {_BEGAN_TO_WAIT})
    ) AS measured (measure, time)
    GROUP BY 1, 2, 3, 4, 5, 6, 7
) AS counted
GROUP BY hour, owner_id, kind, name, state
"""  # noqa: S608 (composed of constants)
_ADD = """
INSERT INTO runs_runtally
    (hour, owner_id, kind, name, state, runs, took_bins, took_runs, waited_bins, waited_runs)
{tallies} ON CONFLICT DO NOTHING
"""
# A run ends at a time within the transaction that ends it: while none goes on that is older than the end of an hour,
# nothing can be added to the hour.
_OLDEST_TRANSACTION = """
SELECT coalesce(min(xact_start), clock_timestamp()) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
"""


def tallies_of(runs: QuerySet[Run], span: timedelta) -> tuple[str, list[Any]]:
    """A statement that tallies runs which have ended, by spans of time in place of hours; and its values."""
    columns = ("owner_id", "kind", "name", "state", "created_at", "not_before", "started_at", "finished_at")
    ended, values = runs.order_by().values(*columns).query.sql_with_params()
    return _TALLIES.format(ended=ended), [span, EPOCH, BIN_STARTS, *values]


def seconds_of_bin(bin: int) -> float:
    """The middle of a bin, by ratio."""
    return 0.0 if bin == 0 else round(BIN_STARTS[bin - 1] * 1.1**0.5, 3)


def tallied_until() -> datetime:
    """The end of the last hour that is tallied. All hours before it are, as far back as runs are kept."""
    last = RunTally.objects.aggregate(last=Max("hour"))["last"]
    return last + HOUR if last else EPOCH


def tally_hour() -> bool:
    """Tallies the next hour in which runs ended, if it is over, as a whole; returns whether it did."""
    since = max(tallied_until(), floor_hour(_kept_since()) + HOUR)
    first = Run.objects.filter(finished_at__gte=since).order_by().aggregate(first=Min("finished_at"))["first"]
    if first is None:
        return False
    hour = floor_hour(first)
    if _oldest_transaction() < hour + HOUR:
        return False
    tallies, values = tallies_of(Run.objects.filter(finished_at__gte=hour, finished_at__lt=hour + HOUR), HOUR)
    with groups_by_hashing(), connection.cursor() as cursor:
        cursor.execute(_ADD.format(tallies=tallies), values)
    return True


def prune_tallies() -> int:
    """Removes what was tallied of hours of which no run is kept; returns how many rows."""
    removed, _ = RunTally.objects.filter(hour__lt=floor_hour(_kept_since())).delete()
    return removed


def floor_hour(moment: datetime) -> datetime:
    return moment - (moment - EPOCH) % HOUR


def _oldest_transaction() -> datetime:
    """When the oldest transaction began that goes on; now where none does."""
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST_TRANSACTION)
        (oldest,) = cursor.fetchone()
    return oldest  # type: ignore[no-any-return]


def _kept_since() -> datetime:
    return timezone.now() - timedelta(days=settings.RUN_RETENTION_DAYS)
