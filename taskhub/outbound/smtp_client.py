"""Sends an e-mail by SMTP (RFC 5321), within a time for each wait and one for all of them."""

import io
import smtplib
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from taskhub.errors import Failed, Problem
from taskhub.interruption import before_waiting, watch
from taskhub.outbound.errors import TimedOut, Unreachable
from taskhub.outbound.mail_server import STARTTLS, TLS, MailServer
from taskhub.outbound.names import resolve
from taskhub.outbound.policy import Allow, Policy

ANSWERS_MAX_BYTES = 64 * 1024  # that a server says in all
TEXT_MAX = 1000  # characters of a reply that are kept
GOODBYE_SECONDS = 2
_READY, _DONE = (220,), (250, 251)


class MailRefused(Failed):
    """The server does not take the e-mail, and will not do so later."""

    type, title = "mail-refused", "The mail server refused it"


@dataclass(frozen=True)
class MailOutcome:
    """The last reply of a server, if there was one, and `error`, which is None where it took the e-mail.

    A `MailRefused` is for good; after any other error the same e-mail may be taken later.
    """

    status: int | None
    answer: str
    error: Problem | None


class _Answers(io.RawIOBase):
    """What a server says, read in time, and no more than `ANSWERS_MAX_BYTES` of it."""

    def __init__(self, client: "TimedSmtp", connected: socket.socket) -> None:
        self._client, self._connected = client, connected

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        client, connected = self._client, self._connected
        connected.settimeout(client.time_left())
        try:
            count = connected.recv_into(buffer)
        except TimeoutError:
            client.has_waited = True
            raise
        client.allowance -= count
        if client.allowance < 0:
            raise OSError("it says more than is taken")
        return count


class TimedSmtp(smtplib.SMTP):
    """smtplib's client, each of whose waits ends in time, and with the work around it."""

    def __init__(self, server: MailServer, policy: Policy, own_name: str) -> None:
        super().__init__(local_hostname=own_name)  # else it would ask what this machine is called
        self._host = server.host  # whose certificate is checked
        self.server, self.policy = server, policy
        self.allowance = ANSWERS_MAX_BYTES
        self.has_waited = False  # in vain
        self.ends_at = time.monotonic() + policy.total_timeout

    def time_left(self) -> float:
        """Seconds for the next wait. Raises `TimeoutError` when there are none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, self.policy.read_timeout)

    def begin(self) -> None:
        """Connects, encrypts as the server's scheme says, and signs in.

        Raises `OSError`, and what smtplib raises.
        """
        if self.server.scheme in (TLS, STARTTLS):  # whom to trust takes tens of milliseconds to read
            self.context = ssl.create_default_context()
        _expect(self.connect(self.server.host, self.server.port), _READY)
        if self.server.scheme == STARTTLS:
            self.starttls(context=self.context)
            if self.sock is not None:
                watch(self.sock)
        self.ehlo_or_helo_if_needed()
        if self.server.user:
            self.login(self.server.user, self.server.password)

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
        before_waiting()
        connected = self._connected(host, port)
        watch(connected)
        if self.server.scheme == TLS:
            connected.settimeout(self.time_left())
            connected = self.context.wrap_socket(connected, server_hostname=host)
            watch(connected)
        return connected

    def _connected(self, host: str, port: int) -> socket.socket:
        """A connection to the first address of the server that takes one."""
        trusted, failure = Policy(allow=Allow.parse([host])), OSError("no address")
        limit = self.policy.connect_timeout
        for address in resolve(host, port, trusted, timeout=min(limit, self.time_left())):
            try:
                return socket.create_connection((address, port), min(limit, self.time_left()))
            except OSError as error:
                failure = error
        late = isinstance(failure, TimeoutError)
        reason = "no answer in time" if late else failure.strerror or failure
        raise (TimedOut if late else Unreachable)(f"{self.server} cannot be connected to: {reason}.")

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:  # a new connection, or a new layer of it
            self.file = io.BufferedReader(_Answers(self, self.sock))
        return super().getreply()

    def send(self, s: Any) -> None:
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("There is no connection.")
        self.sock.settimeout(self.time_left())
        self.sock.sendall(s.encode("ascii") if isinstance(s, str) else s)

    def leave(self) -> None:
        """Says goodbye, for which nobody waits long."""
        self.ends_at = min(self.ends_at, time.monotonic() + GOODBYE_SECONDS)
        with suppress(OSError, smtplib.SMTPException):
            self.quit()


def send_email(
    server: MailServer, policy: Policy, *, own_name: str, sender: str, receiver: str, message: bytes
) -> MailOutcome:
    """Sends a message to one receiver, within the times of `policy`. `own_name` is what the hub calls itself."""
    client = TimedSmtp(server, policy, own_name)
    try:
        client.begin()
        _expect(client.mail(sender), _DONE)
        reply = client.rcpt(receiver)
        if reply[0] in _DONE:
            reply = client.data(message)
            client.leave()
        return _outcome(server, *reply)
    except smtplib.SMTPDataError as error:
        return _outcome(server, error.smtp_code, error.smtp_error)
    except smtplib.SMTPResponseException as error:  # before anything was said of this e-mail
        return _outcome(server, error.smtp_code, error.smtp_error, is_final=False)
    except Problem as problem:
        return MailOutcome(None, "", problem)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return MailOutcome(None, "", _problem_of(client, error))
    finally:
        client.close()


def _expect(reply: tuple[int, bytes], codes: tuple[int, ...]) -> None:
    if reply[0] not in codes:
        raise smtplib.SMTPResponseException(*reply)


def _outcome(server: MailServer, code: int, said: bytes | str, *, is_final: bool = True) -> MailOutcome:
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    reply = f"{code} {text}".replace("\x00", "")[:TEXT_MAX]
    if code in _DONE and is_final:
        return MailOutcome(code, reply, None)
    kind = MailRefused if is_final and 500 <= code < 600 else Unreachable
    return MailOutcome(code, reply, kind(f"{server} answered: {reply}"))


def _problem_of(client: TimedSmtp, error: Exception) -> Problem:
    server, policy = client.server, client.policy
    if time.monotonic() >= client.ends_at:
        return TimedOut(f"{server} took longer than {policy.total_timeout:.3g} seconds.")
    if client.has_waited or isinstance(error, TimeoutError):
        return TimedOut(f"{server} said nothing for {policy.read_timeout:.3g} seconds.")
    match error:
        case ssl.SSLCertVerificationError():
            reason = "shows a certificate that is not valid for it."
        case ssl.SSLError():
            reason = "does not agree on TLS."
        case smtplib.SMTPNotSupportedError():
            reason = f"lacks what is needed: {error}"
        case _ if client.allowance < 0:
            reason = "says more than is taken."
        case smtplib.SMTPServerDisconnected() | OSError():
            reason = "broke the connection off."
        case _:
            reason = f"cannot be used: {error}"
    return Unreachable(f"{server} {reason}")
