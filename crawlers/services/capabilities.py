"""Capabilities: each lets a crawler report on one attempt of one task, and on nothing else."""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from uuid import UUID

from django.conf import settings

from crawlers.models import CrawlerTask
from taskhub.errors import NotFound


def capability_of(task: CrawlerTask) -> str:
    """HMAC-SHA256 over task and attempt, under the newest of SECRET_KEYS; 32 characters of base64url."""
    return _sign(settings.SECRET_KEY, task)


def task_endpoint(task: CrawlerTask) -> str:
    """The address to which the crawler appends `/upload`, `/status`, `/log` and `/state`."""
    return f"{settings.PUBLIC_URL}/c/{capability_of(task)}/actions/tasks/{task.fid}"


def find_task(*, capability: str, fid: UUID) -> CrawlerTask:
    """The task of a capability. Raises `NotFound` for one that is not that of the task's present attempt."""
    task: CrawlerTask | None = CrawlerTask.objects.for_upload().filter(fid=fid, removed_at__isnull=True).first()
    if task is None or not any(
        hmac.compare_digest(_sign(key, task).encode(), capability.encode()) for key in settings.SECRET_KEYS
    ):
        raise NotFound("There is no such task, or the capability is not that of its present attempt.")
    return task


def _sign(key: str, task: CrawlerTask) -> str:
    text = f"taskhub: capability of a task\n{task.fid}\n{task.attempt}"
    return urlsafe_b64encode(hmac.digest(key.encode(), text.encode(), sha256)[:24]).decode("ascii")
