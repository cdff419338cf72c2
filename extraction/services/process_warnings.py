"""Warnings of processes: what somebody would want to know of one that went on all the same.

They are notes with a code, so they are in the log, too. What rules found is gathered with each batch of pages, in the
row of the process; warnings are made of that when the process ends, whichever workers it had.
"""

import logging
from collections.abc import Iterable

from django.db.models import QuerySet

from extraction.domain.findings import (
    ALWAYS_NULL,
    FILES_MISSING,
    LEFT_OUT,
    NO_RECORDS,
    NOTHING_FOUND,
    ExtractionWarning,
)
from extraction.models import Process, ProcessNote
from extraction.services.process_notes import log_to_run
from taskhub.security.masking import mask

WARNINGS_MAX = 100  # of one process
OF_FINDINGS = (NOTHING_FOUND, ALWAYS_NULL, NO_RECORDS, LEFT_OUT, FILES_MISSING)


def warnings_of(process: Process) -> QuerySet[ProcessNote]:
    """The warnings of a process, in the order in which they came."""
    return ProcessNote.objects.filter(process=process).exclude(code="").order_by("id")


def add_warnings(process: Process, warnings: Iterable[ExtractionWarning]) -> None:
    """Adds warnings that the process does not have, up to `WARNINGS_MAX`; the caller's transaction has locked it."""
    known = set(warnings_of(process).values_list("code", "place", "text"))
    fresh = dict.fromkeys(ExtractionWarning(code, place[:500], mask(text)[:1000]) for code, place, text in warnings)
    notes = [
        ProcessNote(process=process, code=one.code, place=one.place, text=one.detail)
        for one in fresh
        if one not in known
    ]
    added = ProcessNote.objects.bulk_create(notes[: max(0, WARNINGS_MAX - len(known))])
    log_to_run(process, logging.WARNING, [f"{note.place}: {note.text}" if note.place else note.text for note in added])


def replace_warnings(process: Process, codes: Iterable[str], warnings: Iterable[ExtractionWarning]) -> None:
    """Replaces the warnings of some codes; the caller's transaction has locked the process."""
    warnings_of(process).filter(code__in=list(codes)).delete()
    add_warnings(process, warnings)
