"""The log of a process: its pages and notes, in the order of time; and the same as lines of the log of its run."""

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime

from extraction.models import ExtractionPage, Process, ProcessNote
from extraction.services.page_table import PageOutcome
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
    result = page.error or f"{page.bytes} bytes, {page.found} records, {page.cost} credits"
    return f"{page.state} {page.status or '-'} {page.url} {page.duration_ms} ms {result}"


def line_of_outcome(outcome: PageOutcome) -> str:
    """The same line before its page is stored."""
    result = outcome.error or f"{outcome.size} bytes, {outcome.count} records, {outcome.cost} credits"
    return f"{outcome.state} {outcome.status or '-'} {outcome.page.url} {outcome.duration_ms} ms {result}"
