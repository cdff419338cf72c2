"""Several beats: whoever leads, and whoever dies when, each fire happens once, and soon another leads."""

import signal
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import psutil
import pytest

from tests.faults.disposable import Disposable, until
from tests.faults.faulty.apps import LEADER_LEASE_SECONDS
from tests.faults.test_outages import _kill_and_empty_redis
from tests.faults.test_restarts import LEADER, second_beat
from tests.hub import Caller

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("restarts")]

FOLLOWED_WITHIN = timedelta(seconds=LEADER_LEASE_SECONDS)


class Ticking:
    """A schedule that fires every second, whose every run leaves a mark."""

    def __init__(self, broken: Disposable, owner: Caller) -> None:
        self.broken, self.owner, self.name = broken, owner, f"ticking {uuid4().hex}"
        every = {"type": "interval", "conf": {"every": 1, "period": "seconds"}}
        body = {"name": "mark", "ctx": {"tag": self.name}}
        answer = owner.post("/js/add_scheduled_walker", {"name": self.name, "schedule": every, "body": body})
        assert answer.status_code == 200, answer.text

    def rows(self) -> list[tuple[str, str]]:
        return self.broken.rows("SELECT id::text, state FROM runs_run WHERE schedule = %s", self.name)

    def more(self, count: int) -> None:
        before = len(self.rows())
        until(lambda: len(self.rows()) >= before + count)

    def stop(self) -> None:
        assert self.owner.post("/js/delete_scheduled_queue", {"name": self.name}).status_code in {200, 404}

    def check(self) -> None:
        """Stops it. Every fire was one run, and every run that was not left out had its effect once."""
        self.stop()
        states = self.broken.await_ended([id for id, _ in self.rows()])
        assert set(states.values()) <= {"SUCCESS", "REVOKED"}  # a fire over the one before is left out
        succeeded = list(states.values()).count("SUCCESS")
        assert succeeded >= 2
        assert self.broken.marks([self.name]) == {self.name: succeeded}
        [(twice,)] = self.broken.rows(
            "SELECT count(*) - count(DISTINCT due_at) FROM runs_run WHERE schedule = %s", self.name
        )
        assert twice == 0
        skipped = "SELECT count(*) FROM runs_run WHERE schedule = %s AND state = 'REVOKED' AND error IS NULL"
        assert self.broken.rows(skipped, self.name) == [(0,)]


@pytest.fixture
def ticking(broken: Disposable) -> Iterator[Ticking]:
    made = Ticking(broken, broken.people.sign_up())
    made.more(2)
    yield made
    made.stop()


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_the_leader_is_lost_at_a_due_time(broken: Disposable, ticking: Ticking, how: str) -> None:
    with second_beat(broken):
        [(pid,)] = until(lambda: broken.rows(LEADER))
        leader = psutil.Process(pid)
        with broken.unattended():
            leader.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
            try:
                [(lost_at, free_at)] = broken.rows("SELECT clock_timestamp(), until FROM runs_leadership")
                assert free_at - lost_at <= FOLLOWED_WITHIN
                ticking.more(3)
                assert broken.rows(LEADER) != [(pid,)]
            finally:
                if how == "frozen":
                    leader.resume()
        ticking.more(2)
    ticking.check()


def test_a_fire_outlives_redis(broken: Disposable, ticking: Ticking) -> None:
    with broken.unattended():
        _kill_and_empty_redis(broken)
        ticking.more(2)
    broken.await_health()
    ticking.more(2)
    ticking.check()
