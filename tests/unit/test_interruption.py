"""What interrupts the work of a thread: in a wait, in a calculation, and never after its end."""

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import Queue

import pytest

from taskhub import interruption
from taskhub.interruption import Interruption
from tests.hub import ROOT

PATIENCE = 30  # only what hangs takes so long


class Struck(KeyboardInterrupt):
    """What is sent into the threads."""


@contextmanager
def working(work: Callable[[Interruption], object]) -> Iterator[tuple[Interruption, "Queue[object]"]]:
    """Runs `work` in a thread that can be interrupted; what it returns or raises is in the queue."""
    begun: Queue[Interruption] = Queue()
    ended: Queue[object] = Queue()

    def run() -> None:
        with Interruption() as own:
            begun.put(own)
            try:
                ended.put(work(own))
            except BaseException as error:
                ended.put(type(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield begun.get(timeout=PATIENCE), ended
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_read_ends_at_once() -> None:
    near, far = socket.socketpair()

    def read(_: Interruption) -> bytes:
        interruption.watch(near)
        return near.recv(1)

    with near, far, working(read) as (interrupted, ended):
        assert interrupted.end_waits()
        assert ended.get(timeout=PATIENCE) == b""


def test_what_waits_for_an_event_ends_at_once() -> None:
    event = threading.Event()

    def wait(_: Interruption) -> bool:
        with interruption.waiting(event.set):
            return event.wait(PATIENCE)

    with working(wait) as (interrupted, ended):
        interrupted.end_waits()
        assert ended.get(timeout=PATIENCE) is True


def test_waits_that_begin_later_end_at_once_too() -> None:
    go_on = threading.Event()
    near, far = socket.socketpair()

    def read(_: Interruption) -> bytes:
        go_on.wait(PATIENCE)
        interruption.watch(near)
        return near.recv(1)

    with near, far, working(read) as (interrupted, ended):
        interrupted.end_waits()
        go_on.set()
        assert ended.get(timeout=PATIENCE) == b""


def test_what_others_need_is_let_go_before_a_wait() -> None:
    told: list[str] = []
    with Interruption(before_waiting=lambda: told.append("before")), interruption.waiting(lambda: None):
        told.append("wait")
    assert told == ["before", "wait"]
    interruption.before_waiting()  # a thread that cannot be interrupted has nothing to let go of
    assert told == ["before", "wait"]


def test_a_calculation_ends() -> None:
    computes = threading.Event()

    def compute(_: Interruption) -> None:
        while True:
            computes.set()

    with working(compute) as (interrupted, ended):
        assert computes.wait(PATIENCE)
        interrupted.strike(Struck)
        assert ended.get(timeout=PATIENCE) is Struck


def test_what_is_whole_is_not_torn_apart() -> None:
    inside, go_on, over = threading.Event(), threading.Event(), threading.Event()
    parts: list[int] = []

    def work(own: Interruption) -> None:
        with interruption.whole():
            interruption.checkpoint()
            parts.append(1)
            inside.set()
            go_on.wait(PATIENCE)
            parts.append(2)
        over.set()
        while True:
            pass

    with working(work) as (interrupted, ended):
        assert inside.wait(PATIENCE)
        assert not interrupted.end_waits()
        interrupted.strike(Struck)
        go_on.set()
        assert over.wait(PATIENCE)
        interrupted.strike(Struck)
        assert ended.get(timeout=PATIENCE) is Struck
    assert parts == [1, 2]


def test_a_stroke_that_came_late_hits_nothing() -> None:
    """A thread is struck while its work ends, and after that: it does not come up in what the thread does next."""
    again = 1_000
    turn, over = threading.Barrier(2, timeout=PATIENCE), threading.Event()
    current: list[Interruption] = []
    wrong: list[str] = []

    def works() -> None:
        for _ in range(again):
            with Interruption() as own:
                try:
                    current[:] = [own]
                    turn.wait()
                    for _ in range(random.randrange(500)):
                        checked()
                    own.close()
                except Struck:
                    own.close()
            try:
                for _ in range(500):
                    checked()
            except Struck:
                wrong.append("the next work was hit")
        over.set()

    def checked() -> None: ...

    thread = threading.Thread(target=works, daemon=True)
    thread.start()
    for _ in range(again):
        turn.wait()
        current[0].strike(Struck)
    assert over.wait(PATIENCE)
    assert wrong == []


PROFILED = """
import cProfile
from taskhub.interruption import Interruption
with Interruption() as own:
    own.close()
cProfile.run("for _ in range(1000): len('')")
"""


def test_nothing_is_left_of_an_interruption() -> None:
    """An exception that was taken back would make Python look for it for ever, where a profiler watches."""
    subprocess.run([sys.executable, "-c", PROFILED], cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE)


def test_closing_tells_once_whether_there_was_an_interruption() -> None:
    with Interruption() as own:
        assert not own.close()
        assert not own.end_waits()
        assert not own.close()
    with Interruption() as own:
        assert own.end_waits()
        assert own.close()
        assert not own.close()


def test_a_block_is_whole_in_threads_that_nobody_interrupts() -> None:
    with interruption.whole():
        interruption.checkpoint()
    assert interruption.current() is None


@pytest.mark.parametrize("times", [1, 3])
def test_a_wait_that_is_over_is_not_ended(times: int) -> None:
    ended: list[int] = []
    with Interruption() as own:
        for number in range(times):
            with interruption.waiting(partial(ended.append, number)):
                pass
        own.end_waits()
    assert ended == []
