"""Rows of what workers do: drain and wait."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from statistics import median
from typing import Any

import psycopg
import redis
from celery import Celery

from tests.benchmarks.load import Client, load
from tests.benchmarks.request_rows import ECHO_LATER, RUN
from tests.benchmarks.row import CannotMeasure, Measured, by_turns
from tests.benchmarks.stage import BARE, BARE_REDIS, Stage, bare_worker

DEAF_SECONDS = 1.5  # kombu asks Redis for a second at a time; then a queue that was left is left
DRAIN_SECONDS = 120


def drain(stage: Stage) -> Measured:
    """From the moment that the workers hear of their queue to the last end."""
    hub, left = Celery("control", broker=stage.broker()), []
    with (
        bare_worker(stage) as bare,
        stage.database() as ledger,
        closing(stage.redis()) as rings,
        closing(stage.redis(BARE_REDIS)) as messages,
    ):

        def floor() -> float:
            with _deaf(bare, BARE):
                for number in range(stage.runs):
                    bare.send_task("bare.noop", (str(number),), queue=BARE, ignore_result=True)
            return stage.runs / seconds_until_none(lambda: _waiting(messages, BARE))

        def ours() -> float:
            with _deaf(hub, "walkers"), _standing_in(ledger, "walkers"):
                _accept(stage)
            rate = stage.runs / seconds_until_none(lambda: _not_ended(ledger))
            left.append(seconds_until_none(lambda: _waiting(rings, "walkers")))
            return rate

        rates = by_turns(max(1, stage.slices - 2), floor, ours)  # a turn takes long
    note = f"Rings that were left when the last run had ended took another {median(left):.2f} s to be heard."
    return Measured(*rates, "/s", [note])


@contextmanager
def _deaf(app: Celery, queue: str) -> Iterator[None]:
    """Workers do not hear of their queue, so that it fills."""
    workers = [f"{queue}@{socket.gethostname()}"]
    app.control.cancel_consumer(queue, destination=workers, reply=True, limit=1, timeout=10)
    time.sleep(DEAF_SECONDS)
    try:
        yield
    finally:
        app.control.add_consumer(queue, destination=workers)


@contextmanager
def _standing_in(ledger: "psycopg.Connection[Any]", queue: str) -> Iterator[None]:
    """A worker without slots is on record for the queue: with none, calls would be carried out at once."""
    worker = {"name": f"{queue}@benchmark", "queues": [queue]}
    ledger.execute(
        "INSERT INTO runs_worker (name, queues, processes, pid, seen_at)"
        " VALUES (%(name)s, %(queues)s, '{}', 0, now() + interval '5 minutes')",
        worker,
    )
    try:
        yield
    finally:
        ledger.execute("DELETE FROM runs_worker WHERE name = %(name)s", worker)


def _accept(stage: Stage) -> None:
    for user in stage.users:
        with load(user.call(RUN, ECHO_LATER, 202), stage.clients) as clients:
            clients.times(stage.runs // len(stage.users))


def _not_ended(ledger: "psycopg.Connection[Any]") -> int:
    row = ledger.execute("SELECT count(*) FROM runs_run WHERE state <> 'SUCCESS' AND finished_at IS NULL").fetchone()
    return int(row[0]) if row else 0


def _waiting(broker: redis.Redis, queue: str) -> int:
    """Messages that wait, or were taken and not yet acknowledged."""
    return int(broker.llen(queue)) + int(broker.hlen("unacked"))


def seconds_until_none(left: Callable[[], int], describe: Callable[[], str] = str) -> float:
    """Seconds until nothing is left. `describe` tells what keeps what is left after `DRAIN_SECONDS`."""
    began = time.perf_counter()
    while waiting := left():
        if time.perf_counter() - began > DRAIN_SECONDS:
            raise CannotMeasure(f"After {DRAIN_SECONDS} s {waiting} were still waiting. {describe()}".rstrip())
        time.sleep(0.01)
    return time.perf_counter() - began


def wait(stage: Stage) -> Measured:
    """One after the other; medians of single round trips."""
    results = stage.broker(BARE_REDIS + 1)
    trips = max(1, stage.runs // 100)
    with bare_worker(stage, results) as bare, Client(stage.call(RUN).place) as client:

        def floor() -> float:
            return _median_ms(trips, lambda: bare.send_task("bare.noop", ("x",), queue=BARE).get(timeout=30))

        def ours() -> float:
            return _median_ms(trips, lambda: _round_trip(stage, client))

        floor(), ours()
        return Measured(*by_turns(stage.slices * 2, floor, ours), "ms")


def _round_trip(stage: Stage, client: Client) -> None:
    task_id = json.loads(client.ask(stage.call(RUN, ECHO_LATER, 202)))["task_id"]
    answer = json.loads(client.ask(stage.call(f"/js/walker_queue_wait?task_id={task_id}&timeout=30")))
    if answer["state"] != "SUCCESS":
        raise CannotMeasure(f"The run ended as {answer}.")


def _median_ms(times: int, act: Callable[[], Any]) -> float:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        found.append(time.perf_counter() - began)
    return median(found) * 1000
