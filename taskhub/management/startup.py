"""What `manage.py up` sees to before it starts a program: servers that answer, tables, somebody to sign in.

`up` runs it as a program, for it needs Django: each line that it prints is for the operator. If the start is
impossible, the last line says why, and the exit code is 2.
"""

import gc
import os
import secrets
import sys

import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import DatabaseError, IntegrityError, connection, connections
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError

from taskhub.celery import app
from taskhub.embedded import CannotStart
from taskhub.web.hub_names import is_loopback

ANSWER_SECONDS = 4
# What a private home closes where other machines can reach it, unless the variable says otherwise.
CLOSED_ELSEWHERE = {
    "TASKHUB_OPEN_SIGNUP": "sign-up is closed",
    "TASKHUB_RATE_SUBMIT": "calls that start work are limited",
    "TASKHUB_RATE_READ": "calls that read are limited",
    "TASKHUB_OUTBOUND_ALLOW": "loopback is not called",
}


def main() -> None:
    gc.disable()  # migrations make models anew again and again, and then this process ends
    try:
        told = prepare_database()
    except CannotStart as error:
        print(error)
        sys.exit(2)
    if settings.PRIVATE and not is_loopback(settings.BOUND_HOST):
        print(describe_reach(settings.BOUND_HOST))
    if told:
        print(told)


def describe_reach(host: str) -> str:
    """What the operator must know of a hub that other machines can reach."""
    unset = {name: words for name, words in CLOSED_ELSEWHERE.items() if not os.environ.get(name)}
    chosen = [name for name in CLOSED_ELSEWHERE if name not in unset]
    closed = [f"{words} ({name})" for name, words in unset.items()]
    as_set = [f"{', '.join(chosen)} as you set it"] if chosen else []
    return f"other machines can reach {host}: {'; '.join(closed + as_set)}"


def prepare_database() -> str:
    """See that the servers answer, bring the tables up to date, and see that there is a superuser.

    Returns what the operator must be told, if anything. Raises CannotStart.
    """
    try:
        check_answers()
        migrate()
        return first_superuser()
    finally:
        connections.close_all()


def migrate() -> None:
    """Brings the tables up to date.

    Where no migration is missing, only what follows migrations is done: permissions, which a start that was killed may
    have left out. Django's command would first make all models of all migrations, which takes a second.
    """
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)
    else:
        emit_post_migrate_signal(verbosity=0, interactive=False, db=connection.alias, plan=[])


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
    return "" if chosen else f"the first superuser is {email} with the password {password} (shown at this start only)"


def _unreachable(what: str, error: Exception) -> CannotStart:
    return CannotStart(f"The {what} cannot be reached: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
