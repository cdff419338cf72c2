"""Uploads: from what arrives to documents of a stream; all of one body, or nothing (contract, section 5).

What is read goes into a file first, ready for COPY: while a client sends, no transaction is open and no connection
held, and a body of a million documents needs the memory of one piece of it.
"""

import time
from collections.abc import Iterator
from functools import lru_cache
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.conf import settings
from django.utils import timezone

from crawlers.domain.document_schemas import compiled
from crawlers.domain.documents import Invalid, Lines, Reader, first_line
from crawlers.models import External, Task
from crawlers.services.document_store import Counts, Upload, place_of, store
from taskhub import errors
from taskhub.db.connections import give_back_connection
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import NotAcceptable
from taskhub.web.bodies import not_stored

TOLD_MAX = 10  # of the lines that do not fit
IN_MEMORY = 1024 * 1024
ALIVE_SECONDS = 10.0
PATIENCE_SECONDS = 20.0

_sending = FairSemaphore(
    settings.UPLOADS_AT_ONCE, max(1, settings.UPLOADS_AT_ONCE // 2), "Too many uploads are under way."
)
_storing = FairSemaphore(3, 2, "The database does not keep up with the uploads.")


def receive(*, task: Task, pieces: Iterator[bytes], skip: bool) -> Counts:
    """Stores a body that arrives in pieces, already unpacked, and gives its counts; everything, or nothing.

    With `skip` lines that are no documents of the stream are put aside. Raises `Rejected`, `NotAcceptable` and
    `TooLarge` with the lines, `Conflict` when the task ends meanwhile, and `Unavailable`.
    """
    give_back_connection()
    with _sending.acquire(task.owner_id), _spool() as documents, _spool() as quarantine:
        upload = Upload(documents, quarantine)
        try:
            _read(task, _alive(task, pieces), upload, skip=skip)
            documents.seek(0)
            quarantine.seek(0)
        except OSError as error:
            raise not_stored(error) from None
        with _storing.acquire(task.owner_id, patience=PATIENCE_SECONDS):
            return store(task, upload)


def _spool() -> IO[bytes]:
    return SpooledTemporaryFile(IN_MEMORY, prefix="taskhub-upload-")


def _alive(task: Task, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; and now and then a sign of life, as an upload may take longer than the task's time-out."""
    next_sign = time.monotonic() + ALIVE_SECONDS
    for piece in pieces:
        yield piece
        if time.monotonic() > next_sign:
            Task.objects.filter(pk=task.pk, attempt=task.attempt, ended_at__isnull=True).update(seen_at=timezone.now())
            give_back_connection()
            next_sign = time.monotonic() + ALIVE_SECONDS


def _read(task: Task, pieces: Iterator[bytes], upload: Upload, *, skip: bool) -> None:
    lines = Lines(settings.UPLOAD_LINE_MAX_BYTES)
    upload.place, upload.version = place_of(task), task.external.version
    reader = Reader(validator_of(task.external_id, task.external.version), task.external.id_field)
    now = timezone.now().isoformat()
    for piece in pieces:
        upload.counts.bytes += len(piece)
        upload.digest.update(piece)
        _read_lines(lines, lines.feed(piece), reader, upload, (task, now) if skip else None)
    _read_lines(lines, lines.finish(), reader, upload, (task, now) if skip else None)
    if not upload.counts.received:
        raise errors.Rejected("The body holds no document.", errors=[{"line": 1, "detail": "Must be a document."}])
    if upload.refused:
        first = upload.refused[0]
        words = f"{upload.counts.rejected} lines do not fit; line {first['line']}: {first['detail']}"
        raise NotAcceptable(words, errors=upload.refused, type="invalid-documents")


def _read_lines(
    lines: Lines, whole: list[bytes], reader: Reader, upload: Upload, aside: tuple[Task, str] | None
) -> None:
    """The innermost loop: a line takes some microseconds, most of them in the parser."""
    if lines.number == 0 and whole:
        whole[0] = first_line(whole[0])
    read, place, rows, received = reader.read, upload.place, list[bytes](), 0
    for number, sent in enumerate(whole, lines.number + 1):
        if not (line := sent.strip()):
            continue
        received += 1
        try:
            rows.append(b"%b%b\x02%b\n" % (place, read(line, number), line))
        except Invalid as why:
            _reject(upload, number, str(why), line, aside)
    lines.number += len(whole)
    upload.counts.received += received
    upload.documents.write(b"".join(rows))


def _reject(upload: Upload, number: int, why: str, line: bytes, aside: tuple[Task, str] | None) -> None:
    upload.counts.rejected += 1
    if aside is None:
        if len(upload.refused) < TOLD_MAX:
            upload.refused.append({"line": number, "detail": why})
    elif upload.kept < settings.QUARANTINE_MAX_LINES:
        upload.kept += 1
        task, now = aside
        reason = " ".join(why.split()).translate({1: " ", 2: " ", 0: " "}).encode("utf-8", "replace")
        upload.quarantine.write(b"%d\x02%d\x02%b\x02%b\x02%b\n" % (task.pk, number, reason, line, now.encode()))


@lru_cache(256)
def validator_of(external_id: int, version: int) -> Any:
    """Compiled once for each version of an external, in each process; None where there is no schema."""
    schema = External.objects.values_list("schema", flat=True).get(pk=external_id)
    return None if schema is None else compiled(schema)
