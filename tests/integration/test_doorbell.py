"""Rings for workers, with a real broker and nobody who hears them."""

from collections.abc import Iterator

import pytest
from kombu.pools import producers

from taskhub.runs import doorbell
from taskhub.runs.doorbell import COUNTED_EVERY, ENOUGH_RINGS, Din, backlog, ring
from taskhub.runs.kinds import Kind

QUEUE = "webhooks"  # nothing else in these tests sends to it
PROBE = Kind("probe", "tests.probe", QUEUE)


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    _empty()
    yield
    _empty()


def _empty() -> None:
    with producers[doorbell._connection].acquire(block=True) as producer:
        producer.channel.queue_purge(QUEUE)


def test_rings_stop_while_enough_wait_and_begin_again_when_they_were_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "BELIEVED_SECONDS", 0)
    din = Din()
    rung = 0
    while not din.drowns(QUEUE):
        assert ring(PROBE, rung)
        rung += 1
        assert rung <= ENOUGH_RINGS + COUNTED_EVERY
    assert backlog(QUEUE) == rung >= ENOUGH_RINGS
    assert din.drowns(QUEUE)
    _empty()
    assert not din.drowns(QUEUE)


def test_a_broker_that_does_not_tell_is_rung_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "backlog", lambda queue: None)
    din = Din()
    assert not any(din.drowns(QUEUE) for _ in range(5 * COUNTED_EVERY))
