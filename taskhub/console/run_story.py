"""The story of a run: the steps, runs, deliveries and pages that belong to it, each as its own call shows it."""

from dataclasses import dataclass, field
from typing import Any

from extraction.api.serializers import page_of, warning_of
from extraction.domain.kind_names import EXTRACTION
from extraction.domain.process_status import PageState
from extraction.models import ExtractionPage, Process
from extraction.services.process_warnings import warnings_of
from sequences.services.sequence_runs import KIND as SEQUENCE
from sequences.services.sequence_runs import may_run
from sequences.services.step_trees import StepNode, read_step_tree
from taskhub.runs.models import Run
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.webhooks.models import DeliveryAttempt

ROWS_MAX = 50  # of each list
STEPS_MAX = 100
FAILED_PAGES_MAX = 10


@dataclass
class RunStory:
    """`steps` are those of a sequence, `last_step` the number of the last where there are more."""

    children: list[Run] = field(default_factory=list)
    retries: list[Run] = field(default_factory=list)
    steps: list[StepNode] = field(default_factory=list)
    last_step: int | None = None
    attempts: list[DeliveryAttempt] = field(default_factory=list)
    process: Process | None = None
    failed_pages: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.children or self.retries or self.steps or self.attempts or self.process)


def read_story(*, run: Run, viewer: Any, after: int | None = None) -> RunStory:
    """The story of a run that `viewer` may see; of its steps those behind the number `after`. Raises `Rejected`."""
    visible = Run.objects.visible_to(viewer).brief()
    story = RunStory(
        children=list(visible.filter(parent=run).order_by("id")[: ROWS_MAX + 1]),
        retries=list(visible.filter(retry_of=run).order_by("id")[:ROWS_MAX]),
    )
    if run.kind == SEQUENCE and may_run(viewer):
        page = read_step_tree(run=run, after=after, limit=STEPS_MAX)
        story.steps, story.last_step = list(page.walk()), page.last
    if run.kind == EXTRACTION:
        _add_process(story, run, viewer)
    deliveries = [child.pk for child in story.children if child.kind == WEBHOOK]
    if run.kind == WEBHOOK:
        deliveries.append(run.pk)
    if deliveries:
        rows = DeliveryAttempt.objects.filter(delivery_id__in=deliveries).select_related("delivery")
        story.attempts = list(rows.defer("delivery__arguments", "delivery__result").order_by("id")[:ROWS_MAX])
    return story


def _add_process(story: RunStory, run: Run, viewer: Any) -> None:
    process: Process | None = Process.objects.visible_to(viewer).filter(run=run).first()
    if process is None:
        return
    story.process = process
    story.warnings = [warning_of(note) for note in warnings_of(process)]
    if not process.failed:
        return
    failed = ExtractionPage.objects.filter(process=process, state=PageState.FAILED).defer("records").order_by("id")
    own = process.owner_id == viewer.pk
    story.failed_pages = [page_of(page, own=own) for page in failed[:FAILED_PAGES_MAX]]
