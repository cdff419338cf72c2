"""Rejected lines, sent again: those that the schema takes now become documents, the others keep their place and get
their new reasons."""

from django.db import connection, transaction
from django.db.models import F

from crawlers.domain.documents import DocumentReader
from crawlers.domain.line_faults import InvalidDocument
from crawlers.models import CrawlerTask, RejectedLine
from crawlers.services.document_store import (
    UploadCounts,
    merge_staged_rows,
    row_prefix,
    stage_rows,
)
from crawlers.services.stream_locks import lock_stream_and_task, unavailable_if_locked
from crawlers.services.upload_receiver import document_schema

BATCH = 1_000


def resend_rejected_lines(*, task: CrawlerTask) -> UploadCounts:
    """Checks the rejected lines of a task again, also of one that has ended. `received` are those that were checked.

    Each batch of lines is one transaction. Raises `NotFound` for a task that is deleted meanwhile, and `Unavailable`.
    """
    external = task.external
    reader = DocumentReader(document_schema(external.pk, external.version), external.id_field)
    counts, after = UploadCounts(), 0
    while True:
        with transaction.atomic(), unavailable_if_locked():
            # Locked before the lines are read: another call may be sending the same ones.
            locked_task = lock_stream_and_task(task, may_have_ended=True)
            lines = list(RejectedLine.objects.filter(task=task, pk__gt=after).order_by("pk")[:BATCH])
            if not lines:
                return counts
            batch = _resend_batch(locked_task, reader, lines)
        after = lines[-1].pk
        for name, number in vars(batch).items():
            setattr(counts, name, getattr(counts, name) + number)


def _resend_batch(locked_task: CrawlerTask, reader: DocumentReader, lines: list[RejectedLine]) -> UploadCounts:
    accepted, rejected, rows = list[int](), list[RejectedLine](), list[bytes]()
    for line in lines:
        document = line.body.encode()
        try:
            key = reader.read_key(document, line.line)
        except InvalidDocument as error:
            line.reason = str(error)
            rejected.append(line)
        else:
            rows.append(b"%b%b\x02%b\n" % (row_prefix(locked_task), key, document))
            accepted.append(line.pk)
    counts = UploadCounts(received=len(rows))
    if rows:
        stage_rows(iter([b"".join(rows)]))
        merge_staged_rows(locked_task, counts)
        with connection.cursor() as cursor:  # the caller may have a transaction of its own, with more batches in it
            cursor.execute("TRUNCATE upload_line")
        RejectedLine.objects.filter(pk__in=accepted).delete()
    RejectedLine.objects.bulk_update(rejected, ["reason"])
    CrawlerTask.objects.filter(pk=locked_task.pk).update(
        rejected=F("rejected") - len(rows),
        inserted=F("inserted") + counts.inserted,
        updated=F("updated") + counts.updated,
        unchanged=F("unchanged") + counts.unchanged,
        first_row=locked_task.first_row,
        last_row=locked_task.last_row,
    )
    counts.received, counts.rejected = len(lines), len(rejected)
    return counts
