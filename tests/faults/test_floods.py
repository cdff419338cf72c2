"""One user's flood: it delays nobody else."""

from pathlib import Path

import pytest

from tests.faults.disposable import CAP, WORKERS, Disposable, submit, submit_marks, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("front")]

FLOOD = 400
BEGUN_BEFORE = """
    SELECT count(*) FROM runs_run WHERE id = ANY(%s::uuid[])
    AND started_at < (SELECT max(started_at) FROM runs_run WHERE id = ANY(%s::uuid[]))
"""


def test_a_full_queue_of_one_user_delays_no_other(broken: Disposable) -> None:
    flooder, other = broken.people.sign_up(), broken.people.sign_up()
    with broken.idle():
        runs = submit_marks(flooder, [f"{n} of {flooder.id}" for n in range(FLOOD)], seconds=0.01)
        mine = submit_marks(other, [f"{n} of {other.id}" for n in range(10)])
    assert set(broken.await_ended(runs | mine, 120).values()) == {"SUCCESS"}
    [(begun,)] = broken.rows(BEGUN_BEFORE, list(runs), list(mine))
    assert 0 < begun < FLOOD / 2
    broken.assert_balanced(runs | mine)


def test_a_user_at_the_cap_leaves_room_for_others(broken: Disposable, end: Path) -> None:
    greedy, other = broken.people.sign_up(), broken.people.sign_up()
    running: list[str] = []
    for number in range(CAP):
        running.append(submit(greedy, "linger", {"tag": f"{number} of {greedy.id}", "flag": str(end)}))
        until(lambda: "PENDING" not in broken.states(running).values())
    waiting = submit_marks(greedy, [f"waits {n} of {greedy.id}" for n in range(10)])
    mine = submit_marks(other, [f"{n} of {other.id}" for n in range(10)])
    assert set(broken.await_ended(mine).values()) == {"SUCCESS"}
    assert set(broken.states(waiting).values()) == {"PENDING"}
    end.touch()
    assert set(broken.await_ended([*running, *waiting]).values()) == {"SUCCESS"}
    broken.assert_balanced(waiting | mine)


def test_two_greedy_users_leave_room_for_a_third(broken: Disposable, end: Path) -> None:
    """Their runs last longer than the third waits; four slots are what a hub has by default."""
    greedy, third = [broken.people.sign_up() for _ in range(2)], broken.people.sign_up()
    runs: dict[str, str] = {}
    for owner in greedy:
        tags = [f"{n} of {owner.id}" for n in range(WORKERS)]
        runs |= submit_marks(owner, tags, walker="linger", flag=str(end))
    until(lambda: list(broken.states(runs).values()).count("PENDING") == len(runs) - (WORKERS - 1))
    mine = submit_marks(third, [f"{n} of {third.id}" for n in range(10)])
    assert set(broken.await_ended(mine).values()) == {"SUCCESS"}
    assert list(broken.states(runs).values()).count("PENDING") == len(runs) - (WORKERS - 1)
    end.touch()
    assert set(broken.await_ended(runs).values()) == {"SUCCESS"}
    broken.assert_balanced(runs | mine)
