"""Tasks: started, tried again, and carried to the crawler."""

from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from crawlers.domain import task_status
from crawlers.models import Crawler, CrawlerTask, StatusChange
from crawlers.services.crawler_schedules import KIND, crawler_of
from crawlers.services.definitions import all_params, complete_params, split_params
from taskhub.errors import Conflict, Problem
from taskhub.runs import queue as runs
from taskhub.runs.models import Run


def start_task(*, crawler: Crawler, params: Mapping[str, Any] | None = None) -> tuple[CrawlerTask, bool]:
    """A new task, or the one that is running; and whether it is new.

    `params` lie over the crawler's, for this task alone. Raises `Rejected`.
    """
    with transaction.atomic():
        if running := _running(crawler):
            return running, False
        values = complete_params(external=crawler.external, params={**all_params(crawler), **(params or {})})
        run = runs.submit(kind=KIND, owner=crawler.owner, name=_name(crawler), arguments={"crawler": str(crawler.fid)})
        return _new_task(crawler, run, values), True


def retry_task(*, task: CrawlerTask) -> tuple[CrawlerTask, bool]:
    """A new attempt of this task, or the other one that is running; and whether it is a new attempt.

    Raises `Conflict` while this one runs, or when its crawler is gone.
    """
    crawler = _crawler_of(task)
    with transaction.atomic():
        if running := _running(crawler):
            if running.pk == task.pk:
                raise Conflict(f"The task has not ended; its status is {running.code}.", status_code=running.code)
            return running, False
        run = runs.submit(
            kind=KIND, owner=task.owner, name=_name(crawler), arguments={"crawler": str(crawler.fid)}, retry_of=task.run
        )
        return _new_attempt(task, run), True


def run_copied(old: Run, new: Run) -> None:
    """In the transaction that accepts a retry of a task's run: the task has a new attempt. Raises `Conflict`."""
    task = CrawlerTask.objects.filter(run=old, removed_at__isnull=True).first()
    if task is None:
        return  # it never came to a task, or has a later run
    if running := _running(_crawler_of(task)):
        raise Conflict(f"The crawler's task {running.fid} is running.")
    _new_attempt(task, new)


def task_of_run(run: Run) -> CrawlerTask | None:
    """The task that a run is of: for one that a schedule started, made now. None while another one is running."""
    if task := CrawlerTask.objects.filter(run=run).select_related("external", "owner").first():
        return task
    if run.schedule == "":
        return None  # it has a later attempt, or is gone
    crawler = crawler_of(run.arguments, run.owner)
    with transaction.atomic():
        runs.confirm(run=run)
        if _running(crawler):
            return None
        values = complete_params(external=crawler.external, params=all_params(crawler))
        return _new_task(crawler, run, values)


def _running(crawler: Crawler) -> CrawlerTask | None:
    """Its task that has not ended; nobody else starts one until the caller's transaction is over."""
    Crawler.objects.select_for_update(of=("self",), no_key=True).get(pk=crawler.pk)
    return CrawlerTask.objects.filter(crawler=crawler, ended_at__isnull=True, removed_at__isnull=True).first()


def _crawler_of(task: CrawlerTask) -> Crawler:
    crawler = task.crawler
    if crawler is None or crawler.removed_at:
        raise Conflict("The crawler of this task was deleted.")
    return crawler


def _name(crawler: Crawler) -> str:
    return (crawler.name or str(crawler.fid))[:200]


def _new_task(crawler: Crawler, run: Run, values: Mapping[str, Any]) -> CrawlerTask:
    external = crawler.external
    params, secret = split_params(external=external, params=values)
    task = CrawlerTask.objects.create(
        owner=crawler.owner,
        meta={"name": crawler.name} if crawler.name else {},
        external=external,
        crawler=crawler,
        stream=crawler.stream,
        run=run,
        rank=_next_rank(),
        message=task_status.words_of(task_status.NEW),
        params=params,
        secrets={"params": secret, "credential": crawler.secrets.get("credential")},
        timeout=external.timeout,
    )
    _begin(task)
    return task


def _new_attempt(task: CrawlerTask, run: Run) -> CrawlerTask:
    external = task.external
    values = complete_params(external=external, params=all_params(task))
    task.params, secret = split_params(external=external, params=values)
    task.secrets = {**task.secrets, "params": secret}
    task.run, task.attempt, task.rank, task.timeout = run, task.attempt + 1, _next_rank(), external.timeout
    task.code, task.message, task.detail = task_status.NEW, task_status.words_of(task_status.NEW), ""
    task.callback, task.started_at, task.ended_at, task.seen_at = "", None, None, timezone.now()
    task.version += 1
    task.save()
    _begin(task)
    return task


def _begin(task: CrawlerTask) -> None:
    StatusChange.objects.create(
        task=task, attempt=task.attempt, code=task.code, message=task.message, by=StatusChange.By.HUB
    )


def _next_rank() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('crawlers_rank')")
        rank: int = cursor.fetchone()[0]
    return rank


def check_arguments(arguments: Mapping[str, Any]) -> None:
    if not isinstance(arguments.get("crawler"), str):
        raise Problem("A run of a crawler names its crawler.")
