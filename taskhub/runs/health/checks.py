"""Health of the hub: each part by its name."""

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from taskhub.runs.models import live_workers
from taskhub.runs.queue.broker import backlog
from taskhub.runs.scheduler.leadership import is_led

OK = "ok"
AWAY = "does not answer"


def check_parts() -> dict[str, str]:
    """The database, the broker, a worker for each queue, and beat: each `ok`, or what is wrong with it."""
    checks = {"database": _database(), "broker": _broker()}
    return checks | (_workers() if checks["database"] == OK else {})


def _database() -> str:
    try:
        live_workers().exists()
    except (DatabaseError, InterfaceError):
        return AWAY
    return OK


def _broker() -> str:
    return OK if backlog(settings.QUEUES[0]) is not None else AWAY


def _workers() -> dict[str, str]:
    served = {name for queues in live_workers().values_list("queues", flat=True) for name in queues}
    checks = {f"worker:{name}": OK if name in served else "no worker" for name in settings.QUEUES}
    return checks | {"beat": OK if is_led("beat") else "no leader"}
