"""How many walks one web process makes at once, through HTTP: each holds a database connection."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pytest
from django.db import connection

from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue import broker
from tests.conftest import Person
from tests.integration.walkers_shop import installed
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker
from walkers.http import registry
from walkers.models import Node
from walkers.walks import walk_execution
from walkers.walks.principal import Principal

pytestmark = pytest.mark.django_db(transaction=True)
RUN = "/js/walker_run"
ECHO = {"name": "echo", "ctx": {"value": 1}}


@pytest.fixture(autouse=True)
def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them for each user."""
    monkeypatch.setattr(walk_execution, "_slots", FairSemaphore(2, "Too many walks are under way."))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_execution, "SLOT_PATIENCE_SECONDS", 0.1)


class Linger(Walker):
    """Waits for `end`."""

    begun = threading.Event()
    end = threading.Event()

    def visit(self, here: Place) -> None:
        here.spawn("mark")
        self.begun.set()
        assert self.end.wait(30)


@contextmanager
def lingering(*people: Person) -> Iterator[None]:
    """One long walk for each of them; it ends, and well, with the block."""
    with installed(Linger), ThreadPoolExecutor() as threads:
        Linger.end.clear()
        answers = []
        try:
            for person in people:
                Linger.begun.clear()
                answers.append(threads.submit(post, person, {"name": "linger"}))
                assert Linger.begun.wait(30)
            yield
        finally:
            Linger.end.set()
        assert [answer.result().status_code for answer in answers] == [200] * len(people)


def post(person: Person, body: Any, **options: Any) -> Any:
    """In a thread with a connection of its own."""
    try:
        return person.post(RUN, body, **options)
    finally:
        connection.close()


def assert_crowded(answer: Any) -> None:
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer.json()["detail"] == "Too many walks are under way."


@pytest.mark.usefixtures("hasty")
def test_long_walks_of_one_user_leave_places_for_others(owner: Person, stranger: Person) -> None:
    with lingering(owner):
        assert_crowded(owner.post(RUN, ECHO))
        assert_crowded(owner.post(RUN, ECHO, headers={"Idempotency-Key": "once"}))
        assert owner.get("/js/walker_list").status_code == 200
        assert stranger.post(RUN, ECHO).status_code == 200
    assert owner.post(RUN, ECHO, headers={"Idempotency-Key": "once"}).status_code == 200


@pytest.mark.usefixtures("hasty")
def test_long_walks_of_several_users_are_counted_together(owner: Person, stranger: Person, colleague: Person) -> None:
    with lingering(owner, stranger):
        assert_crowded(colleague.post(RUN, ECHO))
    assert colleague.post(RUN, ECHO).status_code == 200


@pytest.mark.usefixtures("hasty")
def test_two_greedy_users_leave_a_slot_for_a_third(
    owner: Person, stranger: Person, colleague: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_execution, "_slots", FairSemaphore(4, "Too many walks are under way."))
    with lingering(owner, owner, stranger):
        assert_crowded(owner.post(RUN, ECHO))
        assert_crowded(stranger.post(RUN, ECHO))
        assert colleague.post(RUN, ECHO).status_code == 200


def test_who_waits_for_a_slot_leaves_others_a_place_in_the_queue(
    owner: Person, stranger: Person, colleague: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = FairSemaphore(1, "Too many walks are under way.", waiting=3)
    monkeypatch.setattr(walk_execution, "_slots", slots)
    monkeypatch.setattr(walk_execution, "SLOT_PATIENCE_SECONDS", 60)
    with ThreadPoolExecutor() as threads:
        with lingering(colleague):
            waiting = [threads.submit(post, owner, ECHO) for _ in range(4)]
            crowded = list(islice(as_completed(waiting), 2))
            assert [answer.result().status_code for answer in crowded] == [503, 503]
            waiting.append(threads.submit(post, stranger, ECHO))
        assert [answer.result().status_code for answer in waiting if answer not in crowded] == [200] * 3


def test_short_walks_wait_for_their_turn(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_execution, "SLOT_PATIENCE_SECONDS", 60)  # how short they are says more of the machine
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: post(owner, ECHO), range(64)))
    assert [answer.status_code for answer in answers] == [200] * 64


@pytest.mark.usefixtures("hasty")
def test_without_a_worker_and_a_slot_a_task_waits_in_the_queue(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: False)
    with lingering(owner):
        answer = owner.post(RUN, ECHO | {"is_async": True})
        assert (answer.status_code, answer.json()["is_queued"]) == (202, True)
    assert Run.objects.get().state == State.PENDING
    assert owner.post(RUN, ECHO | {"is_async": True}).json()["is_queued"] is False


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("ending", ["well", "badly"])
def test_a_walk_within_a_walk_needs_no_place_of_its_own(owner: Person, ending: str) -> None:
    def visit(self: Walker, here: Place) -> None:
        self.report(registry.call("walker_run", ECHO, Principal(self.caller)).body["report"])
        if ending == "badly":
            raise RuntimeError("badly")

    with installed(type("Outer", (Walker,), {"visit": visit})):
        for _ in range(2):
            answer = owner.post(RUN, {"name": "outer"})
            assert (answer.status_code, answer.json()["report"]) == (200 if ending == "well" else 422, [[1]])


def test_what_is_made_at_once_and_cancelled_goes_on_in_its_step_without_effect(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: False)
    with installed(Linger), ThreadPoolExecutor() as threads:
        Linger.begun.clear()
        Linger.end.clear()
        try:
            call = threads.submit(post, owner, {"name": "linger", "is_async": True})
            assert Linger.begun.wait(30)
            id = Run.objects.get().pk
            assert owner.post(f"/runs/{id}/cancel").json()["state"] == State.REVOKED
            assert not call.done()
        finally:
            Linger.end.set()
        assert call.result().json()["task_id"] == str(id)
    assert owner.get(f"/runs/{id}").json()["state"] == State.REVOKED
    assert not Node.objects.filter(kind="mark").exists()
