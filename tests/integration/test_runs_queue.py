"""The queue of runs, with a kind of run of its own, on a real PostgreSQL and Redis."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import cycle, islice
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from taskhub.accounts.models import User
from taskhub.errors import Conflict, NotFound, Rejected, Unavailable
from taskhub.runs import queue, run_kinds
from taskhub.runs.domain import LeaseLost, State, oldest_id
from taskhub.runs.health import worker_heartbeat
from taskhub.runs.models import IdempotencyRecord, Run
from taskhub.runs.queue import broker, maintenance, pubsub, worker_process
from taskhub.runs.queue.ends import end_abandoned
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.leases import renew_all
from taskhub.runs.queue.submission import create_run
from taskhub.runs.queue.worker_process import run_now, work
from taskhub.start.programs import THREAD_QUEUES
from tests.conftest import make_person
from tests.probe_kind import ProbeKind

pytestmark = pytest.mark.django_db(transaction=True)
START = UUID(int=0)


class WordKind(ProbeKind):
    def check(self, arguments: Any) -> None:
        if not arguments.get("word"):
            raise Rejected("There is no word.", errors=[{"pointer": "/word", "detail": "It is required."}])


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    run_kinds.register(WordKind())
    yield
    del run_kinds._kinds["probe"]


@pytest.fixture
def olga() -> User:
    user = make_person("olga@example.com").user
    assert user
    return user


def submit(owner: User, word: str = "hello", **options: Any) -> Run:
    return queue.submit(kind="probe", owner=owner, name="probe", arguments={"word": word}, **options)


def claim(after: UUID = START) -> Run | None:
    return queue.claim(kind="probe", worker="w@here:1", after=after)


def claim_one() -> Run:
    run = claim()
    assert run
    return run


def say(perform_word: Execution) -> None:
    with transaction.atomic():
        perform_word.succeed({"said": perform_word.run.arguments["word"]})


def test_a_run_is_claimed_once_and_ends_once(olga: User) -> None:
    accepted = submit(olga)
    run = claim_one()
    assert (run.pk, run.state, run.attempt, run.worker) == (accepted.pk, "STARTED", 1, "w@here:1")
    assert claim() is None
    queue.end(run=run, state=State.SUCCESS, result={"n": 1})
    with pytest.raises(LeaseLost):
        queue.end(run=run, state=State.FAILURE)
    run.refresh_from_db()
    assert (run.state, run.result, run.lease_until) == ("SUCCESS", {"n": 1}, None)
    assert run.finished_at


def test_the_ending_is_projected_without_values(olga: User) -> None:
    run = submit(olga, "secret word")
    work("probe", say, node="w@here")
    row = TaskResult.objects.get(task_id=str(run.pk))
    assert (row.status, row.task_name) == ("SUCCESS", "probe:probe")
    assert row.date_done
    assert "secret word" not in f"{row.result}{row.task_args}{row.task_kwargs}{row.meta}"


def test_what_cannot_run_is_not_accepted(olga: User) -> None:
    with pytest.raises(Rejected):
        submit(olga, "")
    with pytest.raises(LookupError):
        queue.submit(kind="unheard", owner=olga, name="x", arguments={})
    assert not Run.objects.exists()


def test_a_flood_of_one_owner_delays_another_by_one_run_a_worker(olga: User) -> None:
    for _ in range(20):
        submit(olga)
    other = make_person("other@example.com").user
    submit(other)
    served: list[Any] = []
    work("probe", _noting(served, lambda run: run.owner_id), node="w@here")
    assert len(served) == 21
    assert other.pk in served[:2]


def test_runs_of_one_owner_go_in_the_order_they_were_accepted(olga: User) -> None:
    words = [str(n) for n in range(5)]
    for word in words:
        submit(olga, word)
    said: list[str] = []
    work("probe", _noting(said, lambda run: run.arguments["word"]), node="w@here")
    assert said == words


def test_an_owner_at_the_cap_waits_while_others_go_on(olga: User, settings: Any) -> None:
    settings.RUN_CAP_PER_OWNER = 2
    for _ in range(3):
        submit(olga)
    other = make_person("other@example.com").user
    submit(other)
    claimed = [run for run in (claim(), claim(), claim(), claim()) if run]
    assert Counter(run.owner_id for run in claimed) == {olga.pk: 2, other.pk: 1}
    queue.end(run=next(run for run in claimed if run.owner_id == olga.pk), state=State.SUCCESS)
    assert claim_one().owner_id == olga.pk


@pytest.mark.parametrize(
    ("slots", "shares"),
    [
        (1, [1]),
        (2, [1, 1]),
        (3, [2, 1]),
        (4, [2, 1, 1]),
        (5, [3, 1, 1]),
        (8, [4, 2, 1, 1]),
    ],
)
def test_owners_who_want_everything_leave_slots_for_the_next(olga: User, slots: int, shares: list[int]) -> None:
    worker_heartbeat.say_alive(name="w@here", queues=["walkers"], processes=range(1, slots + 1))
    for number, share in enumerate(shares):
        greedy = make_person(f"greedy{number}@example.com").user
        for _ in range(slots + 1):
            submit(greedy)
        assert [run.owner_id for run in iter(claim, None)] == [greedy.pk] * share


@pytest.mark.parametrize("name", THREAD_QUEUES)
def test_two_greedy_users_leave_slots_of_each_queue_for_a_third(olga: User, name: str) -> None:
    """Whatever the kinds of their runs: those of one queue share its slots."""
    slots, kinds = settings.THREAD_SLOTS[name], run_kinds.kinds_of_queue(name)
    worker_heartbeat.say_alive(name="w@here", queues=[name], processes=range(1, slots + 1))

    def submit_of(owner: User, count: int) -> None:
        for kind in islice(cycle(kinds), count):
            create_run(kind=kind, owner=owner, name="greed", arguments={})

    def claim_all() -> Counter[UUID]:
        runs = [queue.claim(kind=kind, worker="w@here:1", after=START) for kind in kinds for _ in range(slots)]
        return Counter(run.owner_id for run in runs if run)

    greedy = [make_person(f"greedy{number}@example.com").user for number in range(2)]
    for owner in greedy:
        submit_of(owner, 2 * slots)
    held = claim_all()
    assert 0 < slots - held.total() <= slots // 4 + 1
    submit_of(olga, 1)
    assert claim_all() == {olga.pk: 1}


def test_slots_that_are_claimed_at_the_same_moment_are_shared(olga: User) -> None:
    worker_heartbeat.say_alive(name="w@here", queues=["walkers"], processes=range(1, 7))
    worker_heartbeat.say_alive(name="walkers@two", queues=["walkers", "crawlers"], processes=[1, 2])
    worker_heartbeat.say_alive(name="crawlers@two", queues=["crawlers"], processes=range(20))
    for _ in range(9):
        submit(olga)
    barrier, claimed = threading.Barrier(8), []

    def claim_with_others() -> None:
        connection.ensure_connection()
        barrier.wait(30)
        claimed.append(claim())

    threads = [threading.Thread(target=_in_thread, args=(claim_with_others,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [bool(run) for run in claimed].count(True) == 4
    first = next(run for run in claimed if run)
    queue.end(run=first, state=State.SUCCESS)
    assert claim()
    assert claim() is None


def test_a_process_that_died_holds_no_slot(olga: User) -> None:
    worker_heartbeat.say_alive(name="w@here", queues=["walkers"], processes=[1, 2])
    for _ in range(3):
        submit(olga)
    assert claim()
    assert claim() is None
    worker_heartbeat.say_alive(name="w@here", queues=["walkers"], processes=[2, 3])
    assert claim()


def test_a_cancelled_waiting_run_never_starts(olga: User) -> None:
    run = queue.cancel(run=submit(olga))
    assert run.state == "REVOKED"
    assert claim() is None
    assert TaskResult.objects.get(task_id=str(run.pk)).status == "REVOKED"
    with pytest.raises(Conflict):
        queue.cancel(run=run)


def test_a_cancelled_running_run_has_no_effect(olga: User) -> None:
    submit(olga)

    def effect_then_cancelled(running: Execution) -> None:
        with transaction.atomic():
            make_person("effect@example.com")
            thread = threading.Thread(target=_in_thread, args=(lambda: queue.cancel(run=running.run),))
            thread.start()
            thread.join()
            running.succeed({})

    work("probe", effect_then_cancelled, node="w@here")
    run = Run.objects.get()
    assert (run.state, run.result) == ("REVOKED", None)
    assert not User.objects.filter(email="effect@example.com").exists()


def test_work_in_the_main_thread_is_interrupted_whichever_thread_worked_first(
    olga: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_process._worker_process.clear()  # as in a process that has done no work yet
    for number in (signal.SIGUSR2, signal.SIGVTALRM):
        signal.signal(number, signal.SIG_DFL)
    submit(olga)
    thread = threading.Thread(target=_in_thread, args=(lambda: work("probe", say, node="w@here"),))
    thread.start()
    thread.join()
    run = submit(olga)

    def hang(running: Execution) -> None:
        threading.Thread(target=_in_thread, args=(lambda: queue.cancel(run=running.run),)).start()
        threading.Event().wait(30)
        pytest.fail("It was not interrupted.")

    work("probe", hang, node="w@here")
    run.refresh_from_db()
    assert run.state == "REVOKED"


def test_an_interruption_at_the_entrance_of_a_transaction_leaves_none_open(olga: User) -> None:
    interrupted, next_run = submit(olga), submit(olga)

    def enter(running: Execution) -> None:
        if running.run.pk == next_run.pk:
            say(running)
            return
        # Where the interruption strikes at the end of `__enter__`, `__exit__` is not called.
        transaction.atomic().__enter__()
        threading.Thread(target=_in_thread, args=(lambda: queue.cancel(run=running.run),)).start()
        threading.Event().wait(30)
        pytest.fail("It was not interrupted.")

    work("probe", enter, node="w@here")
    states: list[str] = []
    ids = [interrupted.pk, next_run.pk]
    thread = threading.Thread(
        target=_in_thread, args=(lambda: states.extend(Run.objects.get(pk=id).state for id in ids),)
    )
    thread.start()
    thread.join()
    assert states == ["REVOKED", "SUCCESS"]


ENDS_AFTER_WORK = """
import atexit, signal
import django
django.setup()
from threading import main_thread
from taskhub.runs.queue.lease_keeper import LeaseKeeper

class Work:
    thread, open, stop, overdue_at = main_thread(), False, None, float("inf")
    run = type("", (), {"pk": 1})

    def close(self): ...

atexit.register(lambda: print(signal.getitimer(signal.ITIMER_VIRTUAL)[0]))  # called last
keeper = LeaseKeeper("w@here:1")
keeper._renew = lambda *_, **__: set()
with keeper.keep(Work()):
    keeper._turn.clear()
    keeper._turn.wait()  # its thread has set the timer
"""


def test_a_process_that_worked_ends_in_peace() -> None:
    """Python gives signals back at its end: its timer must not kill it then."""
    ended = subprocess.run([sys.executable, "-c", ENDS_AFTER_WORK], stdout=subprocess.PIPE, check=True, timeout=60)
    assert float(ended.stdout) == 0


def test_a_run_that_ended_cannot_be_cancelled(olga: User) -> None:
    run = submit(olga)
    work("probe", say, node="w@here")
    with pytest.raises(Conflict):
        queue.cancel(run=run)
    run.refresh_from_db()
    assert run.state == "SUCCESS"


def test_what_raises_is_a_failure_with_its_words(olga: User) -> None:
    run = submit(olga)

    def fall(_: Execution) -> None:
        raise ValueError("the ladder broke")

    work("probe", fall, node="w@here")
    run.refresh_from_db()
    assert (run.state, run.error) == ("FAILURE", {"type": "ValueError", "message": "the ladder broke"})


def test_what_does_not_say_how_it_ended_is_a_failure(olga: User) -> None:
    run = submit(olga)
    work("probe", lambda _: None, node="w@here")
    run.refresh_from_db()
    assert (run.state, (run.error or {})["type"]) == ("FAILURE", "NoEnding")


def test_a_fault_that_may_pass_is_tried_again_later_and_then_given_up(olga: User) -> None:
    run = submit(olga)

    def away(_: Execution) -> None:
        raise Unavailable("The other side is away.")

    for attempt in (1, 2):
        work("probe", away, node="w@here")
        run.refresh_from_db()
        assert (run.state, run.attempt, run.ready) == ("RETRY", attempt, False)
        assert run.not_before
        assert run.not_before > timezone.now()
        Run.objects.update(not_before=timezone.now())
        queue.sweep()
    work("probe", away, node="w@here")
    run.refresh_from_db()
    assert (run.state, run.attempt, (run.error or {})["message"]) == ("FAILURE", 3, "The other side is away.")


def test_work_that_the_database_interrupts_is_tried_again(olga: User) -> None:
    run = submit(olga)

    def too_long(_: Execution) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 1; SELECT pg_sleep(10)")

    work("probe", too_long, node="w@here")
    run.refresh_from_db()
    assert (run.state, run.attempt, (run.error or {})["type"]) == ("RETRY", 1, "OperationalError")


def test_a_schedules_due_time_is_one_run(olga: User) -> None:
    due = timezone.now()
    submit(olga, schedule_id=7, due_at=due)
    with pytest.raises(IntegrityError), transaction.atomic():
        submit(olga, schedule_id=7, due_at=due)
    submit(olga, schedule_id=7)
    submit(olga, schedule_id=7, due_at=due + timedelta(days=1))
    submit(olga, schedule_id=8, due_at=due)
    assert Run.objects.filter(schedule_id__isnull=False).count() == 4


def test_a_delayed_run_waits_for_its_time(olga: User) -> None:
    run = submit(olga, not_before=timezone.now() + timedelta(hours=1))
    queue.sweep()
    assert claim() is None
    Run.objects.update(not_before=timezone.now())
    queue.sweep()
    assert claim_one().pk == run.pk


def test_a_silent_workers_run_is_offered_again_and_its_late_ending_refused(olga: User) -> None:
    submit(olga)
    lost = claim_one()
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert queue.sweep() == 1
    again = claim_one()
    assert (again.pk, again.attempt) == (lost.pk, 2)
    assert not queue.renew(run=lost)
    with pytest.raises(LeaseLost):
        queue.end(run=lost, state=State.SUCCESS)
    queue.end(run=again, state=State.SUCCESS)


def test_a_run_that_loses_every_worker_is_given_up(olga: User) -> None:
    run = submit(olga)
    for _ in range(settings.RUN_LOSSES_MAX):
        claim_one()
        Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        queue.sweep()
    run.refresh_from_db()
    assert (run.state, (run.error or {})["type"]) == ("FAILURE", "WorkerLost")
    assert claim() is None


def test_progress_that_is_saved_with_a_lease_quotes_no_secret(olga: User) -> None:
    arguments = {"word": "hello", "password": "pw-4711-canary"}
    queue.submit(kind="probe", owner=olga, name="probe", arguments=arguments)
    run = claim_one()
    assert renew_all([(run, {"done": 1, "total": 2, "message": "signs in with pw-4711-canary"})]) == {run.pk}
    run.refresh_from_db()
    assert run.progress
    assert "canary" not in run.progress["message"]
    assert run.progress["done"] == 1


def test_a_worker_that_renews_in_time_is_not_given_up(olga: User) -> None:
    submit(olga)
    Run.objects.update(losses=settings.RUN_LOSSES_MAX - 1)
    run = claim_one()
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert queue.renew(run=run)
    assert not end_abandoned(run=run, error={"type": "WorkerLost", "message": ""})
    assert queue.sweep() == 0
    queue.end(run=run, state=State.SUCCESS)


def test_more_silent_workers_than_one_batch_cost_no_run_an_attempt(olga: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(maintenance, "BATCH", 2)
    for _ in range(3):
        submit(olga)
        claim_one()
    Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    queue.sweep()
    assert sorted(run.state for run in Run.objects.all()) == ["RETRY", "RETRY", "STARTED"]


def test_a_run_of_an_app_that_was_removed_ends_all_the_same(olga: User) -> None:
    run, waiting = submit(olga), submit(olga)
    Run.objects.update(losses=settings.RUN_LOSSES_MAX - 1)
    claim_one()
    Run.objects.filter(pk=run.pk).update(lease_until=timezone.now() - timedelta(seconds=1), kind="removed")
    Run.objects.filter(pk=waiting.pk).update(kind="removed")
    queue.sweep()
    run.refresh_from_db()
    assert run.state == "FAILURE"
    assert queue.cancel(run=waiting).state == "REVOKED"
    with pytest.raises(Conflict):
        queue.retry(run=run)


def test_a_result_over_the_limit_is_a_failure_that_says_so_and_has_no_effect(olga: User, settings: Any) -> None:
    settings.RUN_RESULT_MAX_BYTES = 1000
    run = submit(olga, "x" * 2000)

    def say_much(execution: Execution) -> None:
        with transaction.atomic():
            make_person("effect@example.com")
            say(execution)

    work("probe", say_much, node="w@here")
    run.refresh_from_db()
    assert not User.objects.filter(email="effect@example.com").exists()
    assert (run.state, run.result, (run.error or {})["type"]) == ("FAILURE", None, "ResultTooLarge")


def test_a_time_limit_ends_work_that_asks(olga: User) -> None:
    run = submit(olga, time_limit=0.01)

    def long_work(running: Execution) -> None:
        for step in range(10_000_000):
            running.set_progress(step)

    work("probe", long_work, node="w@here")
    run.refresh_from_db()
    assert (run.state, (run.error or {})["type"]) == ("FAILURE", "TimeLimitExceeded")


def test_progress_is_seen_while_the_works_transaction_is_open(olga: User) -> None:
    run = submit(olga)
    seen: list[Run] = []

    def tell(running: Execution) -> None:
        with transaction.atomic():
            running.set_progress(3, 10, "three of ten")
            watcher = threading.Thread(target=_in_thread, args=(lambda: seen.append(_until(run, "PROGRESS")),))
            watcher.start()
            watcher.join()
            running.succeed({})

    work("probe", tell, node="w@here")
    assert seen[0].progress == {"done": 3, "total": 10, "message": "three of ten"}


def test_a_wait_is_woken_by_the_end(olga: User) -> None:
    run = submit(olga)
    ended: list[Run] = []
    waiter = threading.Thread(
        target=_in_thread, args=(lambda: ended.append(queue.wait(run_id=run.pk, user=olga, seconds=60)),)
    )
    waiter.start()
    work("probe", say, node="w@here")
    waiter.join(60)
    assert ended[0].state == "SUCCESS"


def test_a_wait_ends_with_the_state_as_it_is(olga: User) -> None:
    run = submit(olga)
    assert queue.wait(run_id=run.pk, user=olga, seconds=0.01).state == "PENDING"


def test_another_users_run_cannot_be_seen(olga: User) -> None:
    run = submit(olga)
    other = make_person("other@example.com").user
    staff = make_person("staff@example.com", role="admin").user
    with pytest.raises(NotFound):
        queue.visible_run(run_id=run.pk, user=other)
    with pytest.raises(NotFound):
        queue.visible_run(run_id=uuid4(), user=staff)
    assert queue.visible_run(run_id=run.pk, user=staff).pk == run.pk


def test_a_retry_is_a_new_run_that_points_to_the_old(olga: User) -> None:
    run = submit(olga)
    with pytest.raises(Conflict):
        queue.retry(run=run)
    queue.cancel(run=run)
    run.refresh_from_db()
    new = queue.retry(run=run)
    assert (new.retry_of_id, new.arguments, new.owner_id) == (run.pk, run.arguments, olga.pk)
    assert claim_one().pk == new.pk


def test_without_a_worker_a_run_is_performed_at_once(olga: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "live_queues", broker.LiveQueues())  # which knows no worker of a test before
    run = submit(olga)
    assert not queue.notify_worker(run)
    assert run_now(run, say).result == {"said": "hello"}


def test_a_run_that_another_has_is_not_performed_twice(olga: User) -> None:
    run = submit(olga)
    claim_one()
    assert run_now(run, say).state == "STARTED"


def test_old_runs_and_answers_are_pruned(olga: User) -> None:
    long_ago = timezone.now() - timedelta(days=settings.RUN_RETENTION_DAYS + 1)
    old, waiting, new = submit(olga), submit(olga), submit(olga)
    for run in (old, new):
        queue.cancel(run=run)
    Run.objects.filter(pk=old.pk).update(id=oldest_id(long_ago), finished_at=long_ago)
    Run.objects.filter(pk=waiting.pk).update(id=UUID(int=oldest_id(long_ago).int + 1))
    IdempotencyRecord.objects.create(scope="a", fingerprint="", status=200, body={}, created_at=long_ago)
    IdempotencyRecord.objects.create(scope="b", fingerprint="", status=200, body={})
    TaskResult.objects.filter(task_id=str(old.pk)).update(task_id=str(oldest_id(long_ago)))
    assert queue.prune() == 2
    assert [row.task_id for row in TaskResult.objects.all()] == [str(new.pk)]
    assert {run.state for run in Run.objects.all()} == {"PENDING", "REVOKED"}
    assert Run.objects.count() == 2
    assert IdempotencyRecord.objects.get().scope == "b"


def _noting(notes: list[Any], what: Callable[[Run], Any]) -> Callable[[Execution], None]:
    def perform(execution: Execution) -> None:
        notes.append(what(execution.run))
        say(execution)

    return perform


def _until(run: Run, state: str) -> Run:
    until = time.monotonic() + 30
    with pubsub.subscribe(run.pk) as subscription:
        while time.monotonic() < until:
            row = queue.visible_run(run_id=run.pk, user=run.owner)
            if row.state == state:
                return row
            subscription.wait(1)
    raise AssertionError(f"{run} never was {state}")


def _in_thread(act: Any) -> None:
    try:
        act()
    finally:
        connection.close()


def test_a_confirmed_subscription_is_woken_by_what_is_published_alone() -> None:
    for _ in range(100):
        topic = uuid4()
        with pubsub.subscribe(topic) as subscription:
            assert subscription.connected
            assert not subscription.wait(0)
            pubsub.publish(topic)
            assert subscription.wait(5)


def test_a_subscription_that_is_not_confirmed_yet_is_woken_by_its_confirmation() -> None:
    with pubsub.subscribe(uuid4(), uuid4(), confirmed=False) as subscription:
        assert subscription.wait(5)
        assert subscription.connected


def test_a_claim_that_only_its_caller_sees_is_not_taken_for_lost(olga: User) -> None:
    """In a transaction of the caller's: the keeper, which has a connection of its own, finds no such run."""

    def outlast_the_keeper(performed: Execution) -> None:
        for number in range(2):
            performed.set_progress(number)
            keeper_turn.clear()
            assert keeper_turn.wait(30)
        say(performed)

    with transaction.atomic():
        run = submit(olga)
        keeper_turn = worker_process._worker_process.get("w@here").keeper._turn
        assert work("probe", outlast_the_keeper, node="w@here") == 1
        run.refresh_from_db()
        assert run.state == State.SUCCESS
