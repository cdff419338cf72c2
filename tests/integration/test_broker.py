"""Messages to workers, with a real broker and nobody who consumes them."""

import gc
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from kombu import Connection, Queue
from kombu.pools import producers

from taskhub.celery import app, keep_what_is_loaded
from taskhub.runs.queue import broker, pubsub
from taskhub.runs.queue.broker import (
    ANSWER_SECONDS,
    BACKLOG_ENOUGH,
    COUNTED_EVERY,
    BacklogThrottle,
    CircuitBreaker,
    backlog,
    send,
)
from taskhub.runs.run_kinds import RunKind

QUEUE = f"quiet-{uuid4().hex}"  # nothing else sends to it, or takes from it
app.amqp.queues.add(Queue(QUEUE))


class QuietKind(RunKind):
    name = "probe"
    task = "tests.probe_kind"
    queue = QUEUE


PROBE = QuietKind()


@pytest.fixture(autouse=True)
def _empty_queue() -> Iterator[None]:
    _empty()
    yield
    _empty()


def _empty() -> None:
    with producers[broker._connection].acquire(block=True) as producer:
        producer.channel.queue_purge(QUEUE)


def test_messages_stop_while_enough_wait_and_begin_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known: Any = broker._connection
    patient = known.clone(transport_options={**known.transport_options, "socket_timeout": 60}, connect_timeout=60)
    monkeypatch.setattr(broker, "_connection", patient)  # a count that takes its time on a busy machine is a count
    monkeypatch.setattr(broker, "SATURATED_SECONDS", 0)
    backlog_throttle = BacklogThrottle()
    sent = 0
    while not backlog_throttle.is_saturated(QUEUE):
        assert send(PROBE, sent)
        sent += 1
        assert sent <= BACKLOG_ENOUGH + COUNTED_EVERY
    assert backlog(QUEUE) == sent >= BACKLOG_ENOUGH
    assert backlog_throttle.is_saturated(QUEUE)
    _empty()
    assert not backlog_throttle.is_saturated(QUEUE)


def test_one_thread_asks_for_the_backlog_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "SATURATED_SECONDS", 0)
    asked, others_are_done, asks = threading.Event(), threading.Event(), []

    def slow_backlog(queue: str) -> int:
        asks.append(queue)
        asked.set()
        assert others_are_done.wait(30)
        return BACKLOG_ENOUGH

    monkeypatch.setattr(broker, "backlog", lambda queue: BACKLOG_ENOUGH)
    backlog_throttle = BacklogThrottle()
    while not backlog_throttle.is_saturated(QUEUE):
        pass
    monkeypatch.setattr(broker, "backlog", slow_backlog)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(backlog_throttle.is_saturated, QUEUE)
        assert asked.wait(30)
        assert all(backlog_throttle.is_saturated(QUEUE) for _ in range(5))
        others_are_done.set()
        assert answer.result()
    assert asks == [QUEUE]


def test_a_broker_that_does_not_tell_its_backlog_is_sent_to_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "backlog", lambda queue: None)
    backlog_throttle = BacklogThrottle()
    assert not any(backlog_throttle.is_saturated(QUEUE) for _ in range(5 * COUNTED_EVERY))


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A broker that takes every connection and says nothing, and a connection that leads to it."""
    with socket.create_server(("127.0.0.1", 0)) as server, monkeypatch.context() as patched:
        server.setblocking(False)
        known = broker._connection
        address = f"redis://127.0.0.1:{server.getsockname()[1]}"
        silent = Connection(address, transport_options=known.transport_options, connect_timeout=known.connect_timeout)
        patched.setattr(broker, "_connection", silent)
        patched.setattr(broker, "circuit_breaker", CircuitBreaker())
        patched.setattr(broker, "OPEN_SECONDS", 60)  # longer than a test, however busy the machine is
        yield server


def connections_to(server: socket.socket) -> int:
    taken = []
    with suppress(BlockingIOError):
        while True:
            taken.append(server.accept()[0])
    for one in taken:
        one.close()
    return len(taken)


def test_a_mute_broker_lets_one_wait_and_not_those_who_come_after(mute: socket.socket) -> None:
    assert not send(PROBE, 1)
    assert connections_to(mute) > 0
    assert not any(send(PROBE, number) for number in range(COUNTED_EVERY))
    assert backlog(QUEUE) is None
    assert connections_to(mute) == 0


def test_whoever_asks_a_mute_broker_for_its_backlog_does_not_send_in_vain_too(mute: socket.socket) -> None:
    assert backlog(QUEUE) is None
    assert connections_to(mute) > 0
    assert not send(PROBE, 1)
    assert connections_to(mute) == 0


def test_a_broker_that_refuses_at_once_is_asked_again(mute: socket.socket) -> None:
    mute.close()
    assert not send(PROBE, 1)
    assert not broker.circuit_breaker.is_open


def test_what_a_call_waits_for_without_a_broker_is_less_than_a_second() -> None:
    counting: Any = settings.CACHES["default"]
    asking: Any = broker._connection.transport_options
    assert asking["socket_timeout"] == ANSWER_SECONDS
    assert ANSWER_SECONDS + pubsub.PUBLISH_SECONDS + counting["OPTIONS"]["socket_timeout"] < 1


def test_the_garbage_collector_leaves_alone_what_a_program_has_loaded() -> None:
    assert gc.get_threshold()[0] > 10_000
    keep_what_is_loaded()
    try:
        assert gc.get_freeze_count() > 100_000
    finally:
        gc.unfreeze()
