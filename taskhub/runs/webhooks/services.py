"""Secrets of users, and deliveries: sent, tried again, on record."""

import json
import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from taskhub.audit.services import record_change
from taskhub.error_texts import storable
from taskhub.errors import Failed, NotFound, Problem, Unavailable
from taskhub.metrics.totals import SharedCounter
from taskhub.outbound import Session, TooMuch, configured_policy, pause_of
from taskhub.runs.models import Run
from taskhub.runs.queue import confirm, retry, visible_run
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.webhook_events import TEST, WEBHOOK, address_of, checked_webhook, submit_delivery
from taskhub.runs.run_kinds import kind_or_default
from taskhub.runs.serializers import RunSerializer
from taskhub.runs.webhooks.domain import SECRET_BYTES, Verdict, secret_text, signatures, verdict
from taskhub.runs.webhooks.models import DeliveryAttempt, WebhookSecret
from taskhub.security.masking import MASK, is_secret, mask, mask_all

ANSWER_MAX = 1000  # characters of an answer that are kept
RESULT_MAX = 1_000_000  # bytes of a result that are sent along
KEEP_HOURS_MAX = 30 * 24
HEADERS_MAX, HEADER_MAX = 50, 200  # headers of one attempt that are kept, and characters of each
SIGNATURE = "webhook-signature"
ATTEMPTS = SharedCounter("taskhub_webhook_attempts", "Attempts to deliver a webhook, by their outcome.", "outcome")


class Undelivered(Unavailable):
    """A failed attempt: the delivery is tried again later."""


class Gone(Failed):
    """The receiver answered 410: it is not tried again."""


# Secrets


@transaction.atomic
def rotate_secret(*, owner: Any, keep_hours: float) -> WebhookSecret:
    """Makes a new secret; the one before signs beside it for so many hours, so that receivers can change over."""
    until = timezone.now() + timedelta(hours=keep_hours)
    WebhookSecret.objects.filter(owner=owner, expires_at__isnull=True).update(expires_at=until)
    WebhookSecret.objects.filter(owner=owner, expires_at__lte=timezone.now()).delete()
    record_change("rotate", "webhook secret", owner.pk, owner_id=owner.pk, after={"keep_hours": keep_hours})
    return _new_secret(owner.pk)


def valid_secrets(*, owner_id: UUID) -> list[WebhookSecret]:
    """The current secret, which is made when it is first asked for, then those that still sign beside it."""
    valid = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    rows = sorted(WebhookSecret.objects.filter(valid, owner_id=owner_id), key=lambda row: row.expires_at is not None)
    return rows if rows and rows[0].expires_at is None else [_new_secret(owner_id), *rows]


def _new_secret(owner_id: UUID) -> WebhookSecret:
    try:
        with transaction.atomic():
            return WebhookSecret.objects.create(owner_id=owner_id, value=secret_text(secrets.token_bytes(SECRET_BYTES)))
    except IntegrityError:  # somebody else made it at the same moment
        return WebhookSecret.objects.get(owner_id=owner_id, expires_at__isnull=True)


# Deliveries


def visible_delivery(*, run_id: UUID, user: Any) -> Run:
    """The run of a delivery. Raises `NotFound` for what never was, is another's, or is no delivery."""
    run = visible_run(run_id=run_id, user=user)
    if run.kind != WEBHOOK:
        raise NotFound(f"There is no delivery {run_id}, or it is not yours.")
    return run


def send_test(*, owner: Any, url: str) -> Run:
    """Submits a delivery of the event `webhook.test`. Raises `Refused` for an address that the gate would not call."""
    return submit_delivery(owner=owner, url=checked_webhook(url), event=TEST, data={"message": "This is a test."})


def send_again(*, delivery: Run) -> Run:
    """Submits the same message again, as a new run. Raises `Conflict` while the old one goes on."""
    return retry(run=delivery)


def perform_delivery(execution: Execution) -> None:
    """Makes one attempt to deliver. Raises `Undelivered` where it is to be tried again."""
    run = execution.run
    body = message_of(run)
    outcome = _call(run, body)
    record_attempt(execution, outcome)


def record_attempt(execution: Execution, outcome: "DeliveryOutcome") -> None:
    """Writes an attempt down, and ends the run where that delivered it. Raises its error where it did not."""
    run = execution.run
    execution.log_line(
        logging.WARNING if outcome.error else logging.INFO,
        f"attempt {run.attempt}: {outcome.status or 'no answer'} in {outcome.duration_ms} ms",
    )
    with transaction.atomic():
        confirm(run=run)
        DeliveryAttempt.objects.create(
            delivery=run,
            number=run.attempt,
            status=outcome.status,
            duration_ms=outcome.duration_ms,
            error=str(outcome.error or ""),
            answer=outcome.answer,
            headers=outcome.headers,
        )
        if outcome.error is None:
            execution.succeed({"status": outcome.status})
    ATTEMPTS.add("delivered" if outcome.error is None else "refused" if outcome.status else "unanswered")
    if outcome.error:
        raise outcome.error


def message_of(run: Run) -> bytes:
    """The body of a delivery, as it is sent."""
    return json.dumps(body_of(run), ensure_ascii=False, separators=(",", ":")).encode()


def body_of(run: Run) -> dict[str, Any]:
    """The body of a delivery: `{type, timestamp, data}`. What it tells of has ended, so each attempt sends the same;
    but links in it are made anew."""
    delivery = run.arguments
    return {"type": delivery["event"], "timestamp": delivery["timestamp"], "data": _data(run)}


def body_for(run: Run, viewer: Any) -> dict[str, Any]:
    """The body of a delivery for its owner as it is; for staff without secrets."""
    body = body_of(run)
    if viewer.pk == run.owner_id:
        return body
    masked: dict[str, Any] = mask_all(body, run.secrets | (run.parent.secrets if run.parent else frozenset()))
    return masked


def _data(run: Run) -> dict[str, Any]:
    data, ended_run = run.arguments["data"], run.parent
    if ended_run is None or run.arguments.get("whole"):
        return dict(data)
    message = kind_or_default(ended_run.kind).webhook_message(ended_run, data)
    if message is None:
        message = dict(RunSerializer(ended_run).data)
        if len(json.dumps(ended_run.result)) <= RESULT_MAX:
            message["result"] = ended_run.result
    return message


@dataclass
class DeliveryOutcome:
    """The outcome of one attempt; `error` is None where it was delivered. `headers` are as an attempt keeps them."""

    duration_ms: int
    status: int | None = None
    error: Problem | None = None
    answer: str = ""
    headers: Mapping[str, Mapping[str, str]] | None = None


def _call(run: Run, body: bytes) -> DeliveryOutcome:
    began = time.monotonic()
    status, answer, error = None, "", None
    sent, received = dict[str, str](), dict[str, str]()
    try:
        sent = _signed_headers(run, body)
        status, answer, pause, received = _post(run, body, sent)
        error = _error(status, pause)
    except TooMuch as problem:  # its headers, such as those of an error page: the next answer may be another
        error = Undelivered(problem.detail)
    except Problem as problem:
        error = problem
    headers = {"sent": _kept_headers(sent), "received": _kept_headers(received)}
    return DeliveryOutcome(round((time.monotonic() - began) * 1000), status, error, answer, headers)


def _error(status: int, pause: int) -> Problem | None:
    match verdict(status):
        case Verdict.DELIVERED:
            return None
        case Verdict.GONE:
            return Gone("The receiver answered 410: it wants to hear no more.")
    return Undelivered(f"The receiver answered {status}.", retry_after=pause)


def _signed_headers(run: Run, body: bytes) -> dict[str, str]:
    delivery, timestamp = run.arguments, int(time.time())
    keys = [secret.value for secret in valid_secrets(owner_id=run.owner_id)]
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery["message"],
        "webhook-timestamp": str(timestamp),
        SIGNATURE: signatures(keys, message=delivery["message"], timestamp=timestamp, body=body),
    }


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as an attempt keeps them: some of them, what is long cut, and what is secret masked."""
    first = list(headers.items())[:HEADERS_MAX]
    return {
        storable(name)[:HEADER_MAX]: MASK
        if name == SIGNATURE or is_secret(name)
        else storable(mask(value))[:HEADER_MAX]
        for name, value in first
    }


def _post(run: Run, body: bytes, headers: dict[str, str]) -> tuple[int, str, int, dict[str, str]]:
    """Sends a delivery; the status, the beginning of the answer, whose rest is not read, the seconds that the receiver
    wants to be left alone, and the headers of the answer."""
    limit = settings.WEBHOOK_SECONDS
    policy = configured_policy()
    policy = replace(policy, total_timeout=limit, read_timeout=min(limit, policy.read_timeout))
    with (
        Session(policy) as session,
        session.post(address_of(run), data=body, headers=headers, allow_redirects=False, stream=True) as answer,
    ):
        pause = pause_of(answer.status_code, answer.headers)
        return answer.status_code, _beginning(answer), pause, dict(answer.headers)


def attempts_of(deliveries: Iterable[UUID]) -> dict[UUID, list[DeliveryAttempt]]:
    """The attempts at some deliveries, oldest first."""
    found: dict[UUID, list[DeliveryAttempt]] = {}
    for attempt in DeliveryAttempt.objects.filter(delivery__in=list(deliveries)).order_by("id"):
        found.setdefault(attempt.delivery_id, []).append(attempt)
    return found


def _beginning(answer: Any) -> str:
    """As an attempt keeps it: without what is secret."""
    try:
        part = next(answer.iter_content(ANSWER_MAX), b"")
    except Problem:  # it has answered; what else it says is its affair
        part = b""
    return mask(str(part.decode("utf-8", "replace").replace("\x00", "")))
