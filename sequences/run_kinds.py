"""Sequences as runs of the ledger, and as what schedules start."""

from pathlib import Path

from django.urls import reverse

from sequences.services.sequence_runs import KIND, check, ended, work_of_schedule
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import Kind, Schedulable

TASK = "sequences.tasks.ScheduledSequence"
OLDER_NAMES = ("jaseci.svc.task.common.ScheduledSequence", "jaseci.extens.svc.tasks.ScheduledSequence")
EXAMPLE = (Path(__file__).parent / "examples" / "sequence.jsonc").read_text()


def _pages(run: Run) -> list[tuple[str, str]]:
    return [("steps", f"{reverse('admin:sequences_step_changelist')}?run__id__exact={run.pk}")]


SEQUENCE = Kind(KIND, TASK, "sequences", check=check, ended=ended, pages=_pages)
SCHEDULED_SEQUENCE = Schedulable(KIND, "ScheduledSequence", (TASK, *OLDER_NAMES), EXAMPLE, work_of_schedule)
