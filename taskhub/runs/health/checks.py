"""Health of the hub: each part by its name."""

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from taskhub.runs.models import live_workers
from taskhub.runs.queue.broker import backlog
from taskhub.runs.scheduler.leadership import is_led

OK = "ok"
AWAY = "does not answer"
ANSWER_SECONDS = 0.2


def check_parts() -> dict[str, str]:
    """The database, the broker, a worker for each queue, and beat: each `ok`, or what is wrong with it."""
    checks = {"database": _database(), "broker": _broker()}
    return checks | (_workers() if checks["database"] == OK else {})


def server_versions() -> dict[str, str]:
    """`redis`: make and version of the hub's Redis, such as `Valkey 9.1.2`; missing while it does not answer."""
    limits = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
    try:
        with redis.Redis.from_url(settings.REDIS_URL, **limits) as client:
            info = client.info("server")
    except (redis.RedisError, OSError):
        return {}
    if "valkey_version" in info:
        return {"redis": f"Valkey {info['valkey_version']}"}
    return {"redis": f"Redis {info['redis_version']}"} if "redis_version" in info else {}


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
