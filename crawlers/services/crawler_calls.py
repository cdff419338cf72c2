"""Requests to crawlers, through the outbound gate: to start a task, and notices of its status. Each is recorded."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.db import IntegrityError, transaction
from django.utils import timezone

from crawlers.domain import task_status
from crawlers.models import CrawlerCall, CrawlerTask, External, StatusChange
from crawlers.services.capabilities import capability_of, task_endpoint
from crawlers.services.crawler_secrets import all_params, check_usable
from crawlers.services.crawler_states import state_of
from crawlers.services.status_updates import change_status, error_of, queue_notice, record_change, result_of
from crawlers.services.task_runs import find_or_create_task
from taskhub.errors import Conflict, Failed, Problem, Rejected, Unavailable
from taskhub.jsontools.strict_json import parse_json
from taskhub.outbound import Session, check_url, pause_of
from taskhub.outbound.policy import configured_policy
from taskhub.runs.domain import LeaseLost
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution
from taskhub.security.masking import hide, hiding, mask

RETRYABLE = {408, 425, 429}
By = StatusChange.By


def perform_task(execution: Execution) -> None:
    """The work of a task's run: starts the task at its crawler, or looks after one whose crawler fell silent."""
    task = find_or_create_task(execution.run)
    if task is None:
        message = "Another task of the crawler is running, or the task has a later attempt."
        with transaction.atomic():
            execution.fail("Skipped", message)
    elif task.ended:
        with transaction.atomic():
            execution.fail(**error_of(task), result=result_of(task))
    elif task.started_at is None:
        _start_task(execution, task)
    else:
        _await_sign_of_life(execution, task)


def _start_task(execution: Execution, task: CrawlerTask) -> None:
    """`POST {endpoint}/task`: the crawler takes the task, and may name a callback and a status at once."""
    check_usable(task, {})  # once more, with the endpoint that is called
    body = {
        "fid": str(task.fid),
        "params": all_params(task),
        "credential": _credential_of(task),
        "endpoint": task_endpoint(task),
        "state": state_of(task.crawler).value if task.crawler else None,
    }
    url = _versioned_url(task.external.endpoint, "/task", task.external.version)
    with hiding({"credential": [task.secrets, task.external.headers, capability_of(task)]}):
        answer = _send(execution.run, task, "POST", url, body, task.external.headers)
    callback, code, message = _read_answer(answer, task)
    _record_start(task, callback)
    if code is not None and code != task_status.NEW:
        with suppress(Conflict):  # it reported its end before it answered
            change_status(task=task, code=code, message=message, detail="", by=By.CRAWLER)
    _await_sign_of_life(execution, CrawlerTask.objects.get(pk=task.pk))


def _credential_of(task: CrawlerTask) -> Any:
    """The credential as it was given; that of a user has his name under both names that crawlers look for."""
    credential = task.secrets.get("credential")
    if task.external.credential != External.Credential.BASIC or not isinstance(credential, Mapping):
        return credential
    name = credential.get("username", credential.get("user"))
    return {"user": name, "username": name, **credential}


def _read_answer(answer: bytes, task: CrawlerTask) -> tuple[str, int | None, str]:
    """Callback, code and message in a crawler's answer. Raises `Failed` for one that cannot be understood."""
    try:
        content = parse_json(answer) if answer.strip() else {}
    except Rejected:
        raise Failed("The crawler's answer is no JSON.") from None
    payload = content.get("payload", content) if isinstance(content, Mapping) else None
    if not isinstance(payload, Mapping):
        raise Failed("The crawler's answer is no object with a payload.")
    status = payload.get("status")
    code, message = status, ""
    if isinstance(status, Mapping):
        code, message = status.get("code"), status.get("message", "")
    if code is not None and (not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= 999):
        raise Failed("The status in the crawler's answer is no code from 0 to 999.")
    return _check_callback(payload.get("callback"), task), code, str(message)[:2000]


def _check_callback(callback: Any, task: CrawlerTask) -> str:
    """The address of a callback; a path is one of the crawler's endpoint. Raises `Failed`."""
    if callback in (None, ""):
        return ""
    if not isinstance(callback, str) or len(callback) > 2000:
        raise Failed("The callback in the crawler's answer is no address.")
    url = _append_path(task.external.endpoint, callback) if callback.startswith("/") else callback
    try:
        check_url(url, configured_policy())
    except Problem as problem:
        raise Failed(f"The callback in the crawler's answer cannot be called: {problem.detail}") from None
    return url


def _record_start(task: CrawlerTask, callback: str) -> None:
    """Records that the crawler has the task. Of a change before its callback was known, the crawler is told now."""
    with transaction.atomic():
        tasks = CrawlerTask.objects.select_for_update(of=("self",), no_key=True).select_related("owner")
        row = tasks.get(pk=task.pk)
        now = timezone.now()
        row.callback, row.started_at, row.seen_at = callback, now, now
        row.save(update_fields=["callback", "started_at", "seen_at"])
        last_change = row.history.order_by("-id").first()
        if row.removed_at:
            queue_notice(row, task_status.DELETED, row.message, row.detail)
        elif row.ended and last_change and last_change.by != By.CRAWLER:
            queue_notice(row, row.code, row.message, row.detail)


def _await_sign_of_life(execution: Execution, task: CrawlerTask) -> None:
    """Detaches the run until the crawler's next sign of life is overdue; ends a task for which it is overdue."""
    if task.ended or task.removed_at:
        raise LeaseLost(str(execution.run.pk))
    overdue_at = task.seen_at + timedelta(seconds=task.timeout)
    if overdue_at > timezone.now():
        execution.detach(overdue_at)
        return
    with transaction.atomic():
        row = CrawlerTask.objects.select_for_update(of=("self",), no_key=True).get(pk=task.pk)
        if row.seen_at != task.seen_at:  # a sign of life at the last moment
            execution.detach(row.seen_at + timedelta(seconds=row.timeout))
            return
        record_change(row, task_status.TIMED_OUT, f"No sign of life for {row.timeout} s.", "", By.HUB)
        execution.fail(**error_of(row), result=result_of(row))


def time_out(*, task: CrawlerTask) -> CrawlerTask:
    """Ends a task at an operator's word as the hub ends one whose crawler is silent for too long."""
    if task.ended:
        raise Conflict(f"The task has ended; its status is {task.code}.")
    return change_status(
        task=task, code=task_status.TIMED_OUT, message="Timed out by an operator.", detail="", by=By.OWNER
    )


def perform_notice(execution: Execution) -> None:
    """`PATCH {callback}/status`: tells the crawler of a change that it did not make."""
    notice = execution.run.arguments
    task = CrawlerTask.objects.filter(fid=notice["task"]).select_related("external", "owner").first()
    if task is None or not task.callback:
        with transaction.atomic():
            execution.succeed({"told": False})
        return
    body = {name: notice.get(name, "") for name in ("code", "message", "detail")}
    url, policy = _versioned_url(task.callback, "/status", task.external.version), configured_policy()
    same_origin = check_url(url, policy) == check_url(task.external.endpoint, policy)
    with hiding({"credential": [task.external.headers]}):
        _send(execution.run, task, "PATCH", url, body, task.external.headers if same_origin else {})
    with transaction.atomic():
        execution.succeed({"told": True})


def _versioned_url(url: str, path: str, version: int) -> str:
    """The URL with a path appended, and the external's version as a query."""
    appended = _append_path(url, path)
    return f"{appended}{'&' if urlsplit(appended).query else '?'}version={version}"


def _append_path(url: str, path: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path, fragment=""))


def _send(run: Run, task: CrawlerTask, method: str, url: str, body: Any, headers: Mapping[str, str]) -> bytes:
    """Sends a request, records it, and gives the answer's body. Redirects are not followed: what is sent is secret.

    Raises what the gate raises, `Unavailable` for what may succeed later, and `Failed` for what will not.
    """
    start = time.monotonic()
    call = CrawlerCall(task=task, run=run, attempt=run.attempt, method=method, url=mask(url)[:2000], duration_ms=0)
    all_headers = {"Accept": "application/json", **headers, "Content-Type": "application/json"}
    try:
        with Session(secret_headers=list(headers)) as session:
            answer = session.request(
                method, url, data=json.dumps(body).encode(), headers=all_headers, allow_redirects=False
            )
            call.status = code = answer.status_code
            if 200 <= code < 300:
                return answer.content
            kind = Unavailable if code >= 500 or code in RETRYABLE else Failed
            raise kind(f"The crawler answered {code}.", retry_after=pause_of(code, answer.headers))
    except Problem as problem:
        call.error = hide(problem.detail, frozenset(headers.values()))[:2000]
        raise
    finally:
        call.duration_ms = int((time.monotonic() - start) * 1000)
        with suppress(IntegrityError), transaction.atomic():  # the task may have been removed meanwhile
            call.save()
