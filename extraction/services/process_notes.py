"""Notes of processes: lines of a process's log, which become lines of the log of its run, too."""

import logging
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from extraction.domain.kind_names import EXTRACTION
from extraction.models import Process, ProcessNote
from taskhub.runs.models import Run
from taskhub.runs.queue.run_log import RunLog
from taskhub.security.masking import mask


def add_note(process: Process, text: str) -> None:
    """Adds a line to a process's log, and to that of its run."""
    ProcessNote.objects.create(process=process, text=mask(text)[:1000])
    log_to_run(process, logging.INFO, [text])


def log_to_run(process: Process, level: int, texts: Sequence[str]) -> None:
    """Adds lines to the log of a process's run, after the caller's transaction."""
    if (run_id := process.run_id) is not None and texts:
        transaction.on_commit(lambda: _log(run_id, level, texts))


def _log(run_id: UUID, level: int, texts: Sequence[str]) -> None:
    if run := Run.objects.filter(pk=run_id).first():
        run_log = RunLog(run, goes_on=True)
        for text in texts:
            run_log.add(level, EXTRACTION, text)
        run_log.flush()
