"""The broker: notifies workers by a Celery message that carries a run's id, and knows whether any would hear of it.

A message is a hint: whoever gets one claims whatever waits, fairest first. Lost messages cost a second, for
maintenance notifies again where runs wait and no message does.
"""

import logging
import threading
import time
from collections import Counter
from typing import Any

from amqp.exceptions import ChannelError
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers

from taskhub.celery import app
from taskhub.runs.models import Run, live_workers
from taskhub.runs.run_kinds import RunKind, kind_of

log = logging.getLogger(__name__)

LIVE_QUEUES_SECONDS = 1.0
BACKLOG_ENOUGH = 100
COUNTED_EVERY = 16
SATURATED_SECONDS = 0.02
OPEN_SECONDS = 1.0
# No retry and short time-outs: without a broker the work is done at once, and the caller waits at most a second, the
# wake-up at its end (`pubsub.Publisher`) and the count of his calls (the cache in the settings) included.
ANSWER_SECONDS = 0.4
_connection = app.connection_for_write(
    transport_options={
        **app.conf.broker_transport_options,
        "socket_connect_timeout": ANSWER_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "max_retries": 0,
    },
    connect_timeout=ANSWER_SECONDS,
)


class LiveQueues:
    """Which queues have a live worker, read at most once a second in each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = -LIVE_QUEUES_SECONDS
        self._queues: frozenset[str] = frozenset()

    def has_worker(self, queue: str) -> bool:
        if self._is_old:
            with self._lock:
                if self._is_old:  # of the threads that waited for the lock, one reads
                    names = live_workers().values_list("queues", flat=True)
                    self._queues = frozenset(name for queues in names for name in queues)
                    self._read_at = time.monotonic()
        return queue in self._queues

    @property
    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at >= LIVE_QUEUES_SECONDS


live_queues = LiveQueues()


class BacklogThrottle:
    """Queues in which so many messages wait that another would bring no worker sooner.

    A worker that gets a message performs all that waits, so a burst of runs would leave as many messages that find
    nothing to claim, and sending one costs as much as a run. The broker is asked for its backlog after every sixteenth
    message. A full queue is believed full for so short a time that the messages which were counted are not all consumed
    by then; should they be, maintenance notifies again within a second. Of the threads that find this time over, one
    asks; to the others the queue is as full as it was.
    """

    def __init__(self) -> None:
        self._sent: Counter[str] = Counter()
        self._saturated_until: dict[str, float] = {}
        self._asking = threading.Lock()

    def is_saturated(self, queue: str) -> bool:
        until = self._saturated_until.get(queue)
        if until is not None and time.monotonic() < until:
            return True
        self._sent[queue] += 1
        if until is None and self._sent[queue] % COUNTED_EVERY:
            return False
        if not self._asking.acquire(blocking=False):
            return until is not None
        try:
            if (backlog(queue) or 0) < BACKLOG_ENOUGH:
                self._saturated_until.pop(queue, None)
                return False
            self._saturated_until[queue] = time.monotonic() + SATURATED_SECONDS
            return True
        finally:
            self._asking.release()


backlog_throttle = BacklogThrottle()


class CircuitBreaker:
    """Leaves a broker that let a caller wait in vain alone for a second, so that the next callers do not wait, too.

    A broker that refuses at once costs nothing, and may take the next message: all that is known then is that one
    connection has died. So only failures that took the whole time-out open the circuit.
    """

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._until

    def record_failure(self, *, began_at: float) -> None:
        now = time.monotonic()
        if now - began_at >= ANSWER_SECONDS:
            self._until = now + OPEN_SECONDS


circuit_breaker = CircuitBreaker()


def notify_worker(run: Run) -> bool:
    """Notifies a worker that a run has work for one; False when no worker would come.

    One comes if one lives, and a message was sent or enough of them wait already. Called again for a detached run, it
    brings another worker to it: several can share its work.
    """
    kind = kind_of(run.kind)
    return live_queues.has_worker(kind.queue) and (backlog_throttle.is_saturated(kind.queue) or send(kind, run.pk))


def send(kind: RunKind, run_id: Any) -> bool:
    """Whether the broker took a message for the kind's queue; never raises, never waits over a second."""
    if circuit_breaker.is_open:
        return False
    began_at = time.monotonic()
    try:
        with producers[_connection].acquire(block=True, timeout=0.5) as producer:
            app.send_task(
                kind.task, (str(run_id),), task_id=str(run_id), queue=kind.queue, producer=producer, retry=False
            )
    except (OperationalError, LimitExceeded, OSError) as error:
        log.warning("The broker does not take %s: %s", run_id, error)
        circuit_breaker.record_failure(began_at=began_at)
        return False
    except Exception:
        log.exception("The broker does not take %s", run_id)
        return False
    return True


def backlog(queue: str) -> int | None:
    """The number of messages that wait in a queue, or None when the broker does not answer."""
    if circuit_breaker.is_open:
        return None
    began_at = time.monotonic()
    try:
        with producers[_connection].acquire(block=True, timeout=0.5) as producer:
            return int(producer.channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        return 0  # an empty queue does not exist
    except Exception as error:
        log.warning("The broker does not tell its backlog: %s", error)
        circuit_breaker.record_failure(began_at=began_at)
        return None
