"""Which processes the watchdog of a worker ends."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from taskhub.runs.health.watchdog import SILENT_CHECKS, Watchdog, WatchedWork


class Heartbeat:
    """Of a process that performs work and gives no heartbeat, but where a test raises `beats`."""

    beats = 1

    def beat_count(self, pid: int) -> int:
        return self.beats

    def is_performing(self, pid: int) -> bool:
        return True

    def forget(self, pid: int) -> None:
        pass


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def goes_on(process: "subprocess.Popen[bytes]", heartbeat: Any, holds_lease: Any, seconds: float = 0.2) -> bool:
    """Whether the process still runs so long after the checks that are needed to end it."""
    watchdog = Watchdog("walkers@test", WatchedWork("runs", heartbeat, holds_lease))
    for _ in range(SILENT_CHECKS + 1):
        assert process.poll() is None
        watchdog.check([process.pid])
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_a_silent_process_that_lost_its_lease_is_ended(process: "subprocess.Popen[bytes]") -> None:
    assert not goes_on(process, Heartbeat(), lambda worker: False, 60)


def test_a_silent_process_that_holds_a_lease_goes_on(process: "subprocess.Popen[bytes]") -> None:
    assert goes_on(process, Heartbeat(), lambda worker: True)


def test_a_process_that_lets_go_while_it_is_looked_at_goes_on(process: "subprocess.Popen[bytes]") -> None:
    """The run that it has by then is not struck."""
    heartbeat = Heartbeat()

    def look(worker: str) -> bool:
        heartbeat.beats += 1
        return False

    assert goes_on(process, heartbeat, look)
