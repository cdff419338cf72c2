"""Rows of sequences and schedules."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

import requests

from sequences.domain.exchange import SequenceLimits, StepRequest, StepResponse
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from tests.benchmarks.load import Call, Client, load
from tests.benchmarks.row import CannotMeasure, Measured, by_turns
from tests.benchmarks.stage import ROOT, Stage, until

STEPS = 100
AT_ONCE, GETS, SLOW_SECONDS = 32, 10, 0.05
PARALLEL_ITEMS, PARALLEL_THREADS = 64, 16
MANY, FEW = 20_000, 2_000
SCHEDULES, EVERY_SECONDS, WATCHED_SECONDS = 10_000, 100, 20
TICK_GAP = timedelta(seconds=0.4)  # between two ticks nothing is accepted for longer

_SCHEDULES = """
WITH times AS (
    INSERT INTO django_celery_beat_intervalschedule (every, period) VALUES (%(every)s, 'seconds') RETURNING id
)
INSERT INTO django_celery_beat_periodictask
    (name, task, args, kwargs, headers, description, enabled, one_off, total_run_count, date_changed,
     interval_id, start_time)
SELECT 'bench ' || number, 'walkers.tasks.ScheduledWalker', '[]', '{"name": "echo", "ctx": {"value": 1}}', '{}', '',
    true, false, 0, now(), times.id, now() + number * %(every)s * interval '1 second' / %(count)s
FROM times, generate_series(1, %(count)s) AS number
"""
_OPEN = "SELECT count(*) FROM runs_run WHERE kind = 'sequence' AND created_at > %s AND finished_at IS NULL"
_SPAN = """
SELECT count(*), extract(epoch FROM max(finished_at) - min(created_at)) FROM runs_run
WHERE kind = 'sequence' AND state = 'SUCCESS' AND created_at > %s
"""
_OWNED = """
INSERT INTO runs_schedule (periodic_id, owner_id, written, missed, overlap, fault, read_as)
SELECT id, %s, kwargs, 'latest', 'beside', '', '' FROM django_celery_beat_periodictask WHERE name LIKE 'bench %%'
"""


def sequence(stage: Stage) -> Measured:
    """From the run's start to its end, as the ledger has them: steps recorded, result kept."""
    with _local_server() as url, requests.Session() as session, Client(stage.call("/").place) as client:
        session.trust_env = False
        items = list(range(STEPS))
        call = _loop_call(stage, url, STEPS)

        def floor() -> float:
            began = time.perf_counter()
            for item in items:
                session.get(f"{url}/{item}").json()
            return STEPS / (time.perf_counter() - began)

        def ours() -> float:
            return (STEPS + 1) / _seconds_of_run(client.ask(call), STEPS + 1)

        floor(), ours()
        return Measured(*by_turns(stage.slices * 3, floor, ours), "steps/s")


def parallel(stage: Stage) -> Measured:
    """As `sequence`, of a loop whose items go on at once; both send one request before it."""
    local = threading.local()

    def get(url: str) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False
        local.session.get(url).json()

    with (
        _local_server(SLOW_SECONDS) as url,
        ThreadPoolExecutor(PARALLEL_THREADS) as threads,
        Client(stage.call("/").place) as client,
    ):
        call = _loop_call(stage, url, PARALLEL_ITEMS, parallel=PARALLEL_THREADS)

        def floor() -> float:
            began = time.perf_counter()
            get(url)
            list(threads.map(get, [f"{url}/{number}" for number in range(PARALLEL_ITEMS)]))
            return PARALLEL_ITEMS / (time.perf_counter() - began)

        def ours() -> float:
            return PARALLEL_ITEMS / _seconds_of_run(client.ask(call), PARALLEL_ITEMS + 1)

        floor(), ours()
        return Measured(*by_turns(stage.slices * 3, floor, ours), "items/s")


def _loop_call(stage: Stage, url: str, items: int, **options: Any) -> Call:
    """The call that runs a sequence: a request, and a loop that sends another one for each item."""
    loop = {"by": "#.items", "requests": [{"method": "GET", "url": f"{url}/{{{{$}}}}"}], **options}
    step = {"method": "GET", "url": url, "__def_loop__": loop}
    body = {"persistence": {"items": list(range(items))}, "requests": [step]}
    call = stage.call("/sequences/runs?wait=60", json.dumps(body).encode())
    return type(call)(call.url, _staff(stage), call.path, call.body, call.status)


def _seconds_of_run(answer: bytes, steps: int) -> float:
    """From its start to its end, as the ledger has them."""
    run = json.loads(answer)
    if run["state"] != "SUCCESS" or len(run["steps"]) != steps:
        raise CannotMeasure(f"The sequence ended as {run['state']}: {run['error']}")
    started, finished = (datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


def sequences_at_once(stage: Stage) -> Measured:
    """From the moment when the first is accepted to the last recorded end."""
    staff = _staff(stage)
    with _local_server(SLOW_SECONDS) as url, ThreadPoolExecutor(AT_ONCE) as threads:
        body = json.dumps({"requests": [{"method": "GET", "url": f"{url}/{n}"} for n in range(GETS)]}).encode()
        call = stage.call("/sequences/runs", body, 202)
        call = type(call)(call.url, staff, call.path, call.body, call.status)

        def one(_: int) -> None:
            with requests.Session() as session:
                session.trust_env = False
                for number in range(GETS):
                    session.get(f"{url}/{number}").json()

        def floor() -> float:
            began = time.perf_counter()
            list(threads.map(one, range(AT_ONCE)))
            return AT_ONCE * GETS / (time.perf_counter() - began)

        def ours() -> float:
            with stage.database() as ledger, load(call, stage.clients) as clients:
                before = ledger.execute("SELECT clock_timestamp()").fetchone()
                clients.times(AT_ONCE)
                until(lambda: ledger.execute(_OPEN, before).fetchone() == (0,), "the end of all sequences", pause=0.02)
                [count, seconds] = ledger.execute(_SPAN, before).fetchone() or [0, 0]
            return int(count) * GETS / float(seconds)

        floor(), ours()
        return Measured(*by_turns(stage.slices, floor, ours), "requests/s")


def interpreter() -> Measured:
    """Expressions, filters and bookkeeping; whoever is called answers at once."""
    rates = {steps: median(_interpreted(steps) for _ in range(5)) for steps in (FEW, MANY)}
    note = f"{FEW:,} steps went at {rates[FEW]:,.0f}/s, {MANY:,} at {rates[MANY]:,.0f}/s."
    return Measured(None, rates[MANY], "steps/s", [note])


def _interpreted(steps: int) -> float:
    users = [{"id": number, "name": f"user {number}", "keep": number % 2 == 0} for number in range(2 * steps)]
    step = {
        "method": "POST",
        "url": "http://localhost/users/{{$.id}}",
        "headers": {"Authorization": "token {{#.token}}"},
        "body": {"name": "{{$.name}}", "index": "{{!}}"},
    }
    keep = [{"by": "$.keep", "condition": {"eq": True}}]
    program = parse(
        {
            "persistence": {"token": "abc"},
            "requests": [
                {
                    "method": "GET",
                    "url": "http://localhost/users",
                    "__def_loop__": {"by": "$.data", "filter": keep, "requests": [step]},
                }
            ],
        }
    )
    answers = {"http://localhost/users": StepResponse(200, {"data": users})}
    other = StepResponse(200, {"ok": True})

    def send(outgoing: StepRequest) -> StepResponse:
        return answers.get(outgoing.address, other)

    def jac(name: str, arguments: dict[str, Any], master: str | None) -> StepResponse:
        return other

    limits = SequenceLimits(items=10**9, persistence=10**9)
    run = Interpreter(program, send=send, jac=jac, clock=time.perf_counter, limits=limits)
    began = time.perf_counter()
    run.run()
    return run.steps / (time.perf_counter() - began)


def schedules(stage: Stage) -> Measured:
    """The largest lag of a fire, from its due time to its acceptance."""
    with stage.database() as database:
        database.execute(_SCHEDULES, {"every": EVERY_SECONDS, "count": SCHEDULES})
        database.execute(_OWNED, [stage.owner])
        unread = "SELECT 1 FROM runs_schedule WHERE read_as = '' LIMIT 1"
        until(lambda: database.execute(unread).fetchone() is None, "beat that has read all schedules", 300)
        time.sleep(WATCHED_SECONDS)
        found = database.execute(
            "SELECT created_at, due_at FROM runs_run WHERE schedule LIKE 'bench %%' AND"
            " due_at BETWEEN now() - %s * interval '1 second' AND now() - interval '2 seconds' ORDER BY created_at",
            [WATCHED_SECONDS],
        ).fetchall()
        database.execute("DELETE FROM runs_schedule")
        database.execute("DELETE FROM django_celery_beat_periodictask")
    if len(found) < WATCHED_SECONDS * SCHEDULES // EVERY_SECONDS // 2:
        raise CannotMeasure(f"Only {len(found)} fires came in {WATCHED_SECONDS} s.")
    lag = max((created - due).total_seconds() for created, due in found)
    ticks = _spans([created for created, _ in found])
    per_second = len(found) / (WATCHED_SECONDS - 2)
    notes = [
        f"{per_second:.0f} fires a second; the fires of one tick were accepted within {max(ticks):.2f} s, "
        f"half of the ticks within {median(ticks):.2f} s."
    ]
    return Measured(None, lag, "s", notes)


def _spans(moments: list[datetime]) -> list[float]:
    """How long each crowd of moments takes."""
    spans, first = [], moments[0]
    for earlier, later in pairwise(moments):
        if later - earlier > TICK_GAP:
            spans.append((earlier - first).total_seconds())
            first = later
    return [*spans, (moments[-1] - first).total_seconds()]


def _staff(stage: Stage) -> str:
    """The token of the hub's superuser."""
    environment = stage.environment
    body = {"email": environment["TASKHUB_ADMIN_EMAIL"], "password": environment["TASKHUB_ADMIN_PASSWORD"]}
    answer = requests.post(f"{stage.url}/user/token/", json=body, timeout=30)
    return str(answer.json()["token"])


@contextmanager
def _local_server(seconds: float = 0) -> Iterator[str]:
    """Says the same small JSON to whatever comes, after some time, in a process of its own."""
    program = [sys.executable, "-m", "tests.benchmarks.constant_server", str(seconds)]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()
