"""E-mails by SMTP: to real servers, encrypted as EMAIL_URL says, and to those that refuse or keep the hub waiting."""

import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from taskhub.outbound import Unreachable, smtp_client
from taskhub.outbound.errors import TimedOut
from taskhub.outbound.mail_server import MailServer
from taskhub.outbound.policy import Policy
from taskhub.outbound.smtp_client import MailOutcome, MailRefused, send_email
from tests.mail_servers import (
    PASSWORD,
    USER,
    Step,
    dribbles,
    leaves,
    mail_server,
    repeats,
    scripted_server,
    silent,
)

HASTY = Policy(connect_timeout=1, read_timeout=0.5, total_timeout=1)
PATIENT = replace(HASTY, read_timeout=10, total_timeout=20)
MESSAGE = b"Subject: hello\r\n\r\n.a line\r\n"
SIGNED_IN = f"{USER}:{quote(PASSWORD, safe='')}@"


def send(url: str, policy: Policy = PATIENT) -> MailOutcome:
    server = MailServer.parse(url)
    return send_email(
        server, policy, own_name="hub", sender="hub@example.com", receiver="ada@example.com", message=MESSAGE
    )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hub trusts the certificate, as operators of private servers have it do."""
    with authority.cert_pem.tempfile() as file:
        monkeypatch.setenv("SSL_CERT_FILE", file)
        yield


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("who", ["", SIGNED_IN])
@pytest.mark.parametrize("scheme", ["smtp", "smtps", "smtp+starttls"])
def test_a_server_takes_an_email(scheme: str, who: str, context: ssl.SSLContext) -> None:
    with mail_server(scheme, context if scheme != "smtp" else None, signs_in=bool(who)) as box:
        assert send(f"{scheme}://{who}{box.url}") == MailOutcome(250, "250 taken", None)
    [envelope] = box.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("hub@example.com", ["ada@example.com"])
    assert envelope.content == MESSAGE


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_certificate_that_nobody_vouches_for(scheme: str, context: ssl.SSLContext) -> None:
    with mail_server(scheme, context) as box:
        error = send(f"{scheme}://{box.url}").error
    assert isinstance(error, Unreachable)
    assert "shows a certificate that is not valid for it" in error.detail
    assert box.messages == []


def test_without_tls_nothing_is_sent_where_tls_was_asked_for() -> None:
    """A server that hides STARTTLS, or whoever stands before it, gets neither the password nor the e-mail."""
    with mail_server() as box:
        error = send(f"smtp+starttls://{SIGNED_IN}{box.url}").error
    assert isinstance(error, Unreachable)
    assert "STARTTLS extension not supported" in error.detail
    assert box.envelopes == []


def test_a_wrong_password() -> None:
    with mail_server(signs_in=True) as box:
        outcome = send(f"smtp://{USER}:wrong@{box.url}")
    assert (outcome.status, type(outcome.error)) == (535, Unreachable)  # the operator's to mend, so it is tried again
    assert "wrong" not in str(outcome)


@pytest.mark.parametrize(
    ("command", "reply", "kind"),
    [
        ("MAIL", "451 later", Unreachable),
        ("MAIL", "550 not you", Unreachable),
        ("RCPT", "450 greylisted", Unreachable),
        ("RCPT", "550 no such user", MailRefused),
        ("DATA", "452 disk full", Unreachable),
        ("DATA", "554 spam", MailRefused),
    ],
)
def test_a_server_that_refuses(command: str, reply: str, kind: type[Exception]) -> None:
    with mail_server() as box:
        box.replies[command] = reply
        outcome = send(f"smtp://{box.url}")
    assert (outcome.status, outcome.answer, type(outcome.error)) == (int(reply[:3]), reply, kind)
    assert outcome.error
    assert reply in outcome.error.detail


GREETING, HELLO, OK = b"220 here\r\n", b"250 here\r\n", b"250 ok\r\n"
TLS_HELLO = b"250-here\r\n250 STARTTLS\r\n"
BEFORE: dict[str, list[Step]] = {
    "greeting": [],
    "hello": [GREETING],
    "sender": [GREETING, HELLO],
    "receiver": [GREETING, HELLO, OK],
    "data": [GREETING, HELLO, OK, OK],
}


@pytest.mark.parametrize("step", BEFORE)
@pytest.mark.parametrize("behaviour", [silent, dribbles])
def test_a_server_that_keeps_the_hub_waiting(step: str, behaviour: Any) -> None:
    with scripted_server(*BEFORE[step], behaviour) as authority:
        policy = replace(PATIENT, read_timeout=0.5) if behaviour is silent else replace(PATIENT, total_timeout=1)
        outcome = send(f"smtp://{authority}", policy)
    assert isinstance(outcome.error, TimedOut)
    expected = "said nothing for 0.5 seconds." if behaviour is silent else "took longer than 1 seconds."
    assert outcome.error.detail == f"smtp://{authority} {expected}"


@pytest.mark.parametrize(
    ("scheme", "steps", "words"),
    [
        ("smtp", [b"554 not for you\r\n"], "answered: 554 not for you"),
        ("smtp", [leaves], "broke the connection off"),
        ("smtp", [GREETING, leaves], "broke the connection off"),
        ("smtp", [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "answered: -1"),
        ("smtp", [b"220-" + b"x" * 100_000], "answered: 500"),
        ("smtp", [GREETING, repeats], "says more than is taken"),
        ("smtps", [b"220 plain\r\n"], "does not agree on TLS"),
        ("smtps", [silent], "said nothing"),
        ("smtps", [leaves], "does not agree on TLS|broke the connection off"),
        ("smtp+starttls", [GREETING, TLS_HELLO, b"454 not now\r\n"], "answered: 454 not now"),
        ("smtp+starttls", [GREETING, TLS_HELLO, b"220 go\r\n", b"garbage, and no TLS at all\r\n" * 9], "TLS|broke"),
        ("smtp+starttls", [GREETING, TLS_HELLO, b"220 go\r\n220 injected\r\n"], "TLS|broke|said nothing|took longer"),
    ],
)
def test_a_server_that_is_none(scheme: str, steps: list[Step], words: str) -> None:
    with scripted_server(*steps) as authority:
        outcome = send(f"{scheme}://{authority}", HASTY if "said nothing" in words else PATIENT)
    assert isinstance(outcome.error, Unreachable)
    assert re.search(words, outcome.error.detail)


def test_nobody_there() -> None:
    with scripted_server() as authority:
        pass
    error = send(f"smtp://{authority}").error
    assert isinstance(error, Unreachable)
    assert "cannot be connected to: Connection refused" in error.detail


def test_a_goodbye_that_is_not_answered_matters_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_client, "GOODBYE_SECONDS", 0.1)
    taken = [GREETING, HELLO, OK, OK, b"354 go on\r\n", b"", b"", b"", b"250 taken\r\n"]
    with scripted_server(*taken, silent) as authority:
        assert send(f"smtp://{authority}").error is None
