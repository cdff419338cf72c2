"""The metrics of the hub, made when they are asked for: of what its processes report, and of the database.

No statement reads more than some ten thousand rows, whatever the table of runs holds: each follows an index of runs
that have not ended. So counts of what waits stop at `COUNTED_MAX`, for each kind.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from taskhub import __version__
from taskhub.db.plans import PLAN_ONCE
from taskhub.db.prepared_statements import PreparedStatement, fetch_last
from taskhub.metrics.reports import ProcessReport, read_reports
from taskhub.metrics.totals import shared_families
from taskhub.runs.models import live_workers
from taskhub.runs.queue.queue_states import KindCounts, counts_of_kinds, seconds_untaken
from taskhub.runs.run_kinds import all_kinds
from taskhub.runs.scheduler.leadership import is_led

COUNTED_MAX = 5_000
KEPT_SECONDS = 2.0
OLD_SECONDS = 15.0
STATEMENT_MILLISECONDS = 2_000  # a database that is worse than that counts as one that does not answer

# By kind: what is blocked, and what waits for something else. What is blocked or suspended has no time, and comes last.
_UNREADY = PreparedStatement(
    """
SELECT kind, false, count(*) FROM (
    SELECT kind, blocked FROM runs_run WHERE NOT ready AND state IN ('PENDING', 'RETRY')
    ORDER BY not_before LIMIT %(counted)s
) AS delayed WHERE NOT blocked GROUP BY kind
UNION ALL
SELECT kind, true, count(*) FROM (
    SELECT kind FROM runs_run WHERE blocked AND finished_at IS NULL
    ORDER BY owner_id, concurrency_key, priority DESC, id LIMIT %(counted)s
) AS blocked GROUP BY kind
""",
    counted="int",
)
_SCHEDULE_LAG = """
SELECT coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(due_at))), 0)::float
FROM runs_schedule WHERE due_at IS NOT NULL
"""


class HubCollector(Collector):
    """Collects the metrics of the whole hub, in whichever process it is asked.

    They are kept for `KEPT_SECONDS`. One thread at a time collects; who asks meanwhile gets those before, unless they
    are older than `OLD_SECONDS`: so many who ask at once, or a slow database, hold no more than one thread.
    """

    def __init__(self) -> None:
        self._families: list[Metric] = []
        self._collected_at = -OLD_SECONDS
        self._collecting = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        if self._age() >= KEPT_SECONDS and self._collecting.acquire(blocking=self._age() >= OLD_SECONDS):
            try:
                if self._age() >= KEPT_SECONDS:
                    self._families, self._collected_at = list(_hub_families()), time.monotonic()
            finally:
                self._collecting.release()
        yield from self._families

    def _age(self) -> float:
        return time.monotonic() - self._collected_at


def _hub_families() -> Iterator[Metric]:
    yield InfoMetricFamily("taskhub_build", "The version of the hub.", {"version": __version__})
    reports = read_reports()
    yield _gauge("taskhub_redis_up", "1 while Redis answers, which has the totals.", {(): float(reports is not None)})
    if reports is not None:
        yield from shared_families(reports.totals)
        yield from _process_families(reports.processes)
    yield from _database_families()


def _database_families() -> Iterator[Metric]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(STATEMENT_MILLISECONDS)])
            counts = counts_of_kinds(COUNTED_MAX)
            families = [*_run_families(cursor, counts), *_queue_families(counts), *_schedule_families(cursor)]
    except (DatabaseError, InterfaceError):
        families = []
    yield _gauge("taskhub_database_up", "1 while PostgreSQL answers.", {(): float(bool(families))})
    yield from families


def _run_families(cursor: Any, counts: Mapping[str, KindCounts]) -> Iterator[Metric]:
    _UNREADY.execute(cursor, {"counted": COUNTED_MAX}, first=PLAN_ONCE)
    unready = {(kind, is_blocked): count for kind, is_blocked, count in fetch_last(cursor)}
    labels = {kind.name: (kind.name, kind.queue) for kind in all_kinds()}
    yield _gauge(
        "taskhub_runs_waiting",
        f"Runs that a worker may take now, counted up to {COUNTED_MAX}.",
        {labels[kind]: counts[kind].waiting for kind in labels},
        *("kind", "queue"),
    )
    yield _gauge(
        "taskhub_runs_waiting_oldest_seconds",
        "For how long the oldest of those waits that are next, one of each owner and priority.",
        {labels[kind]: counts[kind].oldest_seconds or 0.0 for kind in labels},
        *("kind", "queue"),
    )
    yield _gauge(
        "taskhub_runs_delayed",
        f"Runs that wait for their time, their next attempt, or credits; of all kinds {COUNTED_MAX} are counted.",
        {labels[kind]: unready.get((kind, False), 0) for kind in labels},
        *("kind", "queue"),
    )
    yield _gauge(
        "taskhub_runs_blocked",
        f"Runs that wait for others with their concurrency key; of all kinds {COUNTED_MAX} are counted.",
        {labels[kind]: unready.get((kind, True), 0) for kind in labels},
        *("kind", "queue"),
    )
    yield _gauge(
        "taskhub_runs_running",
        "Runs that go on.",
        {labels[kind]: counts[kind].running for kind in labels},
        *("kind", "queue"),
    )


def _queue_families(counts: Mapping[str, KindCounts]) -> Iterator[Metric]:
    workers, slots, taken = (dict.fromkeys(settings.QUEUES, 0.0) for _ in range(3))
    for worker in live_workers():
        for queue in workers.keys() & worker.queues:
            workers[queue] += 1
            slots[queue] += len(worker.processes)
    for kind in all_kinds():
        taken[kind.queue] += counts[kind.name].held + kind.slots_taken()
    yield _gauge("taskhub_queue_workers", "Workers that are alive.", workers, "queue")
    yield _gauge("taskhub_queue_slots", "Runs that the workers can perform at once.", slots, "queue")
    yield _gauge("taskhub_queue_slots_taken", "Slots that have work.", taken, "queue")
    yield _gauge(
        "taskhub_queue_untaken_seconds",
        "For how long work waits that a free slot could take.",
        seconds_untaken(settings.QUEUES),
        "queue",
    )


def _schedule_families(cursor: Any) -> Iterator[Metric]:
    cursor.execute(_SCHEDULE_LAG)
    (lag,) = cursor.fetchone()
    yield _gauge("taskhub_beat_leading", "1 while a beat leads.", {(): float(is_led("beat"))})
    yield _gauge("taskhub_schedule_lag_seconds", "For how long the schedule is due that is due the longest.", {(): lag})


def _process_families(processes: list[ProcessReport]) -> Iterator[Metric]:
    labels = ("program", "process")
    by_process = {(report.program, report.process): report.values for report in processes}
    yield _gauge(
        "taskhub_process_resident_bytes",
        "Memory of a process.",
        {process: values["resident_bytes"] for process, values in by_process.items()},
        *labels,
    )
    family = CounterMetricFamily("taskhub_process_cpu_seconds", "Seconds that a process computed.", labels=labels)
    for process, values in by_process.items():
        family.add_metric(process, values["cpu_seconds"])
    yield family
    pools = {process: values for process, values in by_process.items() if "pool_max" in values}
    yield _gauge(
        "taskhub_database_pool_connections",
        "Connections to PostgreSQL of a process whose threads share them.",
        {(*process, state): values[f"pool_{state}"] for process, values in pools.items() for state in ("used", "idle")},
        *(*labels, "state"),
    )
    yield _gauge(
        "taskhub_database_pool_max_connections",
        "Connections that such a process may have.",
        {process: values["pool_max"] for process, values in pools.items()},
        *labels,
    )
    yield _gauge(
        "taskhub_database_pool_waiting",
        "Threads that wait for a connection.",
        {process: values["pool_waiting"] for process, values in pools.items()},
        *labels,
    )


def _gauge(name: str, documentation: str, values: dict[Any, float], *labels: str) -> Metric:
    """A gauge with values by those of its labels: a text for one label, a tuple for none or several."""
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        family.add_metric([key] if isinstance(key, str) else key, value)
    return family
