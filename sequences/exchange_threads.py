"""Threads of one run in which its requests wait for their answers at once.

The run's own thread interprets; these only wait. What interrupts the run interrupts them: each has an interruption of
its own, whose waits end with those of the run's thread, and a connection to the database, which is cut off then.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, Self

from django.db import connection

from taskhub.db.connections import give_back_connection, thread_connection
from taskhub.interruption import Interruption, current, waiting

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.2
CLOSE_SECONDS = 0.5  # for what was interrupted, before it gets an exception; and again


class ExchangeAborted(KeyboardInterrupt):
    """Raised in an exchange whose run has ended. No `Exception`: work that catches everything does not swallow it."""


class ExchangeThreads:
    """The interpreter's performer. `limit` is how many exchanges wait at once; `check()` raises what ends the run.

    `before_long_wait()` is called in the run's own thread when nothing has ended for `PATIENCE_SECONDS`. Threads begin
    when they are needed, and end with the block.
    """

    def __init__(
        self,
        limit: int,
        check: Callable[[], None] = lambda: None,
        before_long_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._limit, self._check, self._before_long_wait = limit, check, before_long_wait
        self._waiting: SimpleQueue[tuple[Any, Callable[[], Any]] | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[Any, Any, BaseException | None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._interruptions: list[Interruption] = []
        self._under_way = 0
        self._parent = current()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the threads. One that does not end, as one that sleeps in C, is left to itself: it has no effect."""
        for _thread in self._threads:
            self._waiting.put(None)
        if not self._under_way:
            return
        for interrupt in (Interruption.end_waits, lambda one: one.strike(ExchangeAborted)):
            deadline = time.monotonic() + CLOSE_SECONDS
            for interruption in list(self._interruptions):
                interrupt(interruption)
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            log.error("A request of a sequence cannot be interrupted; its thread is left to itself")

    def start(self, token: Any, exchange: Callable[[], Any]) -> None:
        self._under_way += 1
        context = copy_context()  # what is masked in lines of the log by now
        self._waiting.put((token, lambda: context.run(exchange)))
        if len(self._threads) < min(self._under_way, self._limit):
            thread = threading.Thread(target=self._serve, name=threading.current_thread().name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def next(self, seconds: float | None) -> tuple[Any, Any] | None:
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        patience: float = PATIENCE_SECONDS
        while True:
            left = max(0.0, deadline - time.monotonic())
            pause = min(left, patience)
            try:
                with waiting(lambda: self._ended.put(None)):
                    ended = self._ended.get(timeout=None if pause == math.inf else pause)
            except Empty:
                if pause == left:
                    return None
                self._before_long_wait()
                patience = math.inf
                continue
            if ended is None:
                self._check()
                continue
            token, outcome, error = ended
            self._under_way -= 1
            if error is not None:
                raise error
            return token, outcome

    def _serve(self) -> None:
        """Carries exchanges out until there are no more."""
        with Interruption(before_waiting=give_back_connection) as interruption:
            self._interruptions.append(interruption)
            ends_with_run = self._parent.ending(interruption.end_waits) if self._parent else nullcontext()
            try:
                with ends_with_run, interruption.ending(thread_connection().cut_off):
                    while job := self._waiting.get():
                        self._carry_out(*job)
            except ExchangeAborted:
                pass
            finally:
                interruption.close()
                connection.close()

    def _carry_out(self, token: Any, exchange: Callable[[], Any]) -> None:
        outcome: Any = None
        error: BaseException | None = None
        try:
            outcome = exchange()
        except BaseException as raised:  # it is raised again in the run's thread
            error = raised
        finally:
            give_back_connection()
        self._ended.put((token, outcome, error))
