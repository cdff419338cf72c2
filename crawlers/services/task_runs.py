"""Tasks and their runs: a task is started and tried again, by a call, a schedule or the retry of its run."""

from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from crawlers.domain import task_status
from crawlers.domain.kind_names import CRAWLER_TASK
from crawlers.models import Crawler, CrawlerTask, StatusChange
from crawlers.services.crawler_schedules import find_crawler
from crawlers.services.crawler_secrets import all_params, check_usable, secrets_for
from crawlers.services.definitions import complete_params, split_params
from taskhub.audit.services import record_by_hand
from taskhub.errors import Conflict, NotFound, invalid
from taskhub.runs import queue as runs
from taskhub.runs.models import Run


def start_task(
    *, crawler: Crawler, params: Mapping[str, Any] | None = None, **options: Any
) -> tuple[CrawlerTask, bool]:
    """A new task, or the one that is running; and whether it is new.

    `params` lie over the crawler's, for this task alone; `options` are those of its run. Raises `Rejected`, and
    `Refused` for a webhook's address.
    """
    runs.check_active(crawler.owner)
    runs.checked_webhook(options.get("webhook", ""))
    with transaction.atomic():
        if running := _lock_running(crawler):
            return running, False
        check_usable(crawler, {"params": params or {}})
        values = complete_params(external=crawler.external, params={**all_params(crawler), **(params or {})})
        run = _submit_run(crawler, crawler.owner, **options)
        return _create_task(crawler, run, values), True


def retry_task(*, task: CrawlerTask) -> tuple[CrawlerTask, bool]:
    """A new attempt of this task, or the other one that is running; and whether it is a new attempt.

    Raises `Conflict` while this one runs, or when its crawler is gone.
    """
    runs.check_active(task.owner)
    crawler = _existing_crawler(task)
    with transaction.atomic():
        if running := _lock_running(crawler):
            if running.pk == task.pk:
                raise Conflict(f"The task has not ended; its status is {running.code}.", status_code=running.code)
            return running, False
        run = _submit_run(crawler, task.owner, retry_of=task.run)
        record_by_hand("retry", "crawler task", task.fid, owner_id=task.owner_id, after={"run": run.pk})
        return _start_attempt(task, run), True


def retry_task_of_run(old: Run, new: Run) -> None:
    """Gives a task a new attempt, in the transaction that submits a retry of its run. Raises `Conflict`."""
    task = CrawlerTask.objects.filter(run=old, removed_at__isnull=True).first()
    if task is None:
        return  # the run never had a task, or its task has a later run
    if running := _lock_running(_existing_crawler(task)):
        raise _running(running)
    _start_attempt(task, new)


def retry_with_params(*, run: Run, params: Mapping[str, Any]) -> Run:
    """Starts a new task of a run's crawler, with other parameters; its run points to the old one.

    Raises as `start_task` does, `NotFound` where the crawler is deleted, and `Conflict` where a task of it is running.
    """
    crawler = find_crawler(run.arguments, run.owner)
    task, is_new = start_task(crawler=crawler, params=params, retry_of=run)
    if not is_new or task.run is None:
        raise _running(task)
    return task.run


def _running(task: CrawlerTask) -> Conflict:
    return Conflict(f"The crawler's task {task.fid} is running.")


def find_or_create_task(run: Run) -> CrawlerTask | None:
    """The task of a run; that of a scheduled run is made now. None while another task of the crawler is running."""
    if task := CrawlerTask.objects.filter(run=run).select_related("external", "owner").first():
        return task
    if run.schedule == "":
        return None  # the task has a later attempt, or is deleted
    crawler = find_crawler(run.arguments, run.owner)
    with transaction.atomic():
        runs.confirm(run=run)
        if _lock_running(crawler):
            return None
        check_usable(crawler, {})
        values = complete_params(external=crawler.external, params=all_params(crawler))
        return _create_task(crawler, run, values)


def _lock_running(crawler: Crawler) -> CrawlerTask | None:
    """The crawler's task that has not ended. Nobody else starts one until the caller's transaction is over."""
    Crawler.objects.select_for_update(of=("self",), no_key=True).get(pk=crawler.pk)
    return CrawlerTask.objects.filter(crawler=crawler, ended_at__isnull=True, removed_at__isnull=True).first()


def _existing_crawler(task: CrawlerTask) -> Crawler:
    crawler = task.crawler
    if crawler is None or crawler.removed_at:
        raise Conflict("The crawler of this task was deleted.")
    return crawler


def _submit_run(crawler: Crawler, owner: Any, retry_of: Run | None = None, **options: Any) -> Run:
    kept: Mapping[str, Any] = runs.lasting_options(retry_of) if retry_of else {}
    name = (crawler.name or str(crawler.fid))[:200]
    arguments = {"crawler": str(crawler.fid)}
    return runs.submit(
        kind=CRAWLER_TASK,
        owner=owner,
        name=name,
        arguments=arguments,
        retry_of=retry_of,
        **{**kept, "webhook": crawler.webhook, **options},
    )


def _create_task(crawler: Crawler, run: Run, values: Mapping[str, Any]) -> CrawlerTask:
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
        message=task_status.default_message(task_status.NEW),
        params=params,
        secrets=secrets_for(external, params=secret, credential=crawler.secrets.get("credential")),
        timeout=external.timeout,
    )
    _record_new(task)
    return task


def _start_attempt(task: CrawlerTask, run: Run) -> CrawlerTask:
    """A new attempt of the task as it is by now. Raises `NotFound` for one that is deleted."""
    rows = CrawlerTask.objects.select_for_update(of=("self",), no_key=True)
    row: CrawlerTask | None = rows.filter(pk=task.pk, removed_at__isnull=True).first()
    if row is None:
        raise NotFound("The task was deleted meanwhile.")
    task, external = row, row.external
    check_usable(task, {})
    values = complete_params(external=external, params=all_params(task))
    task.params, secret = split_params(external=external, params=values)
    task.secrets = {**task.secrets, "params": secret}
    task.run, task.attempt, task.rank, task.timeout = run, task.attempt + 1, _next_rank(), external.timeout
    task.code, task.message, task.detail = task_status.NEW, task_status.default_message(task_status.NEW), ""
    task.callback, task.started_at, task.ended_at, task.seen_at = "", None, None, timezone.now()
    task.progress, task.stats = None, {}
    task.version += 1
    task.save()
    _record_new(task)
    return task


def _record_new(task: CrawlerTask) -> None:
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
        raise invalid("/crawler", "A run of a crawler names its crawler.")
