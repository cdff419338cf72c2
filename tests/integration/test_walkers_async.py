"""Walkers whose methods are coroutines or generators: in a call that waits, and as a claimed run."""

import asyncio
import contextvars
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from typing import Any, ClassVar

import pytest
from django.db import connection

from taskhub.accounts.models import User
from taskhub.runs.models import Run
from taskhub.runs.queue import broker
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.integration.walkers_shop import installed
from walkers.authoring.event_loop import WalkEventLoop
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker
from walkers.models import Node
from walkers.walks.walk_execution import perform_walk

pytestmark = pytest.mark.django_db(transaction=True)
RUN = "/js/walker_run"
step: contextvars.ContextVar[int] = contextvars.ContextVar("step", default=0)


def run(person: Person, walker: type[Walker], **ctx: Any) -> Any:
    with installed(walker):
        return person.post("/js/walker_run", {"name": walker.__name__.lower(), "ctx": ctx})


class Roam(Walker):
    """Does with nodes in an `async def` what others do in a `def`."""

    async def visit(self, here: Place) -> None:
        await asyncio.sleep(0)
        if here.kind == "leaf":
            self.report([here.kind, here.in_()[0] is self.start, here.context["n"], here.ways()])
            here.delete()
            self.skip()
        here.lock().context["seen"] = True
        leaves = [here.spawn("leaf", {"n": n}, via="way") for n in range(3)]
        leaves[0].connect(leaves[1], "sister")
        here.ways(to=leaves[2])[0].delete()
        self.take(here.out("leaf"))
        self.progress(1, 2)
        self.report(self.caller.email)

    async def finish(self) -> None:
        await asyncio.sleep(0)
        self.report("the end")


def test_an_async_walker_does_all_that_others_do(owner: Person) -> None:
    answer = run(owner, Roam)
    leaves = [["leaf", True, 0, [{"kind": "sister"}]], ["leaf", True, 1, []]]
    report = answer.json()["report"]
    report[1][3] = [{"kind": way["kind"]} for way in report[1][3]]
    assert report == ["owner@example.com", *leaves, "the end"]
    assert {node.kind: node.context for node in Node.objects.all()} == {"root": {"seen": True}, "leaf": {"n": 2}}


@pytest.mark.parametrize("fails", [False, True])
def test_its_nodes_and_the_models_of_django_are_in_one_transaction(owner: Person, fails: bool) -> None:
    class Rename(Walker):
        async def visit(self, here: Place) -> None:
            here.spawn("leaf")
            user = await User.objects.aget(pk=self.caller.pk)
            user.name = "Ada"
            await user.asave()
            self.report([leaf.kind async for leaf in Node.objects.filter(kind="leaf")])
            if fails:
                raise ValueError("It broke.")

    answer = run(owner, Rename)
    assert answer.json()["report"] == [["leaf"]]
    owner.user.refresh_from_db()
    assert (owner.user.name == "Ada", Node.objects.filter(kind="leaf").count()) == ((False, 0) if fails else (True, 1))


class Sum(Walker):
    """Calls several things at once, in one event loop for all of its steps."""

    loops: ClassVar[set[Any]] = set()

    async def visit(self, here: Place) -> None:
        self.loops.add(asyncio.get_running_loop())
        step.set(step.get() + 1)
        found = await asyncio.gather(*(asyncio.sleep(0, n) for n in range(3)), asyncio.to_thread(threading.get_ident))
        self.report([step.get(), sum(found[:3]), found[3] != threading.get_ident()])
        if step.get() < 3:
            self.take(here)


def test_its_steps_share_an_event_loop_and_context_variables(owner: Person) -> None:
    Sum.loops.clear()
    assert run(owner, Sum).json()["report"] == [[1, 3, True], [2, 3, True], [3, 3, True]]
    assert len(Sum.loops) == 1
    assert Sum.loops.pop().is_closed()
    assert step.get() == 0


# What else a method may be


def give(value: Any) -> Any:
    return value


def returns_a_coroutine(function: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """A decorator that is no coroutine function, and returns a coroutine."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments)

    assert not inspect.iscoroutinefunction(inspect.unwrap(call, stop=lambda _: True))
    return call


class Later:
    def __init__(self, walker: Walker) -> None:
        self.walker = walker

    def __await__(self) -> Generator[Any, Any, None]:
        yield from asyncio.sleep(0).__await__()
        self.walker.report(1)


async def plain(self: Walker, here: Place) -> None:
    self.report(1)


def generator(self: Walker, here: Place) -> Iterator[Any]:
    yield 1
    self.report(2)
    yield {"last": 3}


async def async_generator(self: Walker, here: Place) -> AsyncIterator[Any]:
    yield 1
    await asyncio.sleep(0)
    self.report(2)
    yield {"last": 3}


def future(self: Walker, here: Place) -> Awaitable[None]:
    return Later(self)


def skipping(self: Walker, here: Place) -> Iterator[Any]:
    for value in (1, 2):
        if value == 2:
            self.skip()
        yield value


async def leaving(self: Walker, here: Place) -> AsyncIterator[Any]:
    self.take(here)
    yield 1
    self.disengage()


async def leaving_in_a_task(self: Walker, here: Place) -> None:
    async def leave() -> None:
        self.report(1)
        self.disengage()

    self.take(here)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(leave())


@pytest.mark.parametrize(
    ("visit", "report"),
    [
        (plain, [1]),
        (returns_a_coroutine(plain), [1]),
        (future, [1]),
        (generator, [1, 2, {"last": 3}]),
        (async_generator, [1, 2, {"last": 3}]),
        (skipping, [1]),
        (leaving, [1]),
        (leaving_in_a_task, [1]),
        (lambda self, here: (yield 1), [1]),
        (lambda self, here: 1, []),
    ],
)
@pytest.mark.parametrize("method", ["visit", "finish"])
def test_what_a_method_gives_is_carried_out(owner: Person, visit: Any, report: list[Any], method: str) -> None:
    members = {"visit": visit}
    if method == "finish":
        members = {"visit": lambda self, here: None, "finish": lambda self: visit(self, self.start)}
    answer = run(owner, type("Any", (Walker,), members))
    assert (answer.status_code, answer.json()["report"]) == (200, report)


def test_a_yielded_value_is_json_or_the_walk_fails_and_closes_the_generator(owner: Person) -> None:
    closed = []

    class Odd(Walker):
        def visit(self, here: Place) -> Iterator[Any]:
            try:
                yield 1
                yield {2}
            finally:
                closed.append(True)

    answer = run(owner, Odd)
    assert answer.json()["error"] == {
        "type": "TypeError",
        "message": "report[1]: a set has no order and is not JSON; make it a list",
    }
    assert (answer.json()["report"], closed) == ([1], [True])


# Its end


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: queue == "walkers")
    monkeypatch.setattr(broker, "send", lambda kind, run_id: True)


begun, held = threading.Event(), threading.Event()
ended: list[str] = []


async def patient(self: Walker, here: Place) -> None:
    here.spawn("leaf")
    begun.set()
    try:
        await asyncio.sleep(3600)
    finally:
        ended.append("visit")


async def stubborn(self: Walker, here: Place) -> None:
    """Swallows its cancelling."""
    here.spawn("leaf")
    begun.set()
    while True:
        try:
            await asyncio.sleep(3600)
        except GeneratorExit:  # it is taken off the heap
            raise
        except BaseException:
            ended.append("visit")


async def threaded(self: Walker, here: Place) -> None:
    here.spawn("leaf")
    begun.set()
    await asyncio.to_thread(held.wait)


async def dribbling(self: Walker, here: Place) -> AsyncIterator[Any]:
    here.spawn("leaf")
    begun.set()
    while True:
        yield 1
        await asyncio.sleep(0)


def spinning(self: Walker, here: Place) -> Iterator[Any]:
    here.spawn("leaf")
    begun.set()
    while True:
        yield 1


HANGS = [patient, stubborn, threaded, dribbling, spinning]


@pytest.fixture
def hang() -> Iterator[None]:
    for event in (begun, held):
        event.clear()
    ended.clear()
    yield
    held.set()


@pytest.mark.usefixtures("hang")
@pytest.mark.parametrize("visit", HANGS)
def test_its_time_limit_holds_in_a_call_that_waits(owner: Person, visit: Any) -> None:
    answer = run(owner, type("Slow", (Walker,), {"visit": visit, "time_limit": 0.05}))
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "TimeoutError")
    assert ended or not begun.is_set() or visit not in (patient, stubborn)
    assert not Node.objects.filter(kind="leaf").exists()


def start(owner: Person, name: str) -> str:
    task_id: str = owner.post(RUN, {"name": name, "is_async": True}).json()["task_id"]
    return task_id


@pytest.mark.usefixtures("notified", "hang")
@pytest.mark.parametrize("visit", HANGS)
def test_its_time_limit_holds_in_a_worker(owner: Person, visit: Any) -> None:
    with installed(type("Slow", (Walker,), {"visit": visit, "time_limit": 0.05})):
        task_id = start(owner, "slow")
        assert work("walker", perform_walk, node="walkers@here") == 1
    run = Run.objects.get(pk=task_id)
    assert run.error is not None
    assert (run.state, run.error["type"], run.attempt) == ("FAILURE", "TimeLimitExceeded", 1)
    assert ended or not begun.is_set() or visit not in (patient, stubborn)
    assert not Node.objects.filter(kind="leaf").exists()


@pytest.mark.usefixtures("notified", "hang")
@pytest.mark.parametrize("visit", HANGS)
def test_it_is_cancelled(owner: Person, visit: Any) -> None:
    """By the signal of the keeper, whose thread learns of it from the database."""
    with installed(type("Slow", (Walker,), {"visit": visit})):
        task_id = start(owner, "slow")
        canceller = threading.Thread(target=cancel_when_it_runs, args=(owner, task_id))
        canceller.start()
        assert work("walker", perform_walk, node="walkers@here") == 1
        canceller.join()
    assert Run.objects.get(pk=task_id).state == "REVOKED"
    assert ended or not begun.is_set() or visit not in (patient, stubborn)
    assert not Node.objects.filter(kind="leaf").exists()


def cancel_when_it_runs(owner: Person, task_id: str) -> None:
    begun.wait()
    assert owner.post("/js/walker_queue_cancel", {"task_id": task_id}).status_code == 200
    connection.close()


def test_what_it_did_not_await_is_cancelled_when_the_walk_ends(owner: Person) -> None:
    seen = []

    class Careless(Walker):
        async def visit(self, here: Place) -> None:
            self.tasks = [asyncio.create_task(self.go_on(n)) for n in range(2)]
            await asyncio.sleep(0)

        async def go_on(self, n: int) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                seen.append(n)

    assert run(owner, Careless).status_code == 200
    assert sorted(seen) == [0, 1]


def test_an_event_loop_that_nobody_needed_is_never_made() -> None:
    loop = WalkEventLoop(lambda: None)
    loop.close()
    assert loop._loop is None
