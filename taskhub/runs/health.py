"""Whether the hub is whole: each part by its name."""

from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from taskhub.celery import app
from taskhub.runs.leadership import is_led
from taskhub.runs.models import live_workers

OK = "ok"


def parts() -> dict[str, str]:
    """The database, the broker, a worker for each queue, and beat: each `ok`, or what is wrong with it."""
    checks = {"database": _database(), "broker": _broker()}
    return checks | (_workers() if checks["database"] == OK else {})


def _database() -> str:
    return _told(lambda: live_workers().exists(), DatabaseError, InterfaceError)


def _broker() -> str:
    def connect() -> None:
        with app.connection_for_write(connect_timeout=1) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)

    return _told(connect, Exception)


def _told(check: Callable[[], object], *failures: type[Exception]) -> str:
    try:
        check()
    except failures:
        return "does not answer"
    return OK


def _workers() -> dict[str, str]:
    served = {name for queues in live_workers().values_list("queues", flat=True) for name in queues}
    checks = {f"worker:{name}": OK if name in served else "no worker" for name in settings.QUEUES}
    return checks | {"beat": OK if is_led("beat") else "no leader"}
