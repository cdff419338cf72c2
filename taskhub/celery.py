"""The Celery application. Its messages notify workers that runs wait; they carry a run's id, and no more."""

import gc
import os
import warnings
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import beat_init, worker_init, worker_process_init
from kombu import Queue
from kombu.transport import redis
from redis.exceptions import RedisError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskhub.settings")

from django.conf import settings

from taskhub.descendants import end_orphans, mark_descendants

# It warns root of pickled messages, which are not accepted here (see accept_content).
warnings.filterwarnings("ignore", category=SecurityWarning)


class QoS(redis.QoS):
    """What is unacknowledged when Redis goes away can be neither acknowledged nor given back any more.

    kombu tries, over the connection that is gone, and fails with what nobody expects: the worker comes down, and hears
    nothing until its last run has ended. There is nothing to lose: workers are notified anew.
    """

    def ack(self, delivery_tag: str) -> None:
        # What was read without the intention to acknowledge it, Redis does not keep: kombu would ask it all the same.
        if not self.channel.closed and delivery_tag in (self._delivered or ()):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if not self.channel.closed:
            super().reject(delivery_tag, requeue=requeue)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        with suppress(AttributeError, OSError, RedisError):
            super().restore_unacked_once(stderr)


redis.Channel.QoS = QoS

app = Celery("taskhub")
app.conf.update(
    broker_url=settings.BROKER_URL,
    # A kind of work that piles up must not hold back the others: each has its own queue, and processes or slots of its
    # own. Where threads perform the runs, a message is done with once it is read: to acknowledge it would cost more.
    task_queues=[Queue(name, routing_key=name, no_ack=name in settings.THREAD_SLOTS) for name in settings.QUEUES],
    # A typo in a queue's name would fill a queue that nobody reads.
    task_create_missing_queues=False,
    # Results live in the runs table; a second copy in a result store would cost a round trip and could disagree.
    task_ignore_result=True,
    result_backend=None,
    # Without this a worker killed in the middle takes the message with it, and the run waits for maintenance.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # A long run would hold messages for others that this process had taken in advance.
    worker_prefetch_multiplier=1,
    # A message that is not acknowledged within this time is sent again; the second one finds nothing to claim.
    # A time shorter than a long run would only send messages in vain.
    broker_transport_options={
        "visibility_timeout": 3600,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "priority_steps": [0],  # no message has a priority: one list in Redis for each queue, instead of four
    },
    # A broker that is restarting must not end the workers.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # The transaction that ends a run tells what happened: a broker that came back must not cancel work that goes on.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # A child that leaks is replaced before it hurts.
    worker_max_tasks_per_child=10_000,
    worker_max_memory_per_child=512 * 1024,
    # Django's logging is set up already, with the mask in it.
    worker_hijack_root_logger=False,
    # Nobody listens to events, and each would be one more message to the broker.
    worker_send_task_events=False,
    task_send_sent_event=False,
    # Only what the hub itself sends is unpacked: pickled messages could run code.
    accept_content=["json"],
    task_serializer="json",
    timezone="UTC",
)
# Celery's bridge to Django closes the database connection around every task; a new one costs more than most runs.
app.conf.CELERY_DB_REUSE_MAX = 1_000
app.autodiscover_tasks()


@worker_init.connect
@beat_init.connect
def keep_what_is_loaded(**_: Any) -> None:
    """What a program has loaded stays to its end: the garbage collector need not look through it again, and so the
    children share its memory."""
    gc.freeze()


@worker_init.connect
@worker_process_init.connect
def answer_for_descendants(**_: Any) -> None:
    """What is started here can be told from other programs; what a process that was killed has started ends now."""
    mark_descendants()
    end_orphans()
