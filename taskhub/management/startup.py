"""What `manage.py up` sees to before it starts a program: a port, servers that answer, tables, somebody to sign in."""

import os
import secrets
import socket

import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, connections
from kombu.exceptions import OperationalError

from taskhub.celery import app
from taskhub.embedded import CannotStart

WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
ANSWER_SECONDS = 4
PORT_MAX = 65_535


def reachable(host: str) -> str:
    """The host to speak to for what listens on `host`."""
    return "127.0.0.1" if host in WILDCARDS else host


def free_port(host: str, port: int) -> int:
    """The port to listen on, seen to be free; 0 becomes one that is. Raises CannotStart."""
    if not 0 <= port <= PORT_MAX:  # some systems would take what is left of it after dividing
        raise CannotStart(f"There is no port {port}: choose one up to {PORT_MAX} with --port.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotStart(
            f"Port {port} of {host} cannot be had ({reason}): choose others with --port, --host."
        ) from None


def prepare_database() -> str:
    """See that the servers answer, bring the tables up to date, and see that there is a superuser.

    Returns what the operator must be told, if anything. Raises CannotStart.
    """
    try:
        check_answers()
        call_command("migrate", interactive=False, verbosity=0)
        return first_superuser()
    finally:
        connections.close_all()


def check_answers() -> None:
    """Raise CannotStart when a server does not answer. What is said holds no password: the drivers leave it out."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        raise _unreachable("database of DATABASE_URL", error) from None
    try:
        limits = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
        with redis.Redis.from_url(settings.REDIS_URL, **limits) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise _unreachable("Redis of REDIS_URL", error) from None
    try:
        with app.connection_for_write(connect_timeout=ANSWER_SECONDS) as broker:
            broker.ensure_connection(max_retries=1, timeout=ANSWER_SECONDS)
    except (OperationalError, OSError) as error:
        raise _unreachable("broker of CELERY_BROKER_URL", error) from None


def first_superuser() -> str:
    """So that somebody can sign in; nothing happens when there is one. Returns the password if it was made up."""
    users = get_user_model()._default_manager
    if users.filter(is_superuser=True).exists():
        return ""
    email = os.environ.get("TASKHUB_ADMIN_EMAIL") or "admin@example.com"
    chosen = os.environ.get("TASKHUB_ADMIN_PASSWORD")
    password = chosen or secrets.token_urlsafe(12)
    try:
        users.create_superuser(email=email, password=password)
    except IntegrityError:
        raise CannotStart(f"There is no superuser, and {email} is a user: set TASKHUB_ADMIN_EMAIL.") from None
    return "" if chosen else f"the first superuser is {email} with the password {password} (shown this once)"


def _unreachable(what: str, error: Exception) -> CannotStart:
    return CannotStart(f"The {what} cannot be reached: {' '.join(str(error).split())}")
