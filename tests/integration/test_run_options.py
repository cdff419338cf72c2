"""What is said of runs besides their work: which goes first, which never begins, how many go on at once."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from taskhub.accounts.models import User
from taskhub.errors import Unavailable
from taskhub.runs import queue, run_kinds
from taskhub.runs.domain import Concurrency, ConcurrencyPolicy, State
from taskhub.runs.models import Run
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.submission import create_run
from taskhub.runs.queue.worker_process import work
from tests.conftest import make_person
from tests.probe_kind import ProbeKind

pytestmark = pytest.mark.django_db(transaction=True)
WAIT, SKIP, CANCEL = ConcurrencyPolicy
KEY = Concurrency("nightly")


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    run_kinds.register(ProbeKind())
    yield
    del run_kinds._kinds["probe"]


@pytest.fixture
def olga() -> User:
    user = make_person("olga@example.com").user
    assert user
    return user


def submit(owner: User, **options: Any) -> Run:
    return queue.submit(kind="probe", owner=owner, name="probe", arguments={}, **options)


def claim() -> Run | None:
    return queue.claim(kind="probe", worker="w@here:1", after=UUID(int=0))


def claim_one() -> Run:
    run = claim()
    assert run
    return run


def end(run: Run, state: State = State.SUCCESS) -> None:
    with transaction.atomic():
        queue.end(run=run, state=state)


def states(*runs: Run) -> list[str]:
    return [Run.objects.get(pk=run.pk).state for run in runs]


def error_type(run: Run) -> str:
    return str((Run.objects.get(pk=run.pk).error or {}).get("type", ""))


def test_the_higher_priority_is_first_within_an_owner(olga: User) -> None:
    runs = {priority: submit(olga, priority=priority) for priority in (5, 1, 9)}
    first = submit(olga, priority=9)
    claimed = [claim_one().pk for _ in range(4)]
    assert claimed == [runs[9].pk, first.pk, runs[5].pk, runs[1].pk]


def test_a_high_priority_of_one_owner_delays_no_other(olga: User) -> None:
    for _ in range(3):
        submit(olga, priority=9)
    other = make_person("other@example.com").user
    assert other
    submit(other, priority=1)
    first = claim_one()
    second = queue.claim(kind="probe", worker="w@here:1", after=first.owner_id)
    assert second
    assert {first.owner_id, second.owner_id} == {olga.pk, other.pk}


def test_what_has_not_begun_when_it_expires_never_begins(olga: User) -> None:
    late = submit(olga, expires_at=timezone.now() + timedelta(hours=1))
    begun = submit(olga, expires_at=timezone.now() + timedelta(hours=1), priority=9)
    assert claim_one().pk == begun.pk
    Run.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert claim() is None  # also before the leader has looked
    queue.sweep()
    assert states(late, begun) == ["REVOKED", "STARTED"]
    assert error_type(late) == "Expired"
    end(queue.visible_run(run_id=begun.pk, user=olga))


def test_an_attempt_that_failed_has_begun_in_time(olga: User) -> None:
    run = submit(olga, expires_at=timezone.now() + timedelta(hours=1))
    queue.schedule_retry(run=claim_one(), error={"type": "X", "message": "x"}, seconds=0)
    Run.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    queue.sweep()
    assert claim_one().pk == run.pk


def test_runs_of_a_key_wait_for_each_other_and_the_highest_priority_is_next(olga: User) -> None:
    first, low, high = submit(olga, concurrency=KEY), *(submit(olga, concurrency=KEY, priority=n) for n in (2, 8))
    free = submit(olga)
    running = claim_one()
    assert running.pk == first.pk
    assert claim_one().pk == free.pk
    assert claim() is None
    end(running)
    running = claim_one()
    assert running.pk == high.pk
    queue.cancel(run=running)
    assert claim_one().pk == low.pk


def test_keys_are_an_owners_own_and_limits_count(olga: User) -> None:
    other = make_person("other@example.com").user
    assert other
    two = Concurrency("pair", 2)
    for owner in (olga, other):
        for _ in range(3):
            submit(owner, concurrency=two)
    assert Counter(run.owner_id for run in Run.objects.filter(ready=True)) == {olga.pk: 2, other.pk: 2}
    assert Run.objects.filter(blocked=True).count() == 2


def test_one_that_does_not_wait_is_left_out(olga: User) -> None:
    first = submit(olga, concurrency=Concurrency("k", 1, SKIP))
    second = submit(olga, concurrency=Concurrency("k", 1, SKIP))
    assert states(first, second) == ["PENDING", "REVOKED"]
    assert error_type(second) == "Skipped"
    end(claim_one())
    assert states(submit(olga, concurrency=Concurrency("k", 1, SKIP))) == ["PENDING"]


def test_one_may_cancel_the_older(olga: User) -> None:
    runs = [submit(olga, concurrency=Concurrency("k", 2, CANCEL)) for _ in range(2)]
    running = claim_one()
    third = submit(olga, concurrency=Concurrency("k", 2, CANCEL))
    assert states(*runs, third) == ["REVOKED", "PENDING", "PENDING"]
    assert running.pk == runs[0].pk


def test_a_delayed_run_asks_for_room_when_its_time_has_come(olga: User) -> None:
    first = submit(olga, concurrency=KEY)
    delayed = submit(olga, concurrency=KEY, not_before=timezone.now() + timedelta(hours=1))
    assert not Run.objects.get(pk=delayed.pk).blocked
    Run.objects.filter(pk=delayed.pk).update(not_before=timezone.now())
    queue.sweep()
    assert Run.objects.get(pk=delayed.pk).blocked
    assert claim_one().pk == first.pk
    assert claim() is None


def test_a_failed_attempt_makes_room_and_asks_for_it_again(olga: User) -> None:
    first, second = submit(olga, concurrency=KEY), submit(olga, concurrency=KEY)
    queue.schedule_retry(run=claim_one(), error={"type": "X", "message": "x"}, seconds=0)
    queue.sweep()
    running = claim_one()
    assert running.pk == second.pk
    assert Run.objects.get(pk=first.pk).blocked
    end(running)
    assert claim_one().pk == first.pk


def test_the_leader_admits_what_somebody_who_died_did_not(olga: User) -> None:
    for key in ("a", "b", "c"):
        for _ in range(2):
            create_run(kind="probe", owner=olga, name="probe", arguments={}, concurrency=Concurrency(key))
    assert not Run.objects.filter(ready=True).exists()
    queue.sweep()
    assert sorted(run.concurrency_key for run in Run.objects.filter(ready=True)) == ["a", "b", "c"]
    lost = claim_one()
    Run.objects.filter(pk=lost.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    queue.sweep()
    assert Run.objects.filter(concurrency_key=lost.concurrency_key, ready=True).get().pk == lost.pk


@pytest.mark.parametrize("policy", list(ConcurrencyPolicy), ids=str)
def test_however_many_are_accepted_at_once_no_more_than_the_limit_are_admitted(olga: User, policy: Any) -> None:
    together = threading.Barrier(8)

    def accept() -> None:
        together.wait()
        for _ in range(4):
            submit(olga, concurrency=Concurrency("k", 2, policy))
        connection.close()

    threads = [threading.Thread(target=accept) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Run.objects.filter(ready=True).count() == 2
    left = {WAIT: 30, SKIP: 0, CANCEL: 0}[policy]
    assert Run.objects.filter(blocked=True).count() == left
    ended = []
    while run := claim():
        assert Run.objects.filter(lease_until__isnull=False).count() <= 2
        end(run)
        ended.append(run.pk)
    assert len(ended) == 2 + left


def test_attempts_count_failures_and_lost_workers_are_counted_apart(olga: User) -> None:
    run = submit(olga, attempts=2)
    for losses in (1, 2):
        claim_one()
        Run.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        queue.sweep()
        run.refresh_from_db()
        assert (run.losses, run.failures) == (losses, 0)

    def fail(execution: Execution) -> None:
        raise Unavailable("Not now.")

    work("probe", fail, node="w@here")
    run.refresh_from_db()
    assert (run.state, run.failures, run.attempt) == ("RETRY", 1, 3)
    Run.objects.update(not_before=timezone.now())
    queue.sweep()
    work("probe", fail, node="w@here")
    run.refresh_from_db()
    assert (run.state, run.error) == ("FAILURE", {"type": "Unavailable", "message": "Not now."})


def test_a_retry_keeps_what_was_said_of_the_run(olga: User) -> None:
    said: dict[str, Any] = {"tags": ["a"], "metadata": {"n": 1}, "priority": 7, "concurrency": KEY}
    run = submit(olga, **said, expires_at=timezone.now() + timedelta(hours=1))
    end(claim_one(), State.FAILURE)
    again = queue.retry(run=Run.objects.get(pk=run.pk))
    assert (again.tags, again.metadata, again.priority, again.concurrency) == (["a"], {"n": 1}, 7, KEY)
    assert again.expires_at is None
