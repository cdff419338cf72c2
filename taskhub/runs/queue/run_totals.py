"""Totals of runs that ended."""

from django.utils import timezone

from taskhub.metrics.totals import SharedCounter, SharedHistogram
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.run_kinds import kind_or_default

BOUNDS = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 3600, 6 * 3600)

RUNS_ENDED = SharedCounter("taskhub_runs_ended", "Runs that ended.", "kind", "queue", "state")
RUN_SECONDS = SharedHistogram(
    "taskhub_run_seconds", "Seconds of runs from the begin of their first attempt to their end.", BOUNDS, "kind"
)


def count_end(run: Run, state: State) -> None:
    """Counts the end of a run, once it is committed."""
    RUNS_ENDED.add(run.kind, kind_or_default(run.kind).queue, state)
    if run.started_at is not None:
        RUN_SECONDS.observe(max(0.0, (timezone.now() - run.started_at).total_seconds()), run.kind)
