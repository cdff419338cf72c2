"""What is answered: the objects of crawlers as they look on the wire, and the envelope around them."""

from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework.response import Response

from crawlers.models import Crawler, External, Stream, Task
from crawlers.services.crawler_schedules import schedule_of
from crawlers.services.status_updates import status_of
from taskhub.security.masking import MASK, mask_value
from taskhub.web.parameter_types import format_timestamp

HISTORY_MAX = 100


def enveloped(payload: Any, version: int = 0, status: int = 200, headers: Any = None, **more: Any) -> Response:
    """`version` is the object's; 0 for a list."""
    return Response({"success": True, "payload": payload, "version": version, **more}, status, headers=headers)


def external_values(external: External) -> dict[str, Any]:
    """As it would be sent, headers and all: what a PATCH is merged into."""
    return {
        "meta": external.meta,
        "endpoint": external.endpoint,
        "credential": external.credential,
        "parameters": external.parameters,
        "schema": external.schema,
        "docIdField": external.id_field or None,
        "headers": external.headers,
        "timeout": external.timeout,
    }


def external_of(external: External) -> dict[str, Any]:
    shown = external_values(external)
    return {
        "fid": str(external.fid),
        **shown,
        "headers": mask_value(external.headers),
        "version": external.version,
        "created_at": format_timestamp(external.created_at),
    }


def stream_of(stream: Stream, crawler: Crawler | None, task: Task | None) -> dict[str, Any]:
    return {
        "fid": str(stream.fid),
        "name": stream.name,
        "meta": stream.meta,
        "documents": stream.documents,
        "crawler": {"fid": str(crawler.fid), "meta": crawler.meta} if crawler else None,
        "task": _latest_of(task) if task else None,
        "status": status_of(task) if task else None,
        "version": stream.version,
        "created_at": format_timestamp(stream.created_at),
    }


def _latest_of(task: Task) -> dict[str, Any]:
    return {"fid": str(task.fid), "attempt": task.attempt, "created_at": format_timestamp(task.created_at)}


def streams_of(streams: Iterable[Stream]) -> list[dict[str, Any]]:
    """With the crawler and the latest task of each, in two queries."""
    rows = list(streams)
    ids = [stream.pk for stream in rows]
    crawlers = {one.stream_id: one for one in Crawler.objects.filter(stream__in=ids, removed_at__isnull=True)}
    latest = Task.objects.filter(stream__in=ids, removed_at__isnull=True).order_by("stream", "-id").distinct("stream")
    tasks = {task.stream_id: task for task in latest}
    return [stream_of(stream, crawlers.get(stream.pk), tasks.get(stream.pk)) for stream in rows]


def crawler_of(crawler: Crawler) -> dict[str, Any]:
    """Secret parameters are stars; the credential is not shown at all."""
    hidden = dict.fromkeys(crawler.secrets.get("params", {}), MASK)
    return {
        "fid": str(crawler.fid),
        "meta": crawler.meta,
        "external": str(crawler.external.fid),
        "stream": str(crawler.stream.fid),
        "params": {**crawler.params, **hidden},
        "schedule": schedule_of(crawler),
        "version": crawler.version,
        "created_at": format_timestamp(crawler.created_at),
    }


def task_of(task: Task) -> dict[str, Any]:
    hidden = dict.fromkeys(task.secrets.get("params", {}), MASK)
    return {
        "fid": str(task.fid),
        "crawler": str(task.crawler.fid) if task.crawler and not task.crawler.removed_at else None,
        "stream": str(task.stream.fid),
        "external": str(task.external.fid),
        "run": str(task.run_id) if task.run_id else None,
        "attempt": task.attempt,
        "status": status_of(task),
        "counts": task.counts,
        "limits": {"timeout": task.timeout},
        "params": {**task.params, **hidden},
        "version": task.version,
        "created_at": format_timestamp(task.created_at),
        "started_at": format_timestamp(task.started_at) if task.started_at else None,
        "seen_at": format_timestamp(task.seen_at),
        "ended_at": format_timestamp(task.ended_at) if task.ended_at else None,
    }


def whole_task_of(task: Task) -> dict[str, Any]:
    """With its history and the requests to the crawler, the latest hundred of each."""
    history = list(task.history.order_by("-id")[:HISTORY_MAX])
    calls = list(task.calls.order_by("-id")[:HISTORY_MAX])
    return task_of(task) | {
        "history": [
            {
                "attempt": one.attempt,
                "code": one.code,
                "message": one.message,
                "detail": one.detail,
                "by": one.by,
                "at": format_timestamp(one.at),
            }
            for one in reversed(history)
        ],
        "calls": [
            {
                "method": one.method,
                "url": one.url,
                "status": one.status,
                "error": one.error,
                "duration_ms": one.duration_ms,
                "at": format_timestamp(one.at),
            }
            for one in reversed(calls)
        ],
    }


def messages_of(problem: Mapping[str, Any]) -> list[str]:
    """The faults as sentences, each with its place."""
    told = []
    for error in problem.get("errors", []):
        place = error.get("pointer") or (f"line {error['line']}" if "line" in error else "")
        told.append(f"{place}: {error['detail']}" if place else str(error["detail"]))
    return told or [str(problem.get("detail", ""))]
