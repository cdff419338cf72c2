"""Usage: added where something is done, rolled up by maintenance, and counted by time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from taskhub.usage.models import AMOUNTS, UsageEntry

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MINUTES_KEPT = timedelta(hours=2)  # then only hours are told apart
HOURS_KEPT = timedelta(days=35)
BATCH = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SUMS = ", ".join(f"sum({name})::bigint AS {name}" for name in AMOUNTS)
_COUNT = f"""
SELECT date_bin(%(length)s, at, %(epoch)s) AS bucket, {_SUMS} FROM usage_usageentry
WHERE at >= %(since)s AND at < %(until)s AND {{whose}} GROUP BY bucket ORDER BY bucket
"""  # noqa: S608 (composed of constants)
_OF_OWNER, _OF_ALL = "owner_id = %(owner)s", "span = ANY(%(spans)s)"  # each has an index
_ROLL_UP = f"""
WITH taken AS (
    DELETE FROM usage_usageentry WHERE id = ANY(ARRAY(
        SELECT id FROM usage_usageentry WHERE span = %(fine)s AND at < %(until)s
        ORDER BY at LIMIT %(batch)s FOR UPDATE SKIP LOCKED
    ))
    RETURNING owner_id, date_bin(%(length)s, at, %(epoch)s) AS bucket, {", ".join(AMOUNTS)}
), added AS (
    INSERT INTO usage_usageentry (owner_id, at, span, {", ".join(AMOUNTS)})
    SELECT owner_id, bucket, %(coarse)s, {_SUMS} FROM taken GROUP BY owner_id, bucket
)
SELECT count(*) FROM taken
"""  # noqa: S608 (composed of constants)


@dataclass(frozen=True)
class UsageCount:
    """What was done from `bucket` on, up to the next bucket."""

    bucket: datetime
    pages: int = 0
    failed_pages: int = 0
    inserted: int = 0
    updated: int = 0
    credits: int = 0


def add_usage(owner_id: UUID, **amounts: int) -> None:
    """Adds what the caller's transaction does for a user; `amounts` are named as in `AMOUNTS`."""
    if any(amounts.values()):
        UsageEntry.objects.create(owner_id=owner_id, **amounts)


def count_usage(user: Any, *, since: datetime, until: datetime, length: timedelta) -> list[UsageCount]:
    """What was done in buckets of a length, oldest first: for a user, for staff everybody's. Empty ones are left out.

    What is older than `MINUTES_KEPT` is only known by the hour.
    """
    whose = _OF_ALL if user.is_staff else _OF_OWNER
    values: dict[str, Any] = {"length": length, "epoch": EPOCH, "since": since, "until": until, "owner": user.pk}
    spans = [0, int(MINUTE.total_seconds()), int(HOUR.total_seconds())]
    with connection.cursor() as cursor:
        cursor.execute(_COUNT.format(whose=whose), {**values, "spans": spans})
        return [UsageCount(*row) for row in cursor.fetchall()]


def roll_up() -> int:
    """Adds a batch of entries up, to one a minute and user, then an hour and user; removes old ones. Says how many."""
    now = timezone.now()
    minutes = _roll_up(timedelta(0), MINUTE, now - MINUTE)
    hours = _roll_up(MINUTE, HOUR, now - MINUTES_KEPT)
    old = UsageEntry.objects.filter(span=int(HOUR.total_seconds()), at__lt=now - HOURS_KEPT).order_by("at")
    removed, _ = UsageEntry.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:BATCH])).delete()
    return minutes + hours + removed


def _roll_up(fine: timedelta, coarse: timedelta, until: datetime) -> int:
    whole = until - (until - EPOCH) % coarse
    values: dict[str, Any] = {
        "fine": int(fine.total_seconds()),
        "coarse": int(coarse.total_seconds()),
        "length": coarse,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ROLL_UP, {**values, "until": whole, "batch": BATCH, "epoch": EPOCH})
        taken: int = cursor.fetchone()[0]
    return taken
