"""Mail servers on loopback: a real one (aiosmtpd), and one that follows a script."""

import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

USER, PASSWORD = "hub", "p/w: a@b"


class MailBox:
    """What a real server was given. `replies` by command take the place of its own, such as `{"RCPT": "550 no"}`."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.envelopes: list[Any] = []
        self.replies: dict[str, str] = {}
        self.url = ""

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        envelope.mail_from = address
        return self.replies.get("MAIL", "250 OK")

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        envelope.rcpt_tos.append(address)
        return self.replies.get("RCPT", "250 OK")

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        reply = self.replies.get("DATA", "250 taken")
        if reply.startswith("2"):
            self.envelopes.append(envelope)
            message: Any = message_from_bytes(envelope.content, policy=default)
            self.messages.append(message)
        return reply


class CountedSmtp(SMTP):
    """aiosmtpd's protocol, which stays in `open` while it has a connection."""

    open: set["CountedSmtp"] = set()
    changed = threading.Condition()
    transports: list[Any] = []

    def connection_made(self, transport: Any) -> None:
        with self.changed:
            self.open.add(self)
            self.transports.append(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        with self.changed:
            self.open.discard(self)
            self.changed.notify_all()


class CountedController(Controller):
    def factory(self) -> SMTP:
        return CountedSmtp(self.handler, **self.SMTP_kwargs)


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    expected = LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=data == expected, handled=False)


@contextmanager
def mail_server(
    scheme: str = "smtp", context: ssl.SSLContext | None = None, *, signs_in: bool = False
) -> Iterator[MailBox]:
    """A server that takes e-mails; with `context` over TLS, as the scheme of EMAIL_URL says."""
    box = MailBox()
    options: dict[str, Any] = {"authenticator": _authenticate, "auth_required": True} if signs_in else {}
    if scheme == "smtp+starttls":
        options |= {"tls_context": context, "require_starttls": True}
    elif signs_in:
        options["auth_require_tls"] = False
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tls = context if scheme == "smtps" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a password comes unencrypted, which it does on loopback
        controller = CountedController(box, hostname="127.0.0.1", port=port, ssl_context=tls, **options)
        controller.start()
        box.url = f"127.0.0.1:{port}"
        try:
            yield box
        finally:
            _stop(controller)


def _stop(controller: Controller) -> None:
    """aiosmtpd leaves what is open when it stops."""
    with CountedSmtp.changed:
        assert CountedSmtp.changed.wait_for(lambda: not CountedSmtp.open, 10)
    while CountedSmtp.transports:  # such as one below a TLS that was never agreed upon
        controller.loop.call_soon_threadsafe(CountedSmtp.transports.pop().abort)
    controller.stop(no_assert=True)


Step = bytes | Callable[[socket.socket, threading.Event], None]


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait(60)


def dribbles(connection: socket.socket, over: threading.Event) -> None:
    """A reply that never ends, a byte at a time."""
    connection.sendall(b"250-")
    while not over.wait(0.05):
        connection.sendall(b"x")


def repeats(connection: socket.socket, over: threading.Event) -> None:
    """A reply of lines without end."""
    while not over.is_set():
        connection.sendall(b"250-again\r\n" * 1000)


def leaves(connection: socket.socket, over: threading.Event) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def scripted_server(*steps: Step) -> Iterator[str]:
    """The authority of a server that answers each line that it is sent, its greeting first, by the next step."""
    over, listener = threading.Event(), socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                _follow(connection, steps, over)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        listener.close()


def _follow(connection: socket.socket, steps: Sequence[Step], over: threading.Event) -> None:
    lines = connection.makefile("rb")
    for number, step in enumerate(steps):
        if number:
            lines.readline()
        if callable(step):
            step(connection, over)
        else:
            connection.sendall(step)
