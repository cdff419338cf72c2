"""Rows of calls that answer at once: submit, batch, sync, many waits, logging, queue_check."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from random import sample
from statistics import median
from typing import Any

import psycopg

from tests.benchmarks.load import Call, Client, Load, ceiling, load
from tests.benchmarks.row import Measured, by_turns
from tests.benchmarks.stage import ROOT, WORKERS, Stage, bare_web, other_database, until

RUN = "/js/walker_run"
ECHO = b'{"name": "echo", "ctx": {"value": "hello"}}'
ECHO_LATER = b'{"name": "echo", "ctx": {"value": "hello"}, "is_async": true}'
BATCH = 1_000  # runs of one call
MANY_ECHOES = json.dumps({"runs": [{"name": "echo", "ctx": {"value": "hello"}}] * BATCH}).encode()
PAUSE = {"name": "pause", "ctx": {"seconds": 600, "steps": 600}, "is_async": True}
LOGGING = {"name": "pause", "ctx": {"seconds": 20, "steps": 10_000}, "is_async": True}  # 500 lines a second
TOMORROW = "2999-01-01T00:00:00Z"
SMALL, SMALL_RUNS, BIG = "small_ledger", 1_000, "big_ledger"
CHECKS = 300  # calls a turn
RUN_ID = "0190a6d4-3c1e-7c3a-9b6e-{number:012x}"
FILL = """
INSERT INTO {name} (
    id, kind, owner_id, name, arguments, state, result, attempt, attempts, time_limit, ready, worker,
    created_at, started_at, finished_at, revision
)
SELECT
    ('0190a6d4-3c1e-7c3a-9b6e-' || lpad(to_hex(number), 12, '0'))::uuid, 'walker', %(owner)s, 'echo',
    '{{"nd": "0190a6d4-3c1e-7c3a-9b6e-000000000000", "ctx": {{"value": "hello"}}, "snt": "taskhub", "name": "echo"}}',
    'SUCCESS', '{{"report": ["hello"], "success": true, "yielded": false, "final_node": "urn:uuid:none"}}',
    1, 3, 3600, false, 'walkers@here:1', moment, moment, moment, 3
FROM generate_series(0, %(last)s) AS number, now() AS moment
"""


def submit(stage: Stage) -> Measured:
    with bare_web(stage) as floor, held(stage):
        measured = _rates(stage, floor("/submit", ECHO_LATER, 202), stage.call(RUN, ECHO_LATER, 202))
        stage.forget_waiting()
    return measured


def batch(stage: Stage) -> Measured:
    """Runs a second, by one call after the other; the floor accepts as many clients' calls at once as `submit`."""
    with held(stage), batch_load(stage) as many, load(stage.call(RUN, ECHO_LATER, 202), stage.clients) as single:
        single.rate(stage.seconds)
        rates = by_turns(stage.slices, lambda: single.rate(stage.seconds), lambda: many.rate(stage.seconds) * BATCH)
        stage.forget_waiting()
    return Measured(*rates, "runs/s")


def batch_beside_procrastinate(stage: Stage) -> Measured:
    with held(stage), batch_load(stage) as many, other_database(stage, "procrastinate") as address:
        rates = by_turns(
            stage.slices, lambda: _deferred(address, stage.seconds), lambda: many.rate(stage.seconds) * BATCH
        )
        stage.forget_waiting()
    return Measured(*rates, "runs/s")


@contextmanager
def batch_load(stage: Stage) -> Iterator[Load]:
    with load(stage.call("/runs/batch", MANY_ECHOES, 202), 1) as many:
        many.rate(stage.seconds)  # the first calls of a process are slower
        yield many


def _deferred(address: str, seconds: float) -> float:
    """Jobs a second that procrastinate takes, as many by one call as the hub."""
    command = [sys.executable, "-m", "tests.benchmarks.peers.with_procrastinate", address, str(BATCH), str(seconds)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def sync(stage: Stage) -> Measured:
    with bare_web(stage) as floor:
        with Client(floor("/", b"", 0).place) as client:
            item = json.loads(client.ask(floor("/submit", ECHO, 202)))["task_id"]
        return _rates(stage, floor("/read", json.dumps({"id": item}).encode(), 200), stage.call(RUN, ECHO))


def _rates(stage: Stage, floor: Call, ours: Call) -> Measured:
    with load(floor, stage.clients) as bare, load(ours, stage.clients) as hub:
        for one in (bare, hub):
            one.rate(stage.seconds)  # the first calls of a process are slower
        rates = by_turns(stage.slices, lambda: bare.rate(stage.seconds), lambda: hub.rate(stage.seconds))
    most = ceiling(stage.clients, min(1.0, stage.seconds))
    return Measured(
        *rates, "/s", [f"These clients can take {most:,.0f} answers/s, from a server that says a constant."]
    )


@contextmanager
def held(stage: Stage) -> Iterator[list[str]]:
    """Every worker process sleeps in a run, so that what is accepted meanwhile waits. Gives the ids of these runs."""
    pauses = {user.ask(RUN, PAUSE, 202)["task_id"]: user for user in stage.users}
    until(lambda: stage.count("state = 'PROGRESS'") == WORKERS, "a run that holds each worker")
    yield list(pauses)
    for task_id, user in pauses.items():
        user.ask("/js/walker_queue_cancel", {"task_id": task_id})


def many_waits(stage: Stage) -> Measured:
    """Half of those that are open are waits, half are event streams; all are woken before the next turn."""
    woken: list[float] = []
    with load(stage.call(RUN, ECHO), 1) as hub:

        def alone() -> float:
            return median(hub.latencies(stage.seconds)) * 1000

        def among_others() -> float:
            with _open_waits(stage, woken):
                return alone()

        alone()
        times = by_turns(stage.slices, alone, among_others)
    return Measured(*times, "ms", [f"The end of their run was told to all {stage.waits} within {median(woken):.2f} s."])


@contextmanager
def _open_waits(stage: Stage, woken: list[float]) -> Iterator[None]:
    task_id = stage.ask(RUN, {"name": "echo", "run_at": TOMORROW}, 202)["task_id"]
    wait, events = (
        stage.call(f"/js/walker_queue_wait?task_id={task_id}&timeout=300"),
        stage.call(f"/runs/{task_id}/events"),
    )
    with ExitStack() as opened:
        waiting = [opened.enter_context(Client(wait.place)) for _ in range(stage.waits // 2)]
        following = [opened.enter_context(Client(events.place)) for _ in range(stage.waits - len(waiting))]
        for client in waiting:
            client.send(wait.wire)
        for client in following:
            client.send(events.wire)
        for client in following:
            client.hear()  # the run as it is; whoever asked before is asleep by now
        yield
        began = time.perf_counter()
        stage.ask("/js/walker_queue_cancel", {"task_id": task_id})
        for client in (*waiting, *following):
            while b"REVOKED" not in client.heard:
                client.hear()
        woken.append(time.perf_counter() - began)


def logging(stage: Stage) -> Measured:
    """The run logs for as long as a turn lasts, and is cancelled before the other side has its turn."""
    logged: list[float] = []
    with load(stage.call(RUN, ECHO), 1) as hub:

        def alone() -> float:
            return median(hub.latencies(stage.seconds)) * 1000

        def beside_logs() -> float:
            task_id = stage.ask(RUN, LOGGING, 202)["task_id"]
            until(lambda: _lines(stage, task_id) > 0, "a run that logs")
            before, began = _lines(stage, task_id), time.perf_counter()
            milliseconds = alone()
            logged.append((_lines(stage, task_id) - before) / (time.perf_counter() - began))
            stage.ask("/js/walker_queue_cancel", {"task_id": task_id})
            return milliseconds

        alone()
        times = by_turns(stage.slices, alone, beside_logs)
    return Measured(*times, "ms", [f"Meanwhile {median(logged):,.0f} lines a second were stored."])


def _lines(stage: Stage, run_id: str) -> int:
    with stage.database() as database:
        row = database.execute("SELECT count(*) FROM runs_logline WHERE run_id = %s", [run_id]).fetchone()
    return int(row[0]) if row else 0


def queue_check(stage: Stage) -> Measured:
    """The same call on two ledgers, which take the name of the real one by turns."""
    with _ledgers(stage) as shown, Client(stage.call(RUN).place) as client:

        def asked(ledger: str, runs: int) -> float:
            with shown(ledger):
                return _median_ms(client, [_check(stage, number) for number in sample(range(runs), min(CHECKS, runs))])

        asked(SMALL, SMALL_RUNS), asked(BIG, stage.ledger)
        turns = by_turns(stage.slices, lambda: asked(SMALL, SMALL_RUNS), lambda: asked(BIG, stage.ledger))
        return Measured(*turns, "ms")


def _check(stage: Stage, number: int) -> Call:
    return stage.call(f"/js/walker_queue_check?task_id={RUN_ID.format(number=number)}")


def _median_ms(client: Client, calls: list[Call]) -> float:
    found = []
    for call in calls:
        client.ask(call)
        found.append(time.perf_counter() - client.began)
    return median(found) * 1000


@contextmanager
def _ledgers(stage: Stage) -> Iterator[Callable[[str], AbstractContextManager[None]]]:
    """Two tables like the ledger, filled; gives what shows one of them to the hub."""
    with stage.database() as database:

        @contextmanager
        def shown(ledger: str) -> Iterator[None]:
            _rename(database, ("runs_run", "kept"), (ledger, "runs_run"))
            try:
                yield
            finally:
                _rename(database, ("runs_run", ledger), ("kept", "runs_run"))

        try:
            for name, runs in ((SMALL, SMALL_RUNS), (BIG, stage.ledger)):
                database.execute(f"CREATE UNLOGGED TABLE {name} (LIKE runs_run INCLUDING ALL)")
                database.execute(FILL.format(name=name), {"owner": stage.owner, "last": runs - 1})
                database.execute(f"VACUUM ANALYZE {name}")
            yield shown
        finally:
            database.execute(f"DROP TABLE IF EXISTS {SMALL}, {BIG}")


def _rename(database: "psycopg.Connection[Any]", *names: tuple[str, str]) -> None:
    with database.transaction():
        for old, new in names:
            database.execute(f"ALTER TABLE {old} RENAME TO {new}")
