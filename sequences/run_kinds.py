"""Sequences as runs, and as what schedules start."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.urls import reverse

from sequences.services.checkpoints import delete_state
from sequences.services.sequence_runs import KIND, check, planned_run
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import PlannedRun, RunKind, ScheduleTarget

TASK = "sequences.tasks.ScheduledSequence"
OLDER_NAMES = ("jaseci.svc.task.common.ScheduledSequence", "jaseci.extens.svc.tasks.ScheduledSequence")
EXAMPLE = (Path(__file__).parent / "examples" / "sequence.jsonc").read_text()


class SequenceKind(RunKind):
    name = KIND
    task = TASK
    queue = "sequences"

    def check(self, arguments: Mapping[str, Any]) -> None:
        check(arguments)

    def on_end(self, run: Run) -> None:
        delete_state(run)

    def admin_links(self, run: Run) -> list[tuple[str, str]]:
        return [("steps", f"{reverse('admin:sequences_sequencestep_changelist')}?run__id__exact={run.pk}")]


class SequenceTarget(ScheduleTarget):
    kind = KIND
    title = "ScheduledSequence"
    tasks = (TASK, *OLDER_NAMES)
    example = EXAMPLE

    def plan_run(self, arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
        return planned_run(arguments, owner, schedule)
