"""Reports of processes: what a process has counted, and how it is, which it writes to Redis every two seconds.

Behind a load balancer `/metrics` is answered by any web process, and has to tell of all of them, of workers and beat.
So what they count is added up in one hash, and another hash has the latest report of each process. If Redis is emptied,
totals begin at 0 again, as Prometheus expects of counters; while it is away, each process keeps what it counts. One
that is killed loses what it counted in the last two seconds. What Redis took, but did not confirm in time, counts
twice.
"""

import atexit
import json
import logging
import os
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import psutil
import redis
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql.base import DatabaseWrapper
from redis.exceptions import RedisError

from taskhub.db.process_local import ProcessLocal

log = logging.getLogger(__name__)

WRITE_SECONDS = 2.0
ALIVE_SECONDS = 15.0  # without a report for so long a process counts as gone
ANSWER_SECONDS = 0.3

SampleKey = tuple[str, ...]  # the name of a sample and the values of its labels


class ProcessReport(NamedTuple):
    """How one process is. `process` tells it from others of its program: `host:pid`."""

    program: str
    process: str
    values: Mapping[str, float]


class HubReports(NamedTuple):
    """The totals of all processes, and the latest report of each that is alive."""

    totals: Mapping[SampleKey, float]
    processes: list[ProcessReport]


def _totals_key() -> str:
    return f"{settings.CHANNEL_PREFIX}:metrics:totals"


def _processes_key() -> str:
    return f"{settings.CHANNEL_PREFIX}:metrics:processes"


def _connect() -> Any:  # its answers are hardly typed
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=ANSWER_SECONDS, socket_timeout=ANSWER_SECONDS
    )


class Reporter:
    """Counts for this process, and has a thread that writes its reports.

    To count takes no lock: an interruption of a run could leave it taken.
    """

    program = ""  # a process of no program, such as a command, reports what it counts and nothing of itself

    def __init__(self) -> None:
        self._counted: deque[tuple[SampleKey, float]] = deque()
        self._unwritten: defaultdict[SampleKey, float] = defaultdict(float)
        self._client = _connect()
        self._process = psutil.Process()
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._writing = threading.Lock()
        self._is_away = False
        threading.Thread(target=self._run, name="reports", daemon=True).start()
        atexit.register(self.write)

    def count(self, key: SampleKey, amount: float) -> None:
        self._counted.append((key, amount))

    def write(self) -> None:
        """Writes what was counted since the last report, and how this process is; never raises, never waits long."""
        with self._writing:
            with suppress(IndexError):
                while counted := self._counted.popleft():
                    key, amount = counted
                    self._unwritten[key] += amount
            try:
                self._write()
            except (RedisError, OSError, psutil.Error) as error:
                if not self._is_away:
                    log.warning("Metrics are not reported: %s", error)
                self._is_away = True
            else:
                self._is_away = False

    def _write(self) -> None:
        if not (self._unwritten or self.program):
            return
        with self._client.pipeline(transaction=True) as pipeline:
            for key, amount in self._unwritten.items():
                pipeline.hincrbyfloat(_totals_key(), json.dumps(key), amount)
            if self.program:
                now, _ = self._client.time()  # of one clock, whatever those of the machines say
                report = {"program": self.program, "at": now, "values": self._values()}
                pipeline.hset(_processes_key(), self._name, json.dumps(report))
            pipeline.execute()
        self._unwritten.clear()

    def read(self) -> HubReports | None:
        """What all processes report; None while Redis does not answer."""
        try:
            pipeline = self._client.pipeline(transaction=False)
            (now, _), totals, processes = pipeline.time().hgetall(_totals_key()).hgetall(_processes_key()).execute()
            reports = {name: json.loads(report) for name, report in processes.items()}
            if gone := [name for name, report in reports.items() if report["at"] < now - ALIVE_SECONDS]:
                self._client.hdel(_processes_key(), *gone)
        except (RedisError, OSError):
            return None
        return HubReports(
            {_sample_key(key): float(total) for key, total in totals.items()},
            [_report_of(name, report) for name, report in sorted(reports.items()) if name not in gone],
        )

    def _values(self) -> dict[str, float]:
        cpu = self._process.cpu_times()
        values = {"resident_bytes": self._process.memory_info().rss, "cpu_seconds": cpu.user + cpu.system}
        pools: dict[str, Any] = getattr(DatabaseWrapper, "_connection_pools")  # noqa: B009 (unknown to the stubs)
        pool = pools.get(DEFAULT_DB_ALIAS)
        return values | (_pool_values(pool.get_stats()) if pool is not None else {})

    def _run(self) -> None:
        while True:
            time.sleep(WRITE_SECONDS)
            self.write()


def _pool_values(stats: Mapping[str, int]) -> dict[str, float]:
    idle = stats.get("pool_available", 0)
    return {
        "pool_used": stats.get("pool_size", 0) - idle,
        "pool_idle": idle,
        "pool_max": stats.get("pool_max", 0),
        "pool_waiting": stats.get("requests_waiting", 0),
    }


_reporter = ProcessLocal(Reporter)


def count(key: SampleKey, amount: float) -> None:
    """Adds to a total of the whole hub."""
    _reporter.get().count(key, amount)


def begin_reports(program: str) -> None:
    """Has this process report how it is from now on, as one of a program such as `web` or `worker:walkers`."""
    Reporter.program = program
    _reporter.get()


def end_reports() -> None:
    """Writes what this process has counted, before it ends. Not every process calls what `atexit` has registered."""
    if reporter := _reporter.peek():
        reporter.write()


def read_reports() -> HubReports | None:
    """What all processes report, after this one has reported; None while Redis does not answer."""
    reporter = _reporter.get()
    reporter.write()
    return reporter.read()


@lru_cache(maxsize=10_000)
def _sample_key(text: bytes) -> SampleKey:
    return tuple(json.loads(text))


def _report_of(name: bytes, report: Mapping[str, Any]) -> ProcessReport:
    return ProcessReport(report["program"], name.decode(), report["values"])
