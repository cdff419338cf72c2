"""Rejected lines, sent again: those that the schema takes now become documents, the others keep their place and get
their new reasons."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F, Func, IntegerField

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
from crawlers.services.upload_receiver import document_schema, slow_turn
from taskhub.db.connections import give_back_connection
from taskhub.db.fair_semaphore import FairSemaphore

BATCH = 1_000  # lines
BATCH_BYTES = 16 * 1024 * 1024  # then a batch ends, with the line that goes beyond
_resending = FairSemaphore(8, "Rejected lines of too many tasks are checked at once.")  # each holds a thread for long


@dataclass
class CheckedLine:
    """A rejected line, and its document's key; or no key, and the line has its new reason."""

    line: RejectedLine
    key: bytes | None


def read_batch(task: CrawlerTask, after: int) -> list[RejectedLine]:
    """The next rejected lines behind the one with this id; none at the end."""
    lines = RejectedLine.objects.filter(task=task).order_by("pk")
    size = Func(F("body"), function="octet_length", output_field=IntegerField())  # PostgreSQL does not unpack them
    batch, room = list[int](), BATCH_BYTES
    for pk, weight in lines.filter(pk__gt=after).values_list("pk", size)[:BATCH]:
        batch.append(pk)
        room -= weight
        if room <= 0:
            break
    return list(lines.filter(pk__in=batch))


def resend_rejected_lines(*, task: CrawlerTask) -> UploadCounts:
    """Checks the rejected lines of a task again, also of one that has ended. `received` are those that were checked.

    A batch of lines is checked without a database connection, and then stored in a transaction. Raises `NotFound` for a
    task that is deleted meanwhile, and `Unavailable`.
    """
    external = task.external
    reader = DocumentReader(document_schema(external.pk, external.version), external.id_field, slow_turn)
    counts, after = UploadCounts(), 0
    with _resending.acquire(task.owner_id):
        while lines := read_batch(task, after):
            after = lines[-1].pk
            give_back_connection()
            checked = [_check_line(reader, line) for line in lines]
            with transaction.atomic(), unavailable_if_locked():
                batch = _store_batch(lock_stream_and_task(task, may_have_ended=True), checked)
            for name, number in vars(batch).items():
                setattr(counts, name, getattr(counts, name) + number)
    return counts


def _check_line(reader: DocumentReader, line: RejectedLine) -> CheckedLine:
    try:
        return CheckedLine(line, reader.read_key(line.body.encode(), line.line))
    except InvalidDocument as error:
        line.reason = str(error)
        return CheckedLine(line, None)


def _store_batch(locked_task: CrawlerTask, checked: Iterable[CheckedLine]) -> UploadCounts:
    """Stores what was found out about lines, but for those that another call has taken meanwhile."""
    left = set(RejectedLine.objects.filter(pk__in=[each.line.pk for each in checked]).values_list("pk", flat=True))
    checked = [each for each in checked if each.line.pk in left]
    accepted = [(key, each.line) for each in checked if (key := each.key) is not None]
    rejected = [each.line for each in checked if each.key is None]
    counts = UploadCounts(received=len(accepted))
    if accepted:
        prefix = row_prefix(locked_task)
        stage_rows(b"%b%b\x02%b\n" % (prefix, key, line.body.encode()) for key, line in accepted)
        merge_staged_rows(locked_task, counts)
        with connection.cursor() as cursor:  # the caller may have a transaction of its own, with more batches in it
            cursor.execute("TRUNCATE upload_line")
        RejectedLine.objects.filter(pk__in=[line.pk for _, line in accepted]).delete()
    RejectedLine.objects.bulk_update(rejected, ["reason"])
    CrawlerTask.objects.filter(pk=locked_task.pk).update(
        rejected=F("rejected") - len(accepted),
        inserted=F("inserted") + counts.inserted,
        updated=F("updated") + counts.updated,
        unchanged=F("unchanged") + counts.unchanged,
        first_row=locked_task.first_row,
        last_row=locked_task.last_row,
    )
    counts.received, counts.rejected = len(checked), len(rejected)
    return counts
