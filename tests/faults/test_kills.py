"""Workers that are killed: every run that was accepted has its effect once."""

from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path
from threading import Event

import psutil
import pytest

from tests.faults.disposable import Disposable, frozen, submit, submit_marks, until
from tests.session import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("outages")]

KILLS = ("child", "child", "worker", "child", "child")  # one after the other, and again while runs wait
AT_WORK = """
    SELECT split_part(worker, ':', 2)::integer, attempt FROM runs_run
    WHERE lease_until IS NOT NULL AND worker <> '' AND kind = 'walker'
"""


@pytest.mark.timeout(400)  # a process that starts for each one that is killed takes its time
def test_workers_killed_every_second(broken: Disposable) -> None:
    people = [broken.people.sign_up() for _ in range(5)]
    runs: dict[str, str] = {}

    def submit_more(count: int) -> None:
        for person in people:
            runs.update(submit_marks(person, [f"{len(runs)}, {n} of {person.id}" for n in range(count)], seconds=0.1))

    with broken.idle():
        submit_more(50)
    killed, kills = 0, cycle(KILLS)
    victim = next(kills)
    while (waits := "PENDING" in broken.states(runs).values()) or killed < len(KILLS):
        if not waits:
            submit_more(10)
        if _kill(broken, victim):
            killed, victim = killed + 1, next(kills)
        Event().wait(1)
    assert set(broken.await_ended(runs, 120).values()) == {"SUCCESS"}
    assert len(runs) >= 250
    broken.assert_balanced(runs)


def _kill(broken: Disposable, victim: str) -> bool:
    """Kills a child at work, or the worker itself, which takes all its children with it; False where that must not be.

    Nobody is killed at the third attempt: that would be the end of the run, as another test shows.
    """
    with ExitStack() as stack:
        children = []
        for child in broken.children("worker:walkers"):  # who is at what does not change meanwhile
            with suppress(psutil.NoSuchProcess):
                children.append(stack.enter_context(frozen(child)))
        attempts = dict(broken.rows(AT_WORK))
        at_work = [child for child in children if child.pid in attempts]
        if victim == "worker":
            victims = at_work if all(attempts[child.pid] < 3 for child in at_work) else []
        else:
            victims = [child for child in at_work if attempts[child.pid] < 3][:1]
        if victims and victim == "worker":
            broken.program("worker:walkers").kill()
            until(lambda: not any(map(is_alive, children)))
        for child in victims:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    return bool(victims)


def test_killed_around_the_commit(broken: Disposable, tmp_path: Path) -> None:
    owner = broken.people.sign_up()
    runs = {}
    for when in ("before the commit", "after the commit"):
        tag = f"{when} of {owner.id}"
        runs[submit(owner, "die", {"tag": tag, "when": when, "flag": str(tmp_path / when)})] = tag
    assert set(broken.await_ended(runs).values()) == {"SUCCESS"}
    broken.assert_balanced(runs)
    attempts = broken.rows("SELECT attempt FROM runs_run WHERE owner_id = %s ORDER BY id", owner.id)
    assert attempts == [(2,), (1,)]


def test_a_run_that_takes_every_process_with_it_is_given_up(broken: Disposable, tmp_path: Path) -> None:
    owner = broken.people.sign_up()
    ctx = {"tag": owner.id, "when": "before the commit", "flag": str(tmp_path / "flag"), "always": True}
    run = submit(owner, "die", ctx)
    assert broken.await_ended([run], 120) == {run: "FAILURE"}
    assert owner.get("/js/walker_queue_check", {"task_id": run}).json()["error"]["type"] == "WorkerLost"
    broken.assert_balanced({run: owner.id})
