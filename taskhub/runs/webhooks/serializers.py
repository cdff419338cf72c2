"""Secrets, deliveries and attempts on the wire, and as the document shows them."""

from typing import Any

from taskhub.jsontools.field_types import format_timestamp
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue.webhook_events import address_of
from taskhub.runs.serializers import ERROR_SCHEMA
from taskhub.runs.webhooks import services
from taskhub.runs.webhooks.models import DeliveryAttempt, WebhookSecret
from taskhub.security.masking import masked_address
from taskhub.web.openapi.schemas import object_of

TIME = "2026-01-31T12:00:00.000000Z"
EXAMPLE_SECRET = {
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
    "created_at": TIME,
    "expires_at": None,
}
EXAMPLE_ATTEMPT = {
    "number": 1,
    "at": TIME,
    "status": 204,
    "duration_ms": 12,
    "error": "",
    "answer": "",
    "headers": {"sent": {"webhook-signature": "***"}, "received": {"Server": "nginx"}},
}
EXAMPLE_DELIVERY = {
    "id": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e72",
    "message": "msg_0a6d43c1e7c3a9b6e5a1d2f4c8e70aaaa",
    "event": "process.finished",
    "url": "https://example.com/hook",
    "run": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e71",
    "again": None,
    "state": "SUCCESS",
    "attempt": 1,
    "error": None,
    "next_attempt_at": None,
    "created_at": TIME,
    "finished_at": TIME,
}
NULLABLE: dict[str, Any] = {"type": ["string", "null"]}
DELIVERY = object_of(
    "WebhookDelivery",
    EXAMPLE_DELIVERY,
    run=NULLABLE,
    again=NULLABLE | {"description": "The delivery that this one sends again."},
    state={"type": "string", "enum": [str(state) for state in State]},
    error=ERROR_SCHEMA,
    next_attempt_at=NULLABLE,
    finished_at=NULLABLE,
)
_HEADERS = {"type": "object", "additionalProperties": {"type": "string"}}
ATTEMPT = object_of(
    "DeliveryAttempt",
    EXAMPLE_ATTEMPT,
    status={"type": ["integer", "null"]},
    headers={
        "type": ["object", "null"],
        "description": "Of webhooks; what is secret in them is masked.",
        "properties": {"sent": _HEADERS, "received": _HEADERS},
    },
)
WHOLE = DELIVERY | {
    "title": "WholeWebhookDelivery",
    "properties": DELIVERY["properties"]
    | {
        "body": {"type": "object", "description": "What is sent; links in it are made anew for each attempt."},
        "attempts": {"type": "array", "items": ATTEMPT},
    },
}
EXAMPLE_WHOLE = EXAMPLE_DELIVERY | {
    "body": {"type": "process.finished", "timestamp": TIME, "data": {"id": "2Bd7eQmVQjRlm6WGRSiWNu4xW3n"}},
    "attempts": [EXAMPLE_ATTEMPT],
}
SECRET = object_of("WebhookSecret", EXAMPLE_SECRET, expires_at=NULLABLE)
SECRETS = {
    "title": "WebhookSecrets",
    "type": "object",
    "properties": {"current": SECRET, "retiring": {"type": "array", "items": SECRET}},
    "required": ["current", "retiring"],
    "additionalProperties": False,
}
EXAMPLE_SECRETS = {"current": EXAMPLE_SECRET, "retiring": []}


def delivery_of(run: Run, viewer: Any) -> dict[str, Any]:
    """A delivery. Others than its owner see the address without its query."""
    delivery, receiver = run.arguments, address_of(run)
    return {
        "id": str(run.pk),
        "message": delivery["message"],
        "event": delivery["event"],
        "url": receiver if run.owner_id == viewer.pk else masked_address(receiver),
        "run": str(run.parent_id) if run.parent_id else None,
        "again": str(run.retry_of_id) if run.retry_of_id else None,
        "state": run.state,
        "attempt": run.attempt,
        "error": run.error,
        "next_attempt_at": format_timestamp(run.not_before) if run.state == State.RETRY and run.not_before else None,
        "created_at": format_timestamp(run.created_at),
        "finished_at": format_timestamp(run.finished_at) if run.finished_at else None,
    }


def whole_delivery(run: Run, viewer: Any) -> dict[str, Any]:
    attempts = DeliveryAttempt.objects.filter(delivery=run).order_by("id")
    return delivery_of(run, viewer) | {
        "body": services.body_for(run, viewer),
        "attempts": [attempt_of(attempt) for attempt in attempts],
    }


def attempt_of(attempt: DeliveryAttempt) -> dict[str, Any]:
    return {name: getattr(attempt, name) for name in EXAMPLE_ATTEMPT} | {"at": format_timestamp(attempt.at)}


def secrets_of(owner: Any) -> dict[str, Any]:
    current, *retiring = [_secret_of(secret) for secret in services.valid_secrets(owner_id=owner.pk)]
    return {"current": current, "retiring": retiring}


def _secret_of(secret: WebhookSecret) -> dict[str, Any]:
    return {
        "secret": secret.value,
        "created_at": format_timestamp(secret.created_at),
        "expires_at": format_timestamp(secret.expires_at) if secret.expires_at else None,
    }
