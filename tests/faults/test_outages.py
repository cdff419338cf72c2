"""Redis, PostgreSQL and workers that go away and come back, while people go on asking."""

import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from threading import Event

import pytest
import requests

from taskhub.embedded import Home, Servers
from tests.faults.disposable import Disposable, frozen, submit, until
from tests.hub import Caller
from tests.session import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("outages")]

ANSWER_SECONDS = 5
AT_ONCE_SECONDS = 1
PROGRAMS = ["web", "worker:walkers", "worker:threads", "beat"]


@dataclass
class Load:
    """Clients that submit marks one after the other, and what they were told."""

    callers: list[Caller]
    answers: list[tuple[str, requests.Response]] = field(default_factory=list)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Raises what a client met, such as an answer that did not come."""
        enough = Event()
        with ThreadPoolExecutor(len(self.callers)) as pool:
            clients = [pool.submit(self._submit, caller, enough) for caller in self.callers]
            try:
                yield
            finally:
                enough.set()
        for client in clients:
            client.result()

    def _submit(self, caller: Caller, enough: Event) -> None:
        for number in count():
            tag = f"{number} of {caller.id}"
            body = {"name": "mark", "ctx": {"tag": tag}, "is_async": True}
            answer = caller.post("/js/walker_run", body)
            self.answers.append((tag, answer))
            if enough.wait(0.02):
                return

    def seen(self, *statuses: int) -> list[requests.Response]:
        return [answer for _, answer in list(self.answers) if answer.status_code in statuses]

    def more(self, *statuses: int) -> bool:
        """Waits until some more of these answers have come."""
        before = len(self.seen(*statuses))
        return bool(until(lambda: len(self.seen(*statuses)) > before + 5))

    def usual_seconds(self, *statuses: int) -> float:
        """That an answer took. One may be late for what else the machine does; what the hub waits for makes all so."""
        return median(answer.elapsed.total_seconds() for answer in self.seen(*statuses))

    @property
    def queued(self) -> dict[str, str]:
        return {answer.json()["task_id"]: tag for tag, answer in self.answers if answer.status_code == 202}


def test_redis_killed_and_emptied_under_load(broken: Disposable, end: Path) -> None:
    load, owner = Load([broken.people.sign_up() for _ in range(4)]), broken.people.sign_up()
    before = _pids(broken)
    lingering = submit(owner, "linger", {"tag": owner.id, "flag": str(end)})
    with ThreadPoolExecutor(1) as pool, load.going_on():
        wait = {"task_id": lingering, "timeout": 120}
        waiting = pool.submit(owner.get, "/js/walker_queue_wait", wait, timeout=180)
        load.more(202)
        with broken.unattended():
            _kill_and_empty_redis(broken)
            load.more(200, 202)
        broken.await_health()
        load.more(202)
        assert set(broken.await_ended(load.queued, 60).values()) == {"SUCCESS"}  # the long run holds up none of them
        end.touch()
        assert waiting.result().json()["state"] == "SUCCESS"
    assert {answer.status_code for _, answer in load.answers} <= {200, 202}
    assert load.usual_seconds(200) < ANSWER_SECONDS
    assert all(answer.json()["result"]["success"] for answer in load.seen(200))
    assert set(broken.await_ended(load.queued, 60).values()) == {"SUCCESS"}
    broken.assert_balanced(load.queued | {lingering: owner.id})
    assert broken.rows("SELECT attempt FROM runs_run WHERE id = %s", lingering) == [(1,)]
    assert _pids(broken) == before
    assert set(broken.marks(tag for tag, _ in load.answers).values()) == {1}


def _kill_and_empty_redis(broken: Disposable) -> None:
    broken.program("redis").kill()
    folder = Servers.of(Home(broken.home), broken.environment).data / "redis"
    for place in folder.iterdir():  # a folder of files since Redis 7, one file before
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_postgresql_restarted_under_load(broken: Disposable, end: Path, how: signal.Signals) -> None:
    load, owner = Load([broken.people.sign_up() for _ in range(4)]), broken.people.sign_up()
    before = _pids(broken)
    lingering = submit(owner, "linger", {"tag": owner.id, "flag": str(end)})
    with load.going_on():
        load.more(202)
        with broken.unattended():
            broken.program("postgres").send_signal(how)
            load.more(503)
        broken.await_health()
        load.more(202)
        end.touch()
    for refusal in load.seen(503):
        assert int(refusal.headers["Retry-After"]) > 0
        assert refusal.headers["Content-Type"] == "application/problem+json"
    assert {answer.status_code for _, answer in load.answers} <= {200, 202, 503}
    runs = load.queued | {lingering: owner.id}
    assert set(broken.await_ended(runs, 60).values()) == {"SUCCESS"}
    broken.assert_balanced(runs)
    assert max(broken.marks(tag for tag, _ in load.answers).values()) == 1
    assert _pids(broken) == before


def _pids(broken: Disposable) -> dict[str, list[int]]:
    found = {name: [broken.program(name).pid] for name in PROGRAMS}
    return found | {name + " children": sorted(child.pid for child in broken.children(name)) for name in PROGRAMS}


def test_without_a_worker_it_runs_at_once(broken: Disposable) -> None:
    owner, queued = broken.people.sign_up(), {}
    with broken.unattended():
        broken.program("worker:walkers").kill()
        for number in count():
            answer = _run(owner, f"{number} of {owner.id}")
            if answer.status_code == 200:
                break
            queued[answer.json()["task_id"]] = f"{number} of {owner.id}"
            Event().wait(0.5)
        assert_run_at_once(owner, AT_ONCE_SECONDS)
    assert set(broken.await_ended(queued).values()) == {"SUCCESS"}
    broken.assert_balanced(queued)


@pytest.mark.parametrize("away", ["dead", "frozen"])
def test_without_a_broker_it_runs_at_once(broken: Disposable, away: str) -> None:
    owner = broken.people.sign_up()
    until(lambda: _run(owner, f"before of {owner.id}").status_code == 202)
    redis = broken.program("redis")
    with broken.unattended(), frozen(redis):
        if away == "dead":
            redis.kill()
            until(lambda: not is_alive(redis))
        # A worker that was woken before may take one more.
        until(lambda: _run(owner, f"one more of {owner.id}").status_code == 200)
        # Of one that does not answer, it has to be found out by waiting; so has, at the end, that nobody is woken.
        assert_run_at_once(owner, AT_ONCE_SECONDS if away == "dead" else ANSWER_SECONDS)


def assert_run_at_once(owner: Caller, seconds: float) -> None:
    """One answer may be late for what else the machine does; what the hub waits for makes each of them late."""
    answers = [_run(owner, f"{number} at once of {owner.id}") for number in range(3)]
    for answer in answers:
        assert answer.json()["is_queued"] is False
        assert answer.json()["result"]["success"] is True
    assert min(answer.elapsed.total_seconds() for answer in answers) < seconds


def _run(owner: Caller, tag: str) -> requests.Response:
    return owner.post("/js/walker_run", {"name": "mark", "ctx": {"tag": tag}, "is_async": True})
