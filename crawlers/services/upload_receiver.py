"""Uploads: from the bytes of a body to documents of a stream; all of one body, or nothing.

The lines are checked while they arrive and written to a file, in the format of COPY. So while a client sends, no
transaction is open and no database connection is held, and a body of a million documents needs the memory of one piece
of it. Only a whole and valid body is then stored, in one transaction (see `document_store`).
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from tempfile import SpooledTemporaryFile
from typing import IO

from django.conf import settings
from django.utils import timezone

from crawlers.domain.documents import DocumentReader, LineSplitter
from crawlers.domain.line_faults import InvalidDocument, refuse_other_formats
from crawlers.models import CrawlerTask, External
from crawlers.services.document_store import Upload, UploadCounts, row_prefix, store_upload
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import Conflict, NotAcceptable, Rejected, not_stored
from taskhub.jsontools.document_schemas import DocumentSchema, InvalidSchema

ERRORS_MAX = 10  # of the lines that do not fit
IN_MEMORY = 1024 * 1024  # bytes; a longer body goes to the disk
ALIVE_SECONDS = 10.0
PATIENCE_SECONDS = 20.0

_receiving = FairSemaphore(settings.UPLOADS_AT_ONCE, "Too many uploads are under way.")
_slow_turns = threading.Lock()
_storing = FairSemaphore(3, "The database does not keep up with the uploads.")


def receive_upload(*, task: CrawlerTask, pieces: Iterator[bytes], skip_invalid: bool) -> UploadCounts:
    """Stores a body that arrives in decompressed pieces, and gives its counts; everything, or nothing.

    With `skip_invalid` lines that are no documents of the stream are kept as rejected lines. Raises `Rejected`,
    `NotAcceptable` and `TooLarge` with the lines, `Conflict` when the task ends meanwhile, and `Unavailable`.
    """
    with _receiving.acquire(task.owner_id), _spool() as documents, _spool() as rejected_lines:
        upload = Upload(documents, rejected_lines)
        try:
            _read_body(task, pieces, upload, skip_invalid=skip_invalid)
            documents.seek(0)
            rejected_lines.seek(0)
        except OSError as error:
            raise not_stored(error) from None
        with _storing.acquire(task.owner_id, patience=PATIENCE_SECONDS):
            return store_upload(task, upload)


@contextmanager
def slow_turn() -> Iterator[None]:
    """Something that lets no other thread run: one at a time, and afterwards all others have as long."""
    with _slow_turns:
        began = time.monotonic()
        try:
            yield
        finally:
            time.sleep(time.monotonic() - began)


def _spool() -> IO[bytes]:
    return SpooledTemporaryFile(IN_MEMORY, prefix="taskhub-upload-")


def _read_body(task: CrawlerTask, pieces: Iterator[bytes], upload: Upload, *, skip_invalid: bool) -> None:
    splitter = LineSplitter(settings.UPLOAD_LINE_MAX_BYTES)
    upload.row_prefix, upload.external_version = row_prefix(task), task.external.version
    schema = document_schema(task.external_id, task.external.version)
    reader = DocumentReader(schema, task.external.id_field, slow_turn)
    next_sign = time.monotonic() + ALIVE_SECONDS
    for piece in pieces:
        upload.counts.bytes += len(piece)
        upload.digest.update(piece)
        _read_lines(splitter.feed(piece), splitter.lines_before, reader, upload, task if skip_invalid else None)
        if time.monotonic() > next_sign:
            # An upload may take longer than the task's time-out; while bytes arrive its crawler is alive.
            alive = CrawlerTask.objects.filter(pk=task.pk, attempt=task.attempt, ended_at__isnull=True)
            alive.update(seen_at=timezone.now())
            next_sign = time.monotonic() + ALIVE_SECONDS
    _read_lines(splitter.finish(), splitter.lines_before, reader, upload, task if skip_invalid else None)
    if not upload.counts.received:
        raise Rejected("The body holds no document.", errors=[{"line": 1, "detail": "Must be a document."}])
    if upload.errors:
        first = upload.errors[0]
        message = f"{upload.counts.rejected} lines do not fit; line {first['line']}: {first['detail']}"
        raise NotAcceptable(message, errors=upload.errors, type="invalid-documents")


def _read_lines(
    lines: list[bytes], lines_before: int, reader: DocumentReader, upload: Upload, keep_rejected_of: CrawlerTask | None
) -> None:
    """The innermost loop: a line takes some microseconds, most of them in the JSON parser."""
    read_key, prefix, rows, received = reader.read_key, upload.row_prefix, list[bytes](), 0
    for number, line in enumerate(lines, lines_before + 1):
        if not (document := line.strip()):
            continue
        if not received and not upload.counts.received:
            refuse_other_formats(document, number)
        received += 1
        try:
            rows.append(b"%b%b\x02%b\n" % (prefix, read_key(document, number), document))
        except InvalidDocument as error:
            _reject_line(upload, number, error, document, keep_rejected_of)
    upload.counts.received += received
    upload.documents.write(b"".join(rows))


def _reject_line(
    upload: Upload, number: int, error: InvalidDocument, line: bytes, keep_rejected_of: CrawlerTask | None
) -> None:
    upload.counts.rejected += 1
    if keep_rejected_of is None:
        if len(upload.errors) < ERRORS_MAX:
            upload.errors.append({"line": number, "detail": str(error)})
    elif upload.rejected_lines_kept < settings.QUARANTINE_MAX_LINES:
        upload.rejected_lines_kept += 1
        # The characters that the format of COPY uses itself cannot stand in a field.
        field = " ".join(str(error).split()).translate({0: " ", 1: " ", 2: " "}).encode("utf-8", "replace")
        now = timezone.now().isoformat().encode()
        upload.rejected_lines.write(b"%d\x02%d\x02%b\x02%b\x02%b\n" % (keep_rejected_of.pk, number, field, line, now))


@lru_cache(256)
def document_schema(external_id: int, version: int) -> DocumentSchema | None:
    """The schema of an external's documents, compiled once for each version in each process; None without one.

    Raises `Conflict` for one that was saved when more was allowed.
    """
    schema = External.objects.values_list("schema", flat=True).get(pk=external_id)
    try:
        return None if schema is None else DocumentSchema(schema)
    except InvalidSchema as error:
        raise Conflict(f"The external's schema cannot be used, change it: {error}") from None
