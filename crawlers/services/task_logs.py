"""Log lines of crawlers, which show in the logs of their tasks' runs."""

from collections.abc import Sequence

from crawlers.models import CrawlerTask
from taskhub.runs.models import Run
from taskhub.runs.queue.run_log import append_lines
from taskhub.security.masking import hide, secrets_of

LOGGER = "crawler"


def store_lines(task: CrawlerTask, lines: Sequence[str], level: int) -> int:
    """Adds lines to the log of a task's run, in the caller's transaction; says how many found room in it."""
    run = Run.objects.filter(pk=task.run_id).first() if task.run_id else None
    if run is None:
        return 0
    secrets = secrets_of({"secret": task.secrets})  # a crawler may quote what it was given
    return append_lines(run, LOGGER, level, [hide(line, secrets) for line in lines])
