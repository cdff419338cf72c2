"""However a walker ends: its type, its words and its report so far are told, at the first attempt."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

import pytest
from billiard import common
from django.db import DatabaseError, connection, transaction

from taskhub.accounts.models import User
from taskhub.runs.models import Run
from taskhub.runs.queue import broker
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.integration.walkers_shop import installed
from walkers.authoring.event_loop import outside_event_loop
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker
from walkers.models import Node
from walkers.walks.walk_execution import perform_walk

pytestmark = pytest.mark.django_db(transaction=True)
RUN = "/js/walker_run"


class Mute(ValueError):
    def __str__(self) -> str:
        raise RuntimeError("It cannot say it.")


class Gone(BaseException):
    pass


def exit_by_hand() -> NoReturn:
    sys.exit("bye")


def swallow_an_error() -> None:
    with suppress(DatabaseError):
        connection.cursor().execute("SELECT nonsense")


def swallow_an_error_of_a_model() -> None:
    with suppress(DatabaseError):
        User.objects.bulk_create([User(email="owner@example.com")])  # who is there already


# What is raised or called, the type that is told, and the message.
ENDS: list[tuple[Any, str, str]] = [
    (exit_by_hand, "SystemExit", "bye"),
    (lambda: sys.exit(3), "SystemExit", "3"),
    (lambda: sys.exit(), "SystemExit", "SystemExit"),
    (SystemExit(0), "SystemExit", "0"),
    (asyncio.CancelledError(), "CancelledError", "CancelledError"),
    (asyncio.CancelledError("by itself"), "CancelledError", "by itself"),
    (KeyboardInterrupt("by hand"), "KeyboardInterrupt", "by hand"),
    (GeneratorExit("closed"), "GeneratorExit", "closed"),
    (StopIteration(1), "StopIteration", "1"),
    (Gone("far away"), "Gone", "far away"),
    (BaseExceptionGroup("two", [Gone("a"), SystemExit(1)]), "BaseExceptionGroup", "two (2 sub-exceptions): Gone: a;"),
    (ExceptionGroup("one", [ValueError("a")]), "ExceptionGroup", "one (1 sub-exception): ValueError: a"),
    (MemoryError("full"), "MemoryError", "full"),
    (PermissionError(13, "no"), "PermissionError", "[Errno 13] no"),
    (BrokenPipeError("pipe"), "BrokenPipeError", "pipe"),
    (TimeoutError("late"), "TimeoutError", "late"),
    (ValueError("a\x00b"), "ValueError", "a\ufffdb"),
    (ValueError("a\ud800b"), "ValueError", "a\ufffdb"),
    (ValueError("x" * 3_000_000), "ValueError", "x" * 2000),
    (Mute("its argument"), "Mute", "its argument"),
    (Mute(Mute()), "Mute", "(its words cannot be read)"),
    (type("A" * 500, (Exception,), {})("b"), "A" * 200, "b"),
    # What would be lost without a word
    (swallow_an_error, "TransactionManagementError", "Its transaction was broken"),
    (swallow_an_error_of_a_model, "TransactionManagementError", "Its transaction was broken"),
    (lambda: transaction.set_rollback(True), "TransactionManagementError", "Its transaction was broken"),
    (lambda: connection.close(), "TransactionManagementError", "Its transaction was broken"),
]


class End(Walker):
    number: int

    def visit(self, here: Place) -> Any:
        here.spawn("leaf")
        self.report("so far \x00\ud800")
        self.progress(1, 2, "half \x00\ud800")
        self.end()

    def end(self) -> None:
        end = ENDS[self.number][0]
        if isinstance(end, BaseException):
            raise end
        outside_event_loop(end)()


class EndLater(End):
    async def visit(self, here: Place) -> None:
        await asyncio.sleep(0)
        End.visit(self, here)


@pytest.fixture(autouse=True)
def worker_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: queue == "walkers")
    monkeypatch.setattr(broker, "send", lambda kind, run_id: True)


@pytest.fixture
def ends() -> Iterator[None]:
    with installed(End, EndLater):
        yield


# In a coroutine Python makes a RuntimeError of it.
STOP_ITERATION = [type(end) for end, _, _ in ENDS].index(StopIteration)


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize("name", ["end", "end_later"])
def test_a_call_that_waits_is_a_422(owner: Person, name: str) -> None:
    for number, (_, type_, message) in enumerate(ENDS):
        if name == "end_later" and number == STOP_ITERATION:
            continue
        answer = owner.post(RUN, {"name": name, "ctx": {"number": number}})
        told = answer.json()
        assert (answer.status_code, told["type"], told["success"]) == (422, "walker-failed", False), type_
        assert told["report"] == ["so far \ufffd\ufffd"]
        assert told["error"]["type"] == type_
        assert told["error"]["message"].startswith(message)
        assert told["detail"] == told["error"]["message"]
    assert not Node.objects.filter(kind="leaf").exists()


@pytest.mark.usefixtures("ends")
def test_a_run_is_a_failure_at_the_first_attempt(owner: Person) -> None:
    calls = [{"name": "end", "ctx": {"number": number}, "is_async": True} for number in range(len(ENDS))]
    task_ids = [owner.post(RUN, call).json()["task_id"] for call in calls]
    ended = 0
    while count := work("walker", perform_walk, node="walkers@here"):  # a shift ends after some seconds
        ended += count
    assert ended == len(ENDS)
    for task_id, (_, type_, message) in zip(task_ids, ENDS, strict=True):
        shown = owner.get("/js/walker_queue_check", {"task_id": task_id}).json()
        assert (shown["state"], shown["error"]["type"]) == ("FAILURE", type_)
        assert shown["error"]["message"].startswith(message)
        assert shown["result"].items() >= {"report": ["so far \ufffd\ufffd"], "success": False}.items()
        assert shown["progress"] == {"done": 1, "total": 2, "message": "half \ufffd\ufffd"}
    assert set(Run.objects.values_list("attempt", flat=True)) == {1}
    assert not Node.objects.filter(kind="leaf").exists()


def test_a_process_that_is_told_to_end_takes_its_run_with_it(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler of Celery's child processes raises SystemExit in whatever they are at: that is no walker's own."""

    class Told(Walker):
        def visit(self, here: Place) -> None:
            here.spawn("leaf")
            monkeypatch.setattr(common, "_should_have_exited", [True])
            sys.exit(-241)

    with installed(Told):
        task_id = owner.post(RUN, {"name": "told", "is_async": True}).json()["task_id"]
        with pytest.raises(SystemExit):
            work("walker", perform_walk, node="walkers@here")
    assert Run.objects.get(pk=task_id).state == "STARTED"  # until its lease is over; then it is offered again
    assert not Node.objects.filter(kind="leaf").exists()


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"price": float("nan")}, "report[0].price: nan"),
        ([1, {2}], "report[0][1]: a set"),
        ({"a": {"b": b"x"}}, "report[0].a.b: bytes"),
        (1 << 1024, "report[0]: a whole number of more than 1024 bits"),
        ([1j], "report[0][0]: a value of type complex"),
        ({"a": {("b",): 1}}, "report[0].a: a key"),
        ({"\ud800": {"a": object()}}, "report[0].\ufffd.a: a value of type object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_json_is_named_with_its_place(owner: Person, value: Any, place: str) -> None:
    class Odd(Walker):
        how: str

        def visit(self, here: Place) -> None:
            if self.how == "report":
                self.report(value)
            self.progress(value, value)

    with installed(Odd):
        reported, progressed = (
            owner.post(RUN, {"name": "odd", "ctx": {"how": how}}).json() for how in ("report", "progress")
        )
    assert (reported["error"]["type"], reported["detail"].startswith(place)) == ("TypeError", True)
    assert progressed["detail"].startswith(place.replace("report[0]", "progress.done"))


def test_a_circle_is_named_too(owner: Person) -> None:
    class Circle(Walker):
        def visit(self, here: Place) -> None:
            circle: dict[str, Any] = {}
            circle["a"] = circle
            self.report(circle)

    with installed(Circle):
        answer = owner.post(RUN, {"name": "circle"})
    assert answer.status_code == 422
    assert "report[0].a.a.a" in answer.json()["detail"]
    assert "nested deeper" in answer.json()["detail"]
