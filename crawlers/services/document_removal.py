"""Removal of the documents of deleted tasks and streams, which readers do not see any more, in the background."""

from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from crawlers.domain.kind_names import DOCUMENT_REMOVAL
from crawlers.models import Crawler, CrawlerTask, External, Stream
from taskhub.db.plans import reads_along_indexes
from taskhub.runs import queue as runs
from taskhub.runs.queue.execution import Execution

BATCH = 10_000

# The stream has one document less for each that no other task has a row of, deleted or not: see `document_store`. A
# version that no higher one hides leaves a tombstone, for readers of changes.
_DELETE_OF_TASK = """
WITH gone AS (
    DELETE FROM crawlers_document WHERE id IN (
        SELECT id FROM crawlers_document
        WHERE id > %(after)s AND id <= %(last)s AND stream_id = %(stream)s AND task_id = %(task)s
        ORDER BY id LIMIT %(batch)s
    )
    RETURNING id, key, rank
), marked AS (
    INSERT INTO crawlers_tombstone (id, stream_id, key, task)
    SELECT nextval(pg_get_serial_sequence('crawlers_document', 'id')), %(stream)s, key, %(fid)s FROM gone
    WHERE rank >= coalesce((
        SELECT max(other.rank)
        FROM crawlers_document AS other JOIN crawlers_task AS of_task ON of_task.id = other.task_id
        WHERE other.stream_id = %(stream)s AND other.key = gone.key AND other.task_id <> %(task)s
            AND of_task.removed_at IS NULL
    ), 0)
)
SELECT count(*), coalesce(max(id), %(last)s), count(*) FILTER (WHERE NOT EXISTS (
    SELECT FROM crawlers_document AS other
    WHERE other.stream_id = %(stream)s AND other.key = gone.key AND other.task_id <> %(task)s
))
FROM gone
"""
_DELETE_OF_STREAM = """
DELETE FROM crawlers_document WHERE id IN (
    SELECT id FROM crawlers_document WHERE stream_id = %(stream)s LIMIT %(batch)s
)
"""
_DELETE_TOMBSTONES = """
DELETE FROM crawlers_tombstone WHERE id IN (
    SELECT id FROM crawlers_tombstone WHERE stream_id = %(stream)s ORDER BY id LIMIT %(batch)s
)
"""


def queue_removal(*, owner: Any, stream: Stream, task: CrawlerTask | None = None) -> None:
    """Submits the removal of a task's documents, or of a whole stream.

    The run is written in the caller's transaction, so what is marked as deleted is removed whichever process dies.
    """
    arguments = {"stream": stream.pk} | ({"task": task.pk} if task else {})
    name = f"remove documents of {'a task' if task else 'a stream'}"
    runs.submit(kind=DOCUMENT_REMOVAL, owner=owner, name=name, arguments=arguments)


def queue_retention(*, stream: Stream) -> None:
    """Submits the removal of what a stream does not keep any more. Of one stream one goes on at a time."""
    runs.submit(
        kind=DOCUMENT_REMOVAL,
        owner=stream.owner,
        name="remove documents past their retention",
        arguments={"stream": stream.pk, "retention": True},
        alone_as=f"retention {stream.pk}",
    )


def perform_document_removal(execution: Execution) -> None:
    """Removes documents batch by batch, so that a kill costs one batch, and uploads wait for one at most."""
    stream_id, task_id = execution.run.arguments["stream"], execution.run.arguments.get("task")
    removed = _remove_of_task(execution, stream_id, task_id) if task_id else _remove_of_stream(execution, stream_id)
    with transaction.atomic():
        if task_id:
            CrawlerTask.objects.filter(pk=task_id, removed_at__isnull=False).delete()
        else:
            _remove_stream(stream_id)
        execution.succeed({"removed": removed})


def _remove_of_task(execution: Execution, stream_id: int, task_id: int) -> int:
    task = CrawlerTask.objects.filter(pk=task_id, removed_at__isnull=False).first()
    if task is None or task.first_row is None:
        return 0
    values: dict[str, Any] = {
        "task": task_id,
        "fid": task.fid,
        "stream": stream_id,
        "batch": BATCH,
    }
    values |= {"after": task.first_row - 1, "last": task.last_row}
    removed: int = 0
    while True:
        with reads_along_indexes(), connection.cursor() as cursor:
            Stream.objects.select_for_update(no_key=True).filter(pk=stream_id).values_list("pk").first()
            cursor.execute(_DELETE_OF_TASK, values)
            count, values["after"], left = cursor.fetchone()
            Stream.objects.filter(pk=stream_id).update(documents=F("documents") - left, revision=F("revision") + 1)
        removed += count
        execution.set_progress(removed, message="documents removed")
        if count < BATCH:
            return removed


def _remove_of_stream(execution: Execution, stream_id: int) -> int:
    removed = 0
    while count := _delete_batch(stream_id):
        removed += count
        execution.set_progress(removed, message="documents removed")
    return removed


def _delete_batch(stream_id: int) -> int:
    """Deletes documents of a stream, or tombstones where none are left; returns how many."""
    with reads_along_indexes(), connection.cursor() as cursor:
        for statement in (_DELETE_OF_STREAM, _DELETE_TOMBSTONES):
            cursor.execute(statement, {"stream": stream_id, "batch": BATCH})
            if cursor.rowcount:
                return int(cursor.rowcount)
    return 0


def _remove_stream(stream_id: int) -> None:
    CrawlerTask.objects.filter(stream_id=stream_id).delete()
    Crawler.objects.filter(stream_id=stream_id).delete()
    Stream.objects.filter(pk=stream_id).delete()


def remove_crawlers_of(owner_id: UUID) -> int:
    """Removes one batch of what a deleted account owns; returns how many rows."""
    for stream_id in Stream.objects.filter(owner_id=owner_id).values_list("pk", flat=True)[:1]:
        if count := _delete_batch(stream_id):
            return count
        with transaction.atomic():
            _remove_stream(stream_id)
        return 1
    crawlers: int = Crawler.objects.filter(owner_id=owner_id).delete()[0]
    externals: int = External.objects.filter(owner_id=owner_id).delete()[0]
    return crawlers + externals
