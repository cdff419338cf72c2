"""Runs that are stopped: wherever they hang, within their time, and nothing else with them."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from taskhub.runs.health import watchdog
from taskhub.runs.queue import lease_keeper
from tests.faults.disposable import WORKERS, Disposable, submit, until
from tests.hub import Caller

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

STOPPED_SECONDS = 5
HANGS = ["sleep", "socket", "statement", "loop", "await", "regex"]
ENDED_WITH_THEIR_PROCESS = ["sum", "swallow"]


def test_a_stop_waits_for_less_than_five_seconds() -> None:
    """Its process has so long to let go; one that cannot even show that it is alive is ended by the watchdog."""
    assert lease_keeper.TICK_SECONDS + lease_keeper.GRACE_SECONDS + lease_keeper.TICK_SECONDS < STOPPED_SECONDS
    assert (1 + watchdog.SILENT_CHECKS) * watchdog.CHECK_SECONDS < STOPPED_SECONDS


@pytest.mark.parametrize("how", [*HANGS, *ENDED_WITH_THEIR_PROCESS])
def test_a_cancelled_run_is_stopped_wherever_it_hangs(broken: Disposable, tmp_path: Path, end: Path, how: str) -> None:
    owner, hangs = broken.people.sign_up(), tmp_path / "hangs"
    neighbour = submit(owner, "linger", {"tag": f"neighbour of {hangs}", "flag": str(end)})
    stuck = submit(owner, "stuck", {"tag": str(hangs), "flag": str(hangs), "how": how})
    until(hangs.exists)
    assert owner.post("/js/walker_queue_cancel", {"task_id": stuck}).json()["state"] == "REVOKED"
    # With the neighbour they need all processes, also the one that hung. No user gets as many.
    others = [
        submit(broken.people.sign_up(), "linger", {"tag": f"{n} after {hangs}", "flag": str(end)})
        for n in range(WORKERS - 1)
    ]
    until(lambda: {"PENDING"}.isdisjoint(broken.states(others).values()))
    end.touch()
    assert set(broken.await_ended([neighbour, *others]).values()) == {"SUCCESS"}
    assert broken.rows("SELECT max(attempt) FROM runs_run WHERE id = ANY(%s::uuid[])", [neighbour, *others]) == [(1,)]
    broken.assert_balanced({stuck: str(hangs), neighbour: f"neighbour of {hangs}"})


def test_a_run_that_is_out_of_time_is_stopped_and_its_process_goes_on(broken: Disposable, tmp_path: Path) -> None:
    owner = broken.people.sign_up()
    before = {process.pid for process in broken.children("worker:walkers")}
    flags = [tmp_path / how for how in HANGS]
    runs: dict[str, Path] = {}
    for flag in flags:  # one after the other: a process that gets no time of the processor is ended, rightly
        run = submit(owner, "limited", {"tag": str(flag), "flag": str(flag), "how": flag.name})
        broken.await_ended([run])
        runs[run] = flag
    told = [owner.get("/js/walker_queue_check", {"task_id": id}).json() for id in runs]
    assert {(one["state"], one["error"]["type"]) for one in told} == {("FAILURE", "TimeLimitExceeded")}
    broken.assert_balanced({id: str(flag) for id, flag in runs.items()})
    assert {process.pid for process in broken.children("worker:walkers")} == before


def test_of_a_cancelling_and_an_ending_one_wins(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    runs: dict[str, str] = {}
    seen: Counter[str] = Counter()
    numbers, pause = count(), 0.06
    while min(seen["REVOKED"], seen["SUCCESS"]) < 10 and len(runs) < 500:
        tags = [f"race {next(numbers)} of {owner.id}" for _ in range(10)]
        with ThreadPoolExecutor(5) as pool:
            ended = list(pool.map(partial(_race, owner, pause), tags))
        runs |= {id: tag for id, tag, _ in ended}
        seen.update(state for _, _, state in ended)
        pause *= 1.5 if seen["REVOKED"] > seen["SUCCESS"] else 1 / 1.5  # however long a run waits for its worker here
    assert min(seen["REVOKED"], seen["SUCCESS"]) >= 10
    assert Counter(broken.await_ended(runs).values()) == seen
    broken.assert_balanced(runs)


def _race(owner: Caller, pause: float, tag: str) -> tuple[str, str, str]:
    """Cancels a run at about the time when it ends; its state."""
    id = submit(owner, "mark", {"tag": tag, "seconds": random.uniform(0, 0.02)})
    time.sleep(random.uniform(0, pause))
    answer = owner.post("/js/walker_queue_cancel", {"task_id": id})
    state = str(answer.json()["state"])
    assert (answer.status_code, state) in {(200, "REVOKED"), (409, "SUCCESS")}
    return id, tag, state
