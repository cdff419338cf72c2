"""The examples of the OpenAPI document, and the schemas that are made of them."""

from typing import Any

from crawlers.api.views import EXAMPLE_FID
from taskhub.web.openapi.schemas import nullable, object_of

TIME = "2026-01-31T12:00:00Z"
SENT_EXTERNAL: dict[str, Any] = {
    "meta": {"name": "shop crawler"},
    "endpoint": "http://127.0.0.1:9000/shop",
    "credential": "none",
    "parameters": [{"name": "query", "type": "string", "required": True, "max": 100}],
    "schema": {"type": "object", "required": ["sku"]},
    "docIdField": "sku",
    "headers": {},
    "timeout": 600,
}
SENT_CRAWLER: dict[str, Any] = {"meta": {"name": "shoes"}, "params": {"query": "shoes"}}
KEPT: dict[str, Any] = {"analysis": None, "oauth": None, "oauthParameters": None}
EXTERNAL = {"fid": EXAMPLE_FID, **SENT_EXTERNAL, **KEPT, "version": 1, "created_at": TIME}
STATUS = {"code": 102, "message": "running", "detail": ""}
STREAM: dict[str, Any] = {
    "fid": EXAMPLE_FID,
    "name": "shoes",
    "meta": {"name": "shoes"},
    "documents": 3,
    "retention": {"days": 30, "documents": None},
    "crawler": {"fid": EXAMPLE_FID, "meta": {"name": "shoes"}},
    "task": {"fid": EXAMPLE_FID, "attempt": 1, "created_at": TIME},
    "status": STATUS,
    "version": 1,
    "created_at": TIME,
}
CRAWLER = {
    "fid": EXAMPLE_FID,
    "meta": {"name": "shoes"},
    "external": EXAMPLE_FID,
    "stream": EXAMPLE_FID,
    "params": {"query": "shoes"},
    "schedule": None,
    "webhook": "https://hooks.example.com/crawls",
    "version": 1,
    "created_at": TIME,
}
COUNTS = {"received": 3, "inserted": 3, "updated": 0, "unchanged": 0, "rejected": 0, "bytes": 123}
TASK = {
    "fid": EXAMPLE_FID,
    "crawler": EXAMPLE_FID,
    "stream": EXAMPLE_FID,
    "external": EXAMPLE_FID,
    "run": EXAMPLE_FID,
    "attempt": 1,
    "status": STATUS,
    "counts": COUNTS,
    "progress": {"done": 3, "total": 10},
    "stats": {"pages": 7},
    "limits": {"timeout": 600},
    "params": {"query": "shoes"},
    "version": 2,
    "created_at": TIME,
    "started_at": TIME,
    "seen_at": TIME,
    "ended_at": None,
}
LOGGED = {"fid": EXAMPLE_FID, "attempt": 1, "lines": 2}
REPORTED = {"fid": EXAMPLE_FID, "attempt": 1, "status": STATUS}
CHANGE = {"attempt": 1, "code": 102, "message": "running", "detail": "", "by": "crawler", "at": TIME}
CALL = {
    "method": "POST",
    "url": "http://127.0.0.1:9000/shop/task?version=1",
    "status": 200,
    "error": "",
    "duration_ms": 12,
    "at": TIME,
}
WHOLE_TASK = TASK | {"history": [CHANGE], "calls": [CALL]}
UPLOADED = {"count": 3, "inserted": 3, "updated": 0, "unchanged": 0, "rejected": 0}
RESENT = {"count": 2, "inserted": 2, "updated": 0, "unchanged": 0, "rejected": 0}
REJECTED = {"line": 7, "reason": '/sku: 5 is not of type "string"', "body": '{"sku": 5}', "at": TIME}
PUT = {"op": "put", "id": "a1", "task": EXAMPLE_FID, "document": {"sku": "a1"}}
DELETE = {"op": "delete", "id": "a1", "task": EXAMPLE_FID}
CHANGES = {"results": [PUT, DELETE], "next": "https://hub.example.com/streams/7/changes?cursor=MTIuMA", "more": False}
STATISTICS: dict[str, Any] = {
    "documents": 3,
    "sample": 3,
    "fields": [{"name": "sku", "present": 3, "nulls": 0, "types": {"string": 3}, "examples": ["a1", "a2"]}],
    "days": [{"day": "2026-01-31", "inserted": 3, "updated": 0}],
}

FREE: dict[str, Any] = {"type": "object"}
DOCUMENT_SCHEMA = {"title": "Document", "type": "object"}
MAYBE_TEXT = {"type": ["string", "null"]}
MAYBE_NUMBER = {"type": ["integer", "null"]}
STATUS_SCHEMA = object_of("CrawlerTaskStatus", STATUS)
_EXTERNAL = {
    "meta": FREE,
    "credential": {"type": ["string", "object"]},
    "analysis": {},
    "oauth": MAYBE_TEXT,
    "oauthParameters": {},
    "parameters": {"type": "array", "items": {"$ref": "#/components/schemas/ParameterDescription"}},
    "schema": {},
    "docIdField": MAYBE_TEXT,
    "headers": FREE,
}
EXTERNAL_SCHEMA = object_of("External", EXTERNAL, **_EXTERNAL)
CRAWLER_SCHEMA = object_of("Crawler", CRAWLER, meta=FREE, params=FREE, schedule={"type": ["object", "null"]})
STREAM_SCHEMA = object_of(
    "Stream",
    STREAM,
    meta=FREE,
    retention=object_of("StreamRetention", STREAM["retention"], days=MAYBE_NUMBER, documents=MAYBE_NUMBER),
    crawler={"type": ["object", "null"]},
    task={"type": ["object", "null"]},
    status=nullable(STATUS_SCHEMA),
)
_TASK = dict.fromkeys(("crawler", "run", "started_at", "ended_at"), MAYBE_TEXT) | {
    "params": FREE,
    "status": STATUS_SCHEMA,
    "counts": object_of("DocumentCounts", COUNTS),
    "progress": {"type": ["object", "null"]},
    "stats": {"type": "object", "additionalProperties": {"type": "number"}},
}
TASK_SCHEMA = object_of("CrawlerTask", TASK, **_TASK)
_CALL = object_of("CrawlerCall", CALL, status={"type": ["integer", "null"]})
WHOLE_TASK_SCHEMA = object_of(
    "WholeCrawlerTask",
    WHOLE_TASK,
    **_TASK,
    history={"type": "array", "items": object_of("StatusChange", CHANGE)},
    calls={"type": "array", "items": _CALL},
)
REPORTED_SCHEMA = object_of("ReportedStatus", REPORTED, status=STATUS_SCHEMA)
LOGGED_SCHEMA = object_of("LoggedLines", LOGGED)
UPLOADED_SCHEMA = object_of("UploadCounts", UPLOADED)
REJECTED_SCHEMA = object_of("RejectedLine", REJECTED)
_OPERATION = {"op": {"enum": ["put", "delete"]}, "id": {}, "document": DOCUMENT_SCHEMA}
CHANGES_SCHEMA = object_of(
    "ChangePage",
    CHANGES,
    results={
        "type": "array",
        "items": object_of("DocumentChange", PUT, **_OPERATION) | {"required": ["op", "id", "task"]},
    },
)
_FIELD = object_of(
    "FieldStatistics",
    STATISTICS["fields"][0],
    types={"type": "object", "additionalProperties": {"type": "integer"}},
    examples={"type": "array", "items": {}},
)
STATISTICS_SCHEMA = object_of("StreamStatistics", STATISTICS, fields={"type": "array", "items": _FIELD})
