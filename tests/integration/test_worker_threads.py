"""Workers that perform many runs at once, in threads: how a run is stopped there, and takes no other with it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction

from taskhub import interruption
from taskhub.accounts.models import User
from taskhub.db.connections import thread_connection
from taskhub.runs import queue, run_kinds
from taskhub.runs.domain import Interrupted
from taskhub.runs.models import Run
from taskhub.runs.queue import lease_keeper, leases, worker_threads
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.worker_process import work
from taskhub.runs.queue.worker_threads import WorkerThreads
from tests.conftest import make_person
from tests.probe_kind import ProbeKind

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 30
SLOTS = 3


class OtherProbeKind(ProbeKind):
    """Another kind of the same queue."""

    name = "other probe"


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    for kind in (ProbeKind(), OtherProbeKind()):
        run_kinds.register(kind)
    yield
    for name in (ProbeKind.name, OtherProbeKind.name):
        del run_kinds._kinds[name]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerThreads]:
    monkeypatch.setitem(settings.THREAD_SLOTS, "walkers", SLOTS)
    opened = WorkerThreads("w@here", ["walkers"])
    monkeypatch.setattr(worker_threads, "_threads", opened)
    yield opened
    opened.close()
    until(lambda: not opened.busy)


@pytest.fixture
def olga() -> User:
    user = make_person("olga@example.com").user
    assert user
    return user


def submit(owner: User, kind: str = "probe", **options: Any) -> Run:
    return queue.submit(kind=kind, owner=owner, name="probe", arguments={}, **options)


def notify(perform: Callable[[Execution], None], kind: str = "probe") -> None:
    assert work(kind, perform, node="w@here") == 0


def succeed(execution: Execution) -> None:
    with transaction.atomic():
        execution.succeed({})


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def state(run: Run) -> str:
    run.refresh_from_db()
    return str(run.state)


def compute() -> None:
    while True:
        pass


def compute_and_catch() -> None:
    """Ends well at last, so that a transaction around it is committed if that can be."""
    for _ in range(6):
        try:
            compute()
        except BaseException:
            continue


def wait_for_event() -> None:
    event = threading.Event()
    with interruption.waiting(event.set):
        event.wait(3600)


def ask_the_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(3600)")


HANGS: dict[str, Callable[[], object]] = {
    "event": wait_for_event,
    "statement": ask_the_database,
    "loop": compute,
    "loop that catches": compute_and_catch,
    "sleep": lambda: time.sleep(5),
}


@pytest.mark.parametrize("ends", ["cancelled", "overdue"])
@pytest.mark.parametrize("how", HANGS)
def test_work_is_stopped_wherever_it_hangs(threads: WorkerThreads, olga: User, how: str, ends: str) -> None:
    """It has no effect, and its slot performs the next run."""
    hangs, over = threading.Event(), threading.Event()
    before = threads.slots["walkers"].numbers

    def hang(execution: Execution) -> None:
        try:
            with transaction.atomic():
                make_person("effect@example.com")
                hangs.set()
                HANGS[how]()
        finally:  # where the machine is busy, its time may be over before it hangs
            hangs.set()
            over.set()

    run = submit(olga, time_limit=1 if ends == "overdue" else None)
    notify(hang)
    assert hangs.wait(PATIENCE)
    if ends == "cancelled":
        queue.cancel(run=run)
    began = time.monotonic()
    until(lambda: len(threads.slots["walkers"].numbers) == SLOTS and not threads.busy)
    assert time.monotonic() - began < PATIENCE
    assert state(run) == ("REVOKED" if ends == "cancelled" else "FAILURE")
    assert (run.error or {}).get("type") == (None if ends == "cancelled" else "TimeLimitExceeded")
    assert (threads.slots["walkers"].numbers == before) == (how not in {"sleep", "loop that catches"})
    following = submit(olga)
    notify(succeed)
    until(lambda: state(following) == "SUCCESS")
    assert over.wait(PATIENCE)
    until(lambda: threads.abandoned == 0)
    assert not User.objects.filter(email="effect@example.com").exists()
    assert state(run) == ("REVOKED" if ends == "cancelled" else "FAILURE")


def test_a_thread_is_given_up_in_time() -> None:
    """A run that was cancelled lets go of its slot within five seconds."""
    assert lease_keeper.GRACE_SECONDS + 2 * lease_keeper.TICK_SECONDS < 5
    assert lease_keeper.EXCEPTION_SECONDS < lease_keeper.GRACE_SECONDS


def test_a_process_that_was_asleep_has_its_time_to_let_go_all_the_same(
    threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, given_up = SimpleNamespace(now=1000.0), threading.Event()
    monkeypatch.setattr(lease_keeper, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def give_up() -> bool:
        given_up.set()
        return True

    execution: Any = SimpleNamespace(
        run=SimpleNamespace(pk="a run"),
        thread=threading.Thread(),
        open=True,
        stop=Interrupted(),
        told_to_stop_at=0.0,
        stopping_seconds=0.0,
        interruption=SimpleNamespace(end_waits=lambda: None, strike=lambda error: None),
        abandon=give_up,
        abandoned=False,
    )
    keeper = lease_keeper.LeaseKeeper("w@here")
    for pause in (0.0, 60.0, lease_keeper.TICK_SECONDS):
        clock.now += pause
        keeper._interrupt(execution)
    assert not given_up.is_set()
    clock.now += lease_keeper.TICK_SECONDS
    while not given_up.is_set():
        keeper._interrupt(execution)
        clock.now += lease_keeper.TICK_SECONDS
    assert clock.now <= 1060 + lease_keeper.GRACE_SECONDS + 2 * lease_keeper.TICK_SECONDS


def test_a_run_that_hangs_holds_up_no_other(threads: WorkerThreads, olga: User) -> None:
    go_on = threading.Event()

    def wait_or_end(execution: Execution) -> None:
        if execution.run.pk == stuck.pk:
            go_on.wait(PATIENCE)
        succeed(execution)

    stuck = submit(olga)
    notify(wait_or_end)
    until(lambda: state(stuck) == "STARTED")
    others = [submit(make_person(f"other{number}@example.com").user) for number in range(5)]
    notify(wait_or_end)
    until(lambda: [state(run) for run in others] == ["SUCCESS"] * 5)
    assert state(stuck) == "STARTED"
    go_on.set()
    until(lambda: state(stuck) == "SUCCESS")


def test_runs_that_came_while_all_slots_were_taken_are_found(threads: WorkerThreads, olga: User) -> None:
    """Without another message: the slot that gets free looks for them, also for those of another kind."""
    go_on = threading.Event()

    def wait(execution: Execution) -> None:
        go_on.wait(PATIENCE)
        succeed(execution)

    running = [submit(make_person(f"first{number}@example.com").user) for number in range(SLOTS)]
    for _ in running:
        notify(wait)
    until(lambda: [state(run) for run in running] == ["STARTED"] * SLOTS)
    later = [submit(olga), submit(olga, kind="other probe")]
    notify(wait)
    notify(wait, kind="other probe")
    assert [state(run) for run in later] == ["PENDING"] * 2
    go_on.set()
    until(lambda: [state(run) for run in [*running, *later]] == ["SUCCESS"] * (SLOTS + 2))


def test_who_waits_holds_no_connection(threads: WorkerThreads, olga: User) -> None:
    held: list[bool] = []

    def wait(execution: Execution) -> None:
        Run.objects.count()
        held.append(thread_connection().connection is not None)
        with interruption.waiting(lambda: None):
            held.append(thread_connection().connection is not None)
        succeed(execution)

    run = submit(olga)
    notify(wait)
    until(lambda: state(run) == "SUCCESS")
    assert held == [True, False]


def test_a_claim_that_fails_gives_its_slot_back(threads: WorkerThreads, olga: User) -> None:
    run = submit(olga)
    with pytest.MonkeyPatch.context() as patch:
        failed = threading.Event()

        def fail(*_: Any) -> None:
            failed.set()
            raise RuntimeError("nothing can be claimed")

        patch.setattr(worker_threads, "claim_next", fail)
        notify(succeed)
        assert failed.wait(PATIENCE)
        until(lambda: not threads.busy)
    notify(succeed)
    until(lambda: state(run) == "SUCCESS")


def test_a_worker_that_closes_claims_nothing_more(threads: WorkerThreads, olga: User) -> None:
    go_on = threading.Event()

    def wait(execution: Execution) -> None:
        go_on.wait(PATIENCE)
        succeed(execution)

    first = submit(olga)
    notify(wait)
    until(lambda: state(first) == "STARTED")
    second = submit(olga)
    threads.close()
    notify(wait)
    go_on.set()
    threads.await_ends()
    assert (state(first), state(second)) == ("SUCCESS", "PENDING")
    assert threads.slots["walkers"].numbers == []


def test_too_many_threads_that_were_left_to_themselves_end_the_worker(
    threads: WorkerThreads, olga: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no more runs, and ends when those that go on have."""
    ended, go_on = threading.Event(), threading.Event()
    far, near = os.pipe()
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(worker_threads, "ABANDONED_MAX", 1)
    stuck, neighbour = submit(olga), submit(make_person("neighbour@example.com").user)

    def hang_or_wait(execution: Execution) -> None:
        if execution.run.pk == stuck.pk:
            os.read(far, 1)
        go_on.wait(PATIENCE)
        succeed(execution)

    notify(hang_or_wait)
    notify(hang_or_wait)
    until(lambda: {state(stuck), state(neighbour)} == {"STARTED"})
    queue.cancel(run=stuck)
    until(lambda: threads.slots["walkers"].numbers == [])
    assert not ended.is_set()
    os.close(near)
    go_on.set()
    assert ended.wait(PATIENCE)
    os.close(far)
    assert state(neighbour) == "SUCCESS"


def test_a_slot_whose_run_has_ended_is_not_given_to_others(threads: WorkerThreads, olga: User) -> None:
    """The keeper may decide to abandon a run in the moment in which it ends."""
    executions, go_on = list[Execution](), threading.Event()

    def perform(execution: Execution) -> None:
        executions.append(execution)
        if len(executions) == 2:
            go_on.wait(PATIENCE)
        succeed(execution)

    runs = [submit(olga), submit(olga)]
    before = threads.slots["walkers"].numbers
    notify(perform)
    until(lambda: len(executions) == 2)
    first = executions[0]
    assert first.abandon
    assert not first.abandon()
    assert (threads.slots["walkers"].numbers, threads.slots["walkers"].busy, threads.abandoned) == (before, 1, 0)
    go_on.set()
    until(lambda: [state(run) for run in runs] == ["SUCCESS"] * 2)


def test_a_slot_is_given_back_where_the_system_gives_no_thread(threads: WorkerThreads, olga: User) -> None:
    run = submit(olga)
    with pytest.MonkeyPatch.context() as patch:

        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", refuse)
        notify(succeed)
        assert not threads.busy
    notify(succeed)
    until(lambda: state(run) == "SUCCESS")


def test_progress_that_cannot_be_saved_costs_no_other_run_its_lease(threads: WorkerThreads, olga: User) -> None:
    go_on = threading.Event()

    def perform(execution: Execution) -> None:
        while not go_on.wait(0.01):
            execution.set_progress(float("nan") if execution.run.pk == broken.pk else 1)
        succeed(execution)

    broken, other = submit(olga), submit(make_person("other@example.com").user)
    for _ in range(2):
        notify(perform)
    until(lambda: state(other) == "PROGRESS")
    until(lambda: state(broken) == "STARTED")
    seen = Run.objects.get(pk=other.pk).revision
    until(lambda: Run.objects.get(pk=other.pk).revision > seen + 1)
    go_on.set()
    until(lambda: state(other) == "SUCCESS")


def test_the_keeper_goes_on_whatever_fails(threads: WorkerThreads, olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    failed, stopped = threading.Event(), threading.Event()
    renew_all = leases.renew_all

    def fail_once(claims: Any) -> Any:
        if failed.is_set():
            return renew_all(claims)
        failed.set()
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr(leases, "renew_all", fail_once)

    def perform(execution: Execution) -> None:
        try:
            wait_for_event()
            execution.check()
        finally:
            stopped.set()

    run = submit(olga)
    notify(perform)
    assert failed.wait(PATIENCE)
    queue.cancel(run=run)
    assert stopped.wait(PATIENCE)
