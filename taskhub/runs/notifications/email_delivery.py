"""E-mails of notifications as runs: made of their message, sent, tried again, on record."""

import logging
import time
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from django.conf import settings

from taskhub.errors import Failed, Forbidden, Problem
from taskhub.outbound import configured_policy
from taskhub.outbound.mail_server import LOG, MailServer, read_address
from taskhub.outbound.smtp_client import MailOutcome, MailRefused, send_email
from taskhub.runs.models import Run
from taskhub.runs.notifications.domain import html_text, plain_text, subject_of, why_not_sent
from taskhub.runs.queue.execution import Execution
from taskhub.runs.webhooks.services import DeliveryOutcome, Undelivered, record_attempt

NO_SERVER = "This hub sends no e-mails: EMAIL_URL is not set."
_POLICY = SMTP.clone(cte_type="7bit")  # any server takes it

log = logging.getLogger(__name__)


def check_receiver(*, owner: Any, address: str) -> None:
    """Raises `Forbidden` where a user may not send to an address, and `Failed` where the hub sends no e-mails."""
    if settings.EMAIL_SERVER is None:
        raise Failed(NO_SERVER)
    if owner.is_staff:
        return
    try:
        own = read_address(owner.email)
    except ValueError:
        own = ""
    own_counts = settings.IS_LOCAL or not (settings.OPEN_SIGNUP or owner.email_unconfirmed)
    if reason := why_not_sent(address, own=own, own_counts=own_counts, domains=settings.EMAIL_DOMAINS):
        raise Forbidden(reason)


def perform_email(execution: Execution) -> None:
    """Makes one attempt to send an e-mail. Raises `Undelivered` where it is to be tried again."""
    run, began = execution.run, time.monotonic()
    try:
        check_receiver(owner=run.owner, address=run.arguments["to"])
        outcome = _send(run)
    except Problem as problem:
        outcome = MailOutcome(None, "", problem)
    error = outcome.error
    if error is not None and not isinstance(error, MailRefused | Forbidden | Failed):
        error = Undelivered(error.detail)
    duration_ms = round((time.monotonic() - began) * 1000)
    record_attempt(execution, DeliveryOutcome(duration_ms, outcome.status, error, outcome.answer))


def _send(run: Run) -> MailOutcome:
    server: MailServer | None = settings.EMAIL_SERVER
    if server is None:
        raise Failed(NO_SERVER)
    receiver, message = run.arguments["to"], message_of(run)
    if server.scheme == LOG:
        text = message.get_body(("plain",))
        log.info("E-mail to %s: %s\n%s", receiver, message["Subject"], text.get_content() if text else "")
        return MailOutcome(None, "written to the hub's log", None)
    policy, limit = configured_policy(), settings.EMAIL_SECONDS
    policy = replace(policy, total_timeout=limit, read_timeout=min(limit, policy.read_timeout))
    return send_email(
        server,
        policy,
        own_name=_domain(settings.EMAIL_FROM),
        sender=settings.EMAIL_FROM,
        receiver=receiver,
        message=message.as_bytes(),
    )


def message_of(run: Run) -> EmailMessage:
    """The e-mail of a run. Its id stays however often it is sent, so that receivers know a second copy."""
    data = run.arguments["data"]
    words = {"owner": run.owner.email, "public_url": settings.PUBLIC_URL}
    message = EmailMessage(_POLICY)
    message["Subject"] = subject_of(data)
    message["From"] = Address("taskhub", addr_spec=settings.EMAIL_FROM)
    message["To"] = Address(addr_spec=run.arguments["to"])
    message["Date"] = format_datetime(run.created_at)
    message["Message-ID"] = f"<{run.pk}@{_domain(settings.EMAIL_FROM)}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office notes
    message.set_content(plain_text(data, **words))
    message.add_alternative(html_text(data, **words), subtype="html")
    return message


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
