"""Objects as they look on the wire, for the document."""

from typing import Any

from taskhub.web.openapi.schemas import object_of

ID = "1XtQA0Z15N3fqKZuzPKESUsTIW1"
PROCESS_ID = "1PBhj5EGo2hAvBsytLDL363A6Mq"
FILE_NAME = f"{ID}-3f1c9a0b5d7e42688c1f0e9d2b7a6453.pdf"
PAYLOAD: dict[str, Any] = {
    "name": "Shop",
    "request": {"url": "https://shop.example.com/", "type": "base"},
    "commonParent": ".product",
    "fields": [
        {"name": "Title", "selector": "h2 a", "attrs": ["href", "text"], "filters": [{"name": "trim"}]},
        {"name": "Price", "selector": ".price", "attrs": ["text"], "filters": [{"name": "regex", "param": "[0-9.]+"}]},
    ],
    "paginator": {"nextPageSelector": "a.next", "pageNum": 10},
    "format": "CSV",
}
TASK = {
    "id": ID,
    "name": "Shop",
    "webhook": "",
    "payload": PAYLOAD,
    "description": "Every product",
    "type": "extract",
}
PROCESS = {
    "id": PROCESS_ID,
    "status": "finished",
    "taskID": ID,
    "startedAt": "1580302278",
    "finishedAt": "1580312522",
    "requestCount": 1000,
    "responseCount": 1000,
    "results": f"{PROCESS_ID}.csv",
    "logFile": f"http://127.0.0.1:8000/v1/files/signed/{PROCESS_ID}.log",
    "missingCredits": 0,
    "cost": 1000,
}
PAGE = {
    "url": "https://shop.example.com/",
    "state": "failed",
    "status": 503,
    "attempt": 3,
    "records": 0,
    "bytes": 0,
    "duration_ms": 35,
    "cost": 0,
    "error": "The server answers 503.",
    "fetched_at": "2026-01-31T12:00:00Z",
    "not_before": None,
}
WARNING = {
    "code": "nothing-found",
    "pointer": "/fields/1/selector",
    "detail": "The selector finds nothing on any page.",
    "at": "2026-01-31T12:00:00Z",
}
PREVIEW: dict[str, Any] = {
    "records": [{"Title_href": "https://shop.example.com/1", "Title_text": "Lamp", "Price": None}],
    "count": 1,
    "fields": [
        {
            "name": "Title",
            "matched": 1,
            "nulls": 0,
            "examples": [{"Title_href": "https://shop.example.com/1", "Title_text": "Lamp"}],
        },
        {"name": "Price", "matched": 0, "nulls": 1, "examples": []},
    ],
    "next": "https://shop.example.com/?page=2",
    "warnings": [{name: text for name, text in WARNING.items() if name != "at"}],
    "rendered": False,
    "url": "https://shop.example.com/",
}
SUGGESTIONS: dict[str, Any] = {
    "suggestions": [{"payload": PAYLOAD, "records": [{"Title_text": "Lamp", "Price": "12.50"}], "score": 0.83}]
}
DESTINATION = {"type": "s3", "path": "shop", "bucket": "results", "accessKeyId": "AKIA...", "secretAccessKey": "***"}
DELIVERY = {
    "to": f"s3://results/shop/{PROCESS_ID}.csv",
    "state": "RETRY",
    "attempt": 1,
    "error": "s3 does not take the file.",
    "next_attempt_at": "2026-01-31T12:00:10Z",
    "run": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
    "finished_at": None,
}
ESTIMATE = {"price": 1, "atLeast": 1, "atMost": 10, "last": 8, "balance": 1000, "enough": True}
ENTRY = {
    "kind": "top_up",
    "amount": 500,
    "balance": 1500,
    "process": None,
    "note": "invoice 7",
    "at": "2026-01-31T12:00:00Z",
}
CREDITS = {"balance": 1500, "entries": [ENTRY]}

TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
NUMBER_OR_NULL: dict[str, Any] = {"type": ["integer", "null"]}
STATUSES = ["running", "finished", "canceled", "failed", "pending"]
TASK_SCHEMA = object_of("ExtractionTask", TASK, payload={"type": "object"})
PROCESS_SCHEMA = object_of(
    "Process",
    PROCESS,
    status={"type": "string", "enum": STATUSES},
    startedAt=TEXT_OR_NULL,
    finishedAt=TEXT_OR_NULL,
)
PAGE_SCHEMA = object_of(
    "ExtractionPage", PAGE, status=NUMBER_OR_NULL, error=TEXT_OR_NULL, fetched_at=TEXT_OR_NULL, not_before=TEXT_OR_NULL
)
WARNING_CODES = [
    *("nothing-found", "always-null", "no-records", "records-left-out", "pages-left-out", "list-repeats", "not-used"),
    *("cells-cut", "characters-replaced", "several-sheets", "rows-left-out"),
]
WARNING_SCHEMA = object_of("ProcessWarning", WARNING, code={"type": "string", "enum": WARNING_CODES})
PREVIEW_CODES = ["one-block", "next-leads-nowhere", "page-not-taken"]
PREVIEW_WARNING_SCHEMA = object_of(
    "PreviewWarning",
    {name: text for name, text in WARNING.items() if name != "at"},
    code={"type": "string", "enum": [*WARNING_CODES, *PREVIEW_CODES]},
)
RECORDS_SCHEMA: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
PREVIEW_SCHEMA = object_of(
    "Preview",
    PREVIEW,
    records=RECORDS_SCHEMA,
    fields={
        "type": "array",
        "items": object_of("PreviewField", PREVIEW["fields"][1], examples={"type": "array", "items": {}}),
    },
    next=TEXT_OR_NULL,
    warnings={"type": "array", "items": PREVIEW_WARNING_SCHEMA},
)
SUGGESTION_SCHEMA = object_of(
    "Suggestion",
    SUGGESTIONS["suggestions"][0],
    payload={"type": "object"},
    records=RECORDS_SCHEMA,
    score={"type": "number"},
)
SUGGESTIONS_SCHEMA = object_of("Suggestions", SUGGESTIONS, suggestions={"type": "array", "items": SUGGESTION_SCHEMA})
DELIVERY_SCHEMA = object_of(
    "ResultDelivery",
    DELIVERY,
    error=TEXT_OR_NULL,
    next_attempt_at=TEXT_OR_NULL,
    finished_at=TEXT_OR_NULL,
)
ESTIMATE_SCHEMA = object_of("Estimate", ESTIMATE, last=NUMBER_OR_NULL)
ENTRY_SCHEMA = object_of("CreditEntry", ENTRY, process=TEXT_OR_NULL)
CREDITS_SCHEMA = object_of("Credits", CREDITS, entries={"type": "array", "items": ENTRY_SCHEMA})
