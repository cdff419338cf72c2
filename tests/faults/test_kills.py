"""Workers that are killed: every run that was accepted has its effect once."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from threading import Event

import pytest

from tests.faults.disposable import Disposable, submit, submit_marks

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("outages")]

# Where something runs, and not for the last time: the third kill would be the end of it, as another test shows.
VICTIMS = """
    SELECT split_part(worker, ':', 2)::integer FROM runs_run
    WHERE lease_until > clock_timestamp() AND kind = 'walker'
    GROUP BY worker HAVING max(attempt) < 3
"""


@pytest.mark.timeout(400)  # a process that starts for each one that is killed takes its time
def test_workers_killed_every_second(broken: Disposable) -> None:
    people = [broken.people.sign_up() for _ in range(5)]
    runs: dict[str, str] = {}
    with broken.idle():
        for person in people:
            runs |= submit_marks(person, [f"{n} of {person.id}" for n in range(50)], seconds=0.1)
    killed = Counter(_kill_every_second(broken, while_pending=runs))
    assert killed["child"] > killed["worker"] > 0
    assert set(broken.await_ended(runs, 120).values()) == {"SUCCESS"}
    assert len(runs) == 250
    broken.assert_balanced(runs)


def _kill_every_second(broken: Disposable, *, while_pending: Iterable[str]) -> Iterator[str]:
    """A child at work; each fifth time the worker itself, which takes all its children with it."""
    for number in count(1):
        Event().wait(1)
        if "PENDING" not in broken.states(while_pending).values():
            return
        victims = {pid for (pid,) in broken.rows(VICTIMS)}
        children = [child for child in broken.children("worker:walkers") if child.pid in victims]
        if children and number % 5 == 0:
            broken.program("worker:walkers").kill()
            yield "worker"
        elif children:
            children[0].kill()
            yield "child"


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
