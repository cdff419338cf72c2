"""Lines that were put aside, sent again: those that the schema takes now go in, the others stay with their reasons."""

from typing import Any

from django.db import connection, transaction
from django.db.models import F

from crawlers.domain.documents import Invalid, Reader
from crawlers.models import Rejected, Task
from crawlers.services.document_store import Counts, merge, place_of, stage, task_under_lock
from crawlers.services.upload_receiver import validator_of

BATCH = 1_000


def resend(*, task: Task) -> Counts:
    """Also for a task that has ended: its change set grows. `received` are those that were looked at.

    Each batch of lines is one transaction. Raises `NotFound` for a task that is deleted meanwhile, and `Unavailable`.
    """
    reader = Reader(validator_of(task.external_id, task.external.version), task.external.id_field)
    counts, after = Counts(), 0
    while True:
        with transaction.atomic():
            lines = list(Rejected.objects.filter(task=task, pk__gt=after).order_by("pk")[:BATCH])
            if not lines:
                return counts
            _resend(task, reader, lines, counts)
        after = lines[-1].pk


def _resend(task: Task, reader: Reader, lines: list[Rejected], counts: Counts) -> None:
    row = task_under_lock(task, ended=True)
    fit, rows = list[int](), list[bytes]()
    for line in lines:
        try:
            body = line.body.encode()
            rows.append(b"%b%b\x02%b\n" % (place_of(row), reader.read(body, line.line), body))
        except Invalid as why:
            line.reason = str(why)
        else:
            fit.append(line.pk)
    done = Counts(received=len(rows))
    if rows:
        stage(iter([b"".join(rows)]))
        merge(row, done)
        _empty_stage()
        Rejected.objects.filter(pk__in=fit).delete()
    Rejected.objects.bulk_update([line for line in lines if line.pk not in set(fit)], ["reason"])
    _count(row, done)
    counts.received += len(lines)
    counts.rejected += len(lines) - len(rows)
    for name in ("inserted", "updated", "unchanged"):
        setattr(counts, name, getattr(counts, name) + getattr(done, name))


def _count(row: Task, done: Counts) -> None:
    numbers: dict[str, Any] = {name: F(name) + getattr(done, name) for name in ("inserted", "updated", "unchanged")}
    Task.objects.filter(pk=row.pk).update(
        rejected=F("rejected") - done.received, first_row=row.first_row, last_row=row.last_row, **numbers
    )


def _empty_stage() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE upload_line")
