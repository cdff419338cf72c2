"""Externals, streams, crawlers and tasks as they look on the wire."""

from collections.abc import Iterable
from typing import Any

from crawlers.domain.parameters import hide_secret_defaults
from crawlers.models import Crawler, CrawlerTask, External, Stream
from crawlers.services.crawler_schedules import schedule_of
from crawlers.services.status_updates import status_of
from taskhub.jsontools.field_types import format_timestamp
from taskhub.security.masking import MASK, mask, mask_all, mask_value, masked_address

HISTORY_MAX = 100
# Of the external and the stream, in a list of what refers to them.
UNSHOWN = ("external__meta", "external__parameters", "external__schema", "external__headers", "stream__meta")


def external_body(external: External) -> dict[str, Any]:
    """An external as a client would send it: what a PATCH is merged into. Secrets are stars, for what is stored."""
    return {
        "meta": external.meta,
        "endpoint": external.endpoint,
        "credential": external.kept.get("credential", external.credential),
        "parameters": hide_secret_defaults(external.parameters),
        "schema": external.schema,
        "docIdField": external.id_field or None,
        "headers": dict.fromkeys(external.headers, MASK),
        "timeout": external.timeout,
        "analysis": external.kept.get("analysis"),
        "oauth": external.kept.get("oauth"),
        "oauthParameters": external.kept.get("oauthParameters"),
    }


def serialize_external(external: External, viewer: Any) -> dict[str, Any]:
    """An external. Others than its owner see its addresses, and what is kept for clients, without secrets."""
    body = external_body(external)
    if external.owner_id != viewer.pk:
        body |= {name: mask_all(body[name]) for name in ("endpoint", "analysis", "oauth", "oauthParameters")}
    return {
        "fid": str(external.fid),
        **body,
        "headers": mask_value(external.headers),
        "version": external.version,
        "created_at": format_timestamp(external.created_at),
    }


def retention_of(stream: Stream) -> dict[str, int | None]:
    return {"days": stream.retention_days, "documents": stream.retention_documents}


def serialize_stream(stream: Stream, crawler: Crawler | None, task: CrawlerTask | None) -> dict[str, Any]:
    return {
        "fid": str(stream.fid),
        "name": stream.name,
        "meta": stream.meta,
        "documents": stream.documents,
        "retention": retention_of(stream),
        "crawler": {"fid": str(crawler.fid), "meta": crawler.meta} if crawler else None,
        "task": {
            "fid": str(task.fid),
            "attempt": task.attempt,
            "created_at": format_timestamp(task.created_at),
        }
        if task
        else None,
        "status": status_of(task) if task else None,
        "version": stream.version,
        "created_at": format_timestamp(stream.created_at),
    }


def serialize_streams(streams: Iterable[Stream]) -> list[dict[str, Any]]:
    """Streams with the crawler and the latest task of each, in two queries."""
    streams = list(streams)
    present = {"stream__in": [stream.pk for stream in streams], "removed_at__isnull": True}
    crawlers = {crawler.stream_id: crawler for crawler in Crawler.objects.filter(**present).defer("params", "secrets")}
    latest = CrawlerTask.objects.filter(**present).order_by("stream", "-id").distinct("stream")
    latest = latest.defer("params", "secrets")
    tasks = {task.stream_id: task for task in latest}
    return [serialize_stream(stream, crawlers.get(stream.pk), tasks.get(stream.pk)) for stream in streams]


def serialize_crawler(crawler: Crawler, viewer: Any) -> dict[str, Any]:
    """A crawler. Secret parameters are stars; the credential is not shown at all, the webhook to the owner alone."""
    hidden = dict.fromkeys(crawler.secrets.get("params", {}), MASK)
    return {
        "fid": str(crawler.fid),
        "meta": crawler.meta,
        "external": str(crawler.external.fid),
        "stream": str(crawler.stream.fid),
        "params": {**crawler.params, **hidden},
        "schedule": schedule_of(crawler),
        "webhook": crawler.webhook if crawler.owner_id == viewer.pk else masked_address(crawler.webhook),
        "version": crawler.version,
        "created_at": format_timestamp(crawler.created_at),
    }


def serialize_task(task: CrawlerTask) -> dict[str, Any]:
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
        "progress": task.progress,
        "stats": task.stats,
        "limits": {"timeout": task.timeout},
        "params": {**task.params, **hidden},
        "version": task.version,
        "created_at": format_timestamp(task.created_at),
        "started_at": format_timestamp(task.started_at) if task.started_at else None,
        "seen_at": format_timestamp(task.seen_at),
        "ended_at": format_timestamp(task.ended_at) if task.ended_at else None,
    }


def serialize_report(task: CrawlerTask) -> dict[str, Any]:
    """The short answer to a status: a crawler may send one with every page."""
    return {"fid": str(task.fid), "attempt": task.attempt, "status": status_of(task)}


def serialize_task_details(task: CrawlerTask) -> dict[str, Any]:
    """A task with its history and the requests to the crawler, the latest hundred of each."""
    history = list(task.history.order_by("-id")[:HISTORY_MAX])
    calls = list(task.calls.order_by("-id")[:HISTORY_MAX])
    return serialize_task(task) | {
        "history": [
            {
                "attempt": change.attempt,
                "code": change.code,
                "message": change.message,
                "detail": change.detail,
                "by": change.by,
                "at": format_timestamp(change.at),
            }
            for change in reversed(history)
        ],
        "calls": [
            {
                "method": call.method,
                "url": mask(call.url),
                "status": call.status,
                "error": call.error,
                "duration_ms": call.duration_ms,
                "at": format_timestamp(call.at),
            }
            for call in reversed(calls)
        ],
    }
