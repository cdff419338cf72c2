"""Requests to crawlers, through the gate: a task to begin, a status to know of. Every attempt is on record."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from django.db import transaction
from django.utils import timezone

from crawlers.domain import task_status
from crawlers.models import CrawlerCall, CrawlerTask, StatusChange
from crawlers.services.capabilities import capability_of, task_endpoint
from crawlers.services.definitions import all_params
from crawlers.services.status_updates import change_status, error_of, queue_notice, record_change, result_of
from crawlers.services.task_runs import task_of_run
from taskhub.errors import Conflict, Failed, Problem, Rejected, Unavailable
from taskhub.jsontools.strict_json import parse_json
from taskhub.outbound import Session, check_url
from taskhub.outbound.session import configured_policy
from taskhub.runs.domain import LeaseLost
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution
from taskhub.security.masking import hide, hiding

LATER = {408, 425, 429}
By = StatusChange.By


def carry(execution: Execution) -> None:
    """Brings a task to its crawler, or sees what became of one that fell silent."""
    task = task_of_run(execution.run)
    if task is None:
        message = "Another task of the crawler is running, or the task has a later attempt."
        with transaction.atomic():
            execution.fail("Skipped", message)
    elif task.ended:
        with transaction.atomic():
            execution.fail(**error_of(task), result=result_of(task))
    elif task.started_at is None:
        _begin(execution, task)
    else:
        _look_after(execution, task)


def _begin(execution: Execution, task: CrawlerTask) -> None:
    secrets = {"credential": [task.secrets, task.external.headers, capability_of(task)]}
    with hiding(secrets):
        answer = _ask_to_begin(execution.run, task)
    callback, code, message = _read(answer, task)
    _note_started(task, callback)
    if code is not None and (task_status.ends(code) or code != task_status.NEW):
        _take_status(task, code, message)
    _look_after(execution, CrawlerTask.objects.get(pk=task.pk))


def _ask_to_begin(run: Run, task: CrawlerTask) -> Any:
    body = {
        "fid": str(task.fid),
        "params": all_params(task),
        "credential": task.secrets.get("credential"),
        "endpoint": task_endpoint(task),
    }
    address = _below(task.external.endpoint, "/task", task.external.version)
    answer = _send(run, task, "POST", address, body, task.external.headers)
    if not answer.strip():
        return {}
    try:
        return parse_json(answer)
    except Rejected:
        raise Failed("The crawler's answer is no JSON.") from None


def _read(answer: Any, task: CrawlerTask) -> tuple[str, int | None, str]:
    """Callback, code and message of an answer's payload. Raises `Failed` for what cannot be meant."""
    payload = answer.get("payload", answer) if isinstance(answer, Mapping) else None
    if not isinstance(payload, Mapping):
        raise Failed("The crawler's answer is no object with a payload.")
    said = payload.get("status")
    if isinstance(said, Mapping):
        code, message = said.get("code"), said.get("message", "")
    else:
        code, message = said, ""
    if code is not None and (not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= 999):
        raise Failed("The status in the crawler's answer is no code from 0 to 999.")
    return _callback(payload.get("callback"), task), code, str(message)[:2000]


def _callback(callback: Any, task: CrawlerTask) -> str:
    if callback in (None, ""):
        return ""
    if not isinstance(callback, str) or len(callback) > 2000:
        raise Failed("The callback in the crawler's answer is no address.")
    address = _appended(task.external.endpoint, callback) if callback.startswith("/") else callback
    try:
        check_url(address, configured_policy())
    except Problem as problem:
        raise Failed(f"The callback in the crawler's answer cannot be called: {problem.detail}") from None
    return address


def _note_started(task: CrawlerTask, callback: str) -> None:
    """The callback is known from now on: also to a change that came meanwhile, and could tell nobody."""
    with transaction.atomic():
        row = CrawlerTask.objects.select_for_update(of=("self",), no_key=True).select_related("owner").get(pk=task.pk)
        now = timezone.now()
        row.callback, row.started_at, row.seen_at = callback, now, now
        row.save(update_fields=["callback", "started_at", "seen_at"])
        last = row.history.order_by("-id").first()
        if row.removed_at or (row.ended and last and last.by != By.CRAWLER):
            queue_notice(row, row.code if not row.removed_at else task_status.GONE, row.message, row.detail)


def _take_status(task: CrawlerTask, code: int, message: str) -> None:
    with suppress(Conflict):  # it reported its end before it answered
        change_status(task=task, code=code, message=message, detail="", by=By.CRAWLER)


def _look_after(execution: Execution, task: CrawlerTask) -> None:
    """The crawler has the task. Until its next sign of life is overdue no worker is needed."""
    if task.ended or task.removed_at:
        raise LeaseLost(str(execution.run.pk))
    overdue_at = task.seen_at + timedelta(seconds=task.timeout)
    if overdue_at > timezone.now():
        execution.detach(overdue_at)
        return
    with transaction.atomic():
        row = CrawlerTask.objects.select_for_update(of=("self",), no_key=True).get(pk=task.pk)
        if row.seen_at != task.seen_at:  # at the last moment
            execution.detach(row.seen_at + timedelta(seconds=row.timeout))
            return
        record_change(row, task_status.TIMED_OUT, f"No sign of life for {row.timeout} s.", "", By.HUB)
        execution.fail(**error_of(row), result=result_of(row))


def time_out(*, task: CrawlerTask) -> CrawlerTask:
    """What the hub does when a crawler is silent for too long, at once: an operator's word."""
    if task.ended:
        raise Conflict(f"The task has ended; its status is {task.code}.")
    return change_status(
        task=task, code=task_status.TIMED_OUT, message="Timed out by an operator.", detail="", by=By.OWNER
    )


def tell(execution: Execution) -> None:
    """`PATCH {callback}/status`: the crawler learns of a change that it did not make."""
    told = execution.run.arguments
    task = CrawlerTask.objects.filter(fid=told["task"]).select_related("external", "owner").first()
    if task is None or not task.callback:
        with transaction.atomic():
            execution.succeed({"told": False})
        return
    body = {name: told.get(name, "") for name in ("code", "message", "detail")}
    address = _below(task.callback, "/status", task.external.version)
    headers = task.external.headers if _same_origin(address, task.external.endpoint) else {}
    with hiding({"credential": [task.external.headers]}):
        _send(execution.run, task, "PATCH", address, body, headers)
    with transaction.atomic():
        execution.succeed({"told": True})


def _below(address: str, path: str, version: int) -> str:
    appended = _appended(address, path)
    return f"{appended}{'&' if urlsplit(appended).query else '?'}version={version}"


def _appended(address: str, path: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path, fragment=""))


def _same_origin(one: str, other: str) -> bool:
    policy = configured_policy()
    return check_url(one, policy) == check_url(other, policy)


def _send(run: Run, task: CrawlerTask, method: str, address: str, body: Any, headers: Mapping[str, str]) -> bytes:
    """The answer's body. Redirects are not followed: what is sent is for this server alone.

    Raises what the gate raises, `Unavailable` for what may succeed later, and `Failed` for what will not.
    """
    began = time.monotonic()
    call = CrawlerCall(task=task, run=run, attempt=run.attempt, method=method, url=address[:2000], duration_ms=0)
    sent = {"Accept": "application/json", **headers, "Content-Type": "application/json"}
    try:
        with Session(secret_headers=list(headers)) as session:
            answer = session.request(
                method, address, data=json.dumps(body).encode(), headers=sent, allow_redirects=False
            )
            call.status = answer.status_code
            _judge(answer)
            return answer.content
    except Problem as problem:
        call.error = hide(problem.detail, frozenset(headers.values()))[:2000]
        raise
    finally:
        call.duration_ms = int((time.monotonic() - began) * 1000)
        call.save()


def _judge(answer: requests.Response) -> None:
    code = answer.status_code
    if 200 <= code < 300:
        return
    words = f"The crawler answered {code}."
    raise Unavailable(words) if code >= 500 or code in LATER else Failed(words)
