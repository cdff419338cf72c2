"""Health of the hub: each part by its name."""

from uuid import uuid4

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models.functions import Now

from taskhub.db.refusals import why_refused
from taskhub.runs.models import Worker, live_workers
from taskhub.runs.queue.broker import backlog
from taskhub.runs.queue.queue_states import seconds_untaken
from taskhub.runs.scheduler.leadership import is_led

OK = "ok"
AWAY = "does not answer"
PROBE = "health"
ANSWER_SECONDS = 0.2
PATIENCE_SECONDS = 30.0  # in which a worker that has a free slot takes what waits


def check_parts() -> dict[str, str]:
    """The database, the broker, the queues, and beat: each `ok`, or what is wrong with it."""
    checks = {"database": check_database(), "broker": _broker()}
    if checks["database"] == OK:
        checks |= _workers()
        if set(checks.values()) != {OK} and (refusal := _why_nothing_is_written()):
            # Nor can signs of life be: who is alive is not known.
            return {"database": refusal, "broker": checks["broker"]}
    return checks


def server_versions() -> dict[str, str]:
    """`redis`: make and version of the hub's Redis, such as `Valkey 9.1.2`; missing while it does not answer."""
    try:
        with _redis() as client:
            info = client.info("server")
    except (redis.RedisError, OSError):
        return {}
    if "valkey_version" in info:
        return {"redis": f"Valkey {info['valkey_version']}"}
    return {"redis": f"Redis {info['redis_version']}"} if "redis_version" in info else {}


def _redis() -> "redis.Redis":
    limits = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
    return redis.Redis.from_url(settings.REDIS_URL, **limits)


def check_database() -> str:
    try:
        live_workers().exists()
    except (DatabaseError, InterfaceError) as error:
        return why_refused(error)
    return OK


def _why_nothing_is_written() -> str:
    """Why the database takes no sign of life; empty when it does. What it takes is rolled back."""
    try:
        with transaction.atomic():
            Worker.objects.create(name=f"{PROBE}-{uuid4()}", queues=[], pid=0, seen_at=Now())
            transaction.set_rollback(True)
    except (DatabaseError, InterfaceError) as error:
        return why_refused(error)
    return ""


def _broker() -> str:
    return AWAY if backlog(settings.QUEUES[0]) is None else _why_redis_refuses() or OK


def _why_redis_refuses() -> str:
    """Why Redis takes nothing, in its words, such as that its disk is full; empty when it does."""
    try:
        with _redis() as client:
            client.set(f"{settings.CHANNEL_PREFIX}:{PROBE}", 1, ex=1)
    except redis.ResponseError as error:
        return f"takes nothing: {error}"
    except (redis.RedisError, OSError):  # the broker is another, and answers
        return ""
    return ""


def _workers() -> dict[str, str]:
    served = {name for queues in live_workers().values_list("queues", flat=True) for name in queues}
    waits = seconds_untaken([name for name in settings.QUEUES if name in served])
    checks = {f"worker:{name}": _queue(waits.get(name)) for name in settings.QUEUES}
    return checks | {"beat": OK if is_led("beat") else "no leader"}


def _queue(seconds: float | None) -> str:
    """Whether work that waits is taken: a worker that says that it lives may do nothing."""
    if seconds is None:
        return "no worker"
    return f"work waits for {seconds:.0f} s, and nobody takes it" if seconds > PATIENCE_SECONDS else OK
