"""Sequences as runs, and as what schedules start."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from django.urls import reverse

from sequences.services.checkpoints import delete_state
from sequences.services.sequence_runs import KIND, check, check_owner, key_scopes, planned_run, retry_with
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import PlannedRun, RunKind, ScheduleTarget
from taskhub.security.scopes import KeyScope
from walkers.services.run_files import remove_files

TASK = "sequences.tasks.ScheduledSequence"
OLDER_NAMES = ("jaseci.svc.task.common.ScheduledSequence", "jaseci.extens.svc.tasks.ScheduledSequence")
EXAMPLE = (Path(__file__).parent / "examples" / "sequence.jsonc").read_text()


class SequenceKind(RunKind):
    name = KIND
    task = TASK
    queue = "sequences"

    def check(self, arguments: Mapping[str, Any]) -> None:
        check(arguments)

    def check_owner(self, arguments: Mapping[str, Any], owner: Any) -> None:
        check_owner(owner)

    def retry_with(self, run: Run, arguments: Mapping[str, Any]) -> Run:
        """Of a stored sequence `inputs` and `version` may be others; else it is the sequence, as a whole."""
        return retry_with(run=run, arguments=arguments)

    def key_scopes(self, arguments: Mapping[str, Any]) -> frozenset[KeyScope]:
        return key_scopes(arguments)

    def on_end(self, run: Run) -> None:
        if run.state != State.FAILURE:  # from which another run may go on
            delete_state(run)

    def on_delete(self, run_ids: list[UUID]) -> None:
        remove_files(run_ids)

    def admin_links(self, run: Run) -> list[tuple[str, str]]:
        in_time = f"{reverse('admin:sequences_sequencestep_changelist')}?run__id__exact={run.pk}"
        return [("steps", reverse("admin:sequences_sequencestep_tree", args=[run.pk])), ("steps in time", in_time)]


class SequenceTarget(ScheduleTarget):
    kind = KIND
    title = "ScheduledSequence"
    tasks = (TASK, *OLDER_NAMES)
    example = EXAMPLE

    def plan_run(self, arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
        return planned_run(arguments, owner, schedule)
