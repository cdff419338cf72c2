"""Processes of the hub that end and are started again: the supervisor, the web server, beat."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
import requests

from taskhub.embedded import Home, Servers
from taskhub.start.programs import beat
from tests.faults.disposable import Disposable, frozen, submit, submit_marks, until
from tests.hub import ROOT, Caller

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("restarts")]

SWEPT_SECONDS = 30
ENOUGH = 10  # calls of a client that were acknowledged
LEADER = "SELECT split_part(holder, ':', 2)::integer FROM runs_leadership WHERE until > clock_timestamp()"


def test_up_killed_and_started_again(broken: Disposable, end: Path) -> None:
    owner = broken.people.sign_up()
    lingering = {submit(owner, "linger", {"tag": f"{n} of {owner.id}", "flag": str(end)}): n for n in range(2)}
    until(lambda: "PENDING" not in broken.states(lingering).values())
    runs = submit_marks(owner, [f"waits {n} of {owner.id}" for n in range(20)])
    later = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    delayed = owner.post("/js/walker_run", {"name": "mark", "ctx": {"tag": owner.id}, "run_at": later})
    broken.kill_up()
    broken.start()
    end.touch()
    runs |= {id: f"{n} of {owner.id}" for id, n in lingering.items()} | {delayed.json()["task_id"]: owner.id}
    assert set(broken.await_ended(runs).values()) == {"SUCCESS"}
    broken.assert_balanced(runs)


def test_web_processes_killed_in_the_middle_of_submissions(broken: Disposable) -> None:
    people = [broken.people.sign_up() for _ in range(4)]
    done = Event()
    with ThreadPoolExecutor(len(people)) as pool:
        clients = [pool.submit(_submit_until, done, person, keyed=n % 2 == 0) for n, person in enumerate(people)]
        for number in range(6):
            Event().wait(0.5)
            broken.program("web").kill() if number == 3 else until(lambda: broken.children("web"))[
                number % 2 - 1
            ].kill()
        broken.await_health()
        done.set()
        plain: dict[str, str] = {}
        keyed: dict[str, str] = {}
        for number, client in enumerate(clients):
            (plain, keyed)[number % 2 == 0].update(client.result())
    assert min(len(plain), len(keyed)) > 2 * ENOUGH
    assert set(broken.await_ended(plain | keyed).values()) == {"SUCCESS"}
    broken.assert_balanced(plain | keyed)
    of_keys = "SELECT arguments -> 'ctx' ->> 'tag' FROM runs_run WHERE arguments -> 'ctx' ->> 'tag' = ANY(%s)"
    assert Counter(tag for (tag,) in broken.rows(of_keys, list(keyed.values()))) == Counter(keyed.values())


def _submit_until(done: Event, caller: Caller, *, keyed: bool) -> dict[str, str]:
    """What was acknowledged. With keys each call is repeated until it is answered; without, it is made once."""
    runs, number = dict[str, str](), 0
    while not done.is_set() or len(runs) <= ENOUGH:
        number += 1
        tag = f"{number} of {caller.id}"
        headers = {"Idempotency-Key": tag} if keyed else {}
        while (id := _try_to_submit(caller, tag, headers)) is None and keyed:
            Event().wait(0.05)
        if id:
            runs[id] = tag
    return runs


def _try_to_submit(caller: Caller, tag: str, headers: dict[str, str]) -> str | None:
    body = {"name": "mark", "ctx": {"tag": tag}, "is_async": True}
    try:
        answer = caller.post("/js/walker_run", body, headers=headers)
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):  # also in the middle of an answer
        return None
    assert answer.status_code in {202, 409}, answer.text
    id: str | None = answer.json().get("task_id")
    return id


def test_the_leading_beat_is_frozen(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    with second_beat(broken):
        leader = broken.program("beat")
        until(lambda: broken.rows(LEADER) == [(leader.pid,)])
        with frozen(leader):
            due = datetime.now(UTC) + timedelta(seconds=1)
            body = {"name": "mark", "ctx": {"tag": owner.id}, "run_at": due.isoformat()}
            run = owner.post("/js/walker_run", body).json()["task_id"]
            assert broken.await_ended([run]) == {run: "SUCCESS"}
            [(started,)] = broken.rows("SELECT started_at FROM runs_run WHERE id = %s", run)
            assert timedelta() <= started - due < timedelta(seconds=SWEPT_SECONDS)
        broken.assert_balanced({run: owner.id})
    until(lambda: broken.rows(LEADER) == [(leader.pid,)])


@contextmanager
def second_beat(broken: Disposable) -> Iterator[None]:
    """As on another machine of the same hub; killed at the end."""
    servers = Servers.of(Home(broken.home), broken.environment).environment()
    process = subprocess.Popen(beat(), cwd=ROOT, env=broken.environment | servers, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()
