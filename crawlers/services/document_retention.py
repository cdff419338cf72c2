"""Retention of a stream's documents: those that are too old, or too many, are removed, the oldest first."""

from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from crawlers.models import CrawlerTask, Document, Stream
from crawlers.services.document_removal import perform_document_removal, queue_retention
from crawlers.services.document_selection import last_of_stretch
from taskhub.db.plans import reads_along_indexes
from taskhub.runs.queue.execution import Execution

BATCH = 10_000  # rows that are looked at at once
CHECK_MINUTES = 10
STREAMS_AT_ONCE = 100

# A version that is too old goes by itself where a newer one shows. Where the one that shows goes, all versions go, for
# none of them is to show again, and a tombstone takes their place.
_DROP = """
WITH counted AS MATERIALIZED (
    SELECT id, key, task_id, at, shown, count(*) FILTER (WHERE shown) OVER (ORDER BY id) AS place FROM (
        SELECT id, key, task_id, at, rank = (
            SELECT max(other.rank) FROM crawlers_document AS other
            WHERE other.stream_id = document.stream_id AND other.key = document.key
        ) AS shown FROM crawlers_document AS document
        WHERE id > %(after)s AND id <= %(upto)s AND stream_id = %(stream)s ORDER BY id
    ) AS looked_at
), dropped AS MATERIALIZED (
    SELECT id, key, task_id, shown FROM counted
    WHERE at < %(since)s::timestamptz OR (shown AND place <= %(surplus)s)
), gone AS (
    DELETE FROM crawlers_document WHERE id = ANY(ARRAY(
        SELECT id FROM dropped UNION
        SELECT version.id FROM dropped JOIN LATERAL (
            SELECT id FROM crawlers_document AS every
            WHERE every.stream_id = %(stream)s AND every.key = dropped.key OFFSET 0
        ) AS version ON true WHERE dropped.shown
    )) RETURNING id
), marked AS (
    INSERT INTO crawlers_tombstone (id, stream_id, key, task)
    SELECT nextval(pg_get_serial_sequence('crawlers_document', 'id')), %(stream)s, key,
        (SELECT fid FROM crawlers_task WHERE crawlers_task.id = dropped.task_id)
    FROM dropped WHERE shown
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM dropped WHERE shown)
"""


def perform_removal_run(execution: Execution) -> None:
    """The work of a run that removes documents: of what was deleted, or of what a stream does not keep."""
    if not execution.run.arguments.get("retention"):
        perform_document_removal(execution)
        return
    removed = _apply_retention(execution, execution.run.arguments["stream"])
    with transaction.atomic():
        execution.succeed({"removed": removed})


def _apply_retention(execution: Execution, stream_id: int) -> int:
    """Removes what the stream does not keep any more, batch by batch; returns how many rows.

    Not while documents of a deleted task are waiting for their removal: these are counted then, and later.
    """
    removed: int = 0
    position: int = 0
    while True:
        with reads_along_indexes(), connection.cursor() as cursor:
            streams = Stream.objects.select_for_update(no_key=True).filter(pk=stream_id, removed_at__isnull=True)
            stream = streams.first()
            if stream is None or CrawlerTask.objects.filter(stream=stream, removed_at__isnull=False).exists():
                return removed
            _, last = last_of_stretch(stream.pk, position, BATCH)
            if last is None:
                return removed
            values = _limits(stream) | {"stream": stream.pk, "after": position, "upto": last}
            position = last
            cursor.execute(_DROP, values)
            gone, no_longer_shown = cursor.fetchone()
            if gone:
                Stream.objects.filter(pk=stream.pk).update(
                    documents=F("documents") - no_longer_shown, revision=F("revision") + 1
                )
        removed += gone
        execution.set_progress(removed, message="documents removed")
        if not gone and values["surplus"] <= 0:
            return removed


def _limits(stream: Stream) -> dict[str, Any]:
    """Since when documents are kept, and how many there are too many."""
    days, most = stream.retention_days, stream.retention_documents
    since = timezone.now() - timedelta(days=days) if days is not None else None
    return {"since": since, "surplus": stream.documents - most if most is not None else 0}


def queue_retentions() -> int:
    """Submits the removal for streams that have more than they keep, each looked at every few minutes; how many."""
    due = timezone.now() - timedelta(minutes=CHECK_MINUTES)
    limited = Q(retention_days__isnull=False) | Q(retention_documents__lt=F("documents"))
    streams = Stream.objects.filter(limited, Q(checked_at__isnull=True) | Q(checked_at__lt=due), removed_at=None)
    count = 0
    for stream in streams.select_related("owner")[:STREAMS_AT_ONCE]:
        Stream.objects.filter(pk=stream.pk).update(checked_at=timezone.now())
        if _has_surplus(stream):
            queue_retention(stream=stream)
            count += 1
    return count


def _has_surplus(stream: Stream) -> bool:
    limits = _limits(stream)
    if limits["surplus"] > 0:
        return True
    if limits["since"] is None:
        return False
    with reads_along_indexes():
        oldest = Document.objects.filter(stream=stream).order_by("pk").values_list("at", flat=True).first()
    return oldest is not None and oldest < limits["since"]
