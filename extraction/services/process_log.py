"""The log of a process: its pages and notes, in the order of time."""

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime

from extraction.models import ExtractionPage, Process, ProcessNote
from taskhub.security.masking import mask

BATCH = 1000

Line = tuple[datetime, str]


def lines_of(process: Process) -> Iterator[bytes]:
    """The lines of a process's log, one an event; they are read in batches, also while the process runs."""
    for at, text in heapq.merge(_notes(process), _pages(process)):
        yield f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3].encode() + b"Z " + mask(text).encode() + b"\n"


def _notes(process: Process) -> Iterator[Line]:
    for note in ProcessNote.objects.filter(process=process).order_by("at", "id").iterator(BATCH):
        yield note.at, line_of_note(note)


def _pages(process: Process) -> Iterator[Line]:
    """The lines of pages that were asked for, by the time of their last answer."""
    after: tuple[datetime, int] | None = None
    while True:
        rows = ExtractionPage.objects.filter(process=process, fetched_at__isnull=False)
        if after:
            rows = rows.filter(fetched_at__gte=after[0]).exclude(fetched_at=after[0], id__lte=after[1])
        batch = list(rows.order_by("fetched_at", "id").defer("records")[:BATCH])
        for page in batch:
            if page.fetched_at:
                yield page.fetched_at, line_of(page)
        if len(batch) < BATCH or batch[-1].fetched_at is None:
            return
        after = (batch[-1].fetched_at, batch[-1].pk)


def line_of_note(note: ProcessNote) -> str:
    return ": ".join(filter(None, ("warning", note.place, note.text))) if note.code else note.text


def line_of(page: ExtractionPage) -> str:
    parts = [page.state, str(page.status or "-"), page.url, f"{page.duration_ms} ms"]
    if page.error:
        parts.append(page.error)
    else:
        parts.append(f"{page.bytes} bytes, {page.found} records, {page.cost} credits")
    return " ".join(parts)
