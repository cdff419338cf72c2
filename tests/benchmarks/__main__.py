"""`make bench`, or `make bench ROW=submit`: measures, prints each row when it is measured, and says what falls short.

Exits with 1 when a row could not be measured, with 0 otherwise: a bar that is missed is a fact, not a failure.
"""

import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NoReturn

from tests.benchmarks import (
    console_rows,
    crawler_rows,
    extraction_rows,
    request_rows,
    sequence_rows,
    start_row,
    webhook_rows,
    worker_rows,
)
from tests.benchmarks.row import CannotMeasure, Measured, Row
from tests.benchmarks.stage import Stage, stage
from tests.session import begin_session

ROWS = [
    Row(
        "submit",
        "`walker_run` with `is_async`, 16 clients",
        "bare DRF view, one INSERT, one Celery publish",
        ">=",
        1.0,
        request_rows.submit,
    ),
    Row("batch", "`/runs/batch`, 1,000 walker calls a request", "submit", ">=", 8, request_rows.batch),
    Row(
        "batch, procrastinate",
        "the same",
        "procrastinate's batch defer",
        ">=",
        0.3,
        request_rows.batch_beside_procrastinate,
    ),
    Row("sync", "`walker_run` of `echo`, 16 clients", "bare DRF view, one SELECT", ">=", 1.0, request_rows.sync),
    Row(
        "drain",
        "2,000 queued `echo` runs to their recorded end",
        "Celery's no-op task without results",
        ">=",
        0.8,
        worker_rows.drain,
    ),
    Row(
        "wait",
        "submit, then `walker_queue_wait`, p50",
        "Celery's Redis `.get()` round trip",
        "<=",
        3,
        worker_rows.wait,
    ),
    Row(
        "many waits",
        "`walker_run`, p50, with 500 open waits and event streams",
        "the same without them",
        "<=",
        1.2,
        request_rows.many_waits,
    ),
    Row(
        "logging",
        "`walker_run`, p50, while a run logs 500 lines a second",
        "the same without it",
        "<=",
        1.2,
        request_rows.logging,
    ),
    Row("queue_check", "state of one run of 10^6, p50", "of one run of 10^3", "<=", 1.2, request_rows.queue_check),
    Row(
        "sequence",
        "loop of 100 GETs at a local server, steps recorded",
        "`requests.Session` loop with JSON parsing",
        ">=",
        0.9,
        sequence_rows.sequence,
    ),
    Row(
        "sequences at once",
        "32 sequences of 10 GETs at a server that takes 50 ms",
        "32 threads with `requests.Session`",
        ">=",
        0.7,
        sequence_rows.sequences_at_once,
    ),
    Row(
        "parallel",
        "one loop of 64 items, `parallel: 16`, 50 ms each",
        "a pool of 16 threads with `requests.Session`",
        ">=",
        0.7,
        sequence_rows.parallel,
    ),
    Row("schedules", "10,000 schedules, 100 due a second: largest lag", "", "<=", 2, sequence_rows.schedules),
    Row(
        "upload small",
        "100,000 documents of 290 bytes, gzip, with a schema",
        "COPY into a temporary table, INSERT ON CONFLICT",
        ">=",
        0.7,
        crawler_rows.upload_small,
    ),
    Row(
        "upload large",
        "100,000 documents of 2 KB, gzip, with a schema",
        "the faster of that and executemany",
        ">=",
        0.9,
        crawler_rows.upload_large,
    ),
    Row("again", "the same upload a second time", "the first", ">=", 1, crawler_rows.again),
    Row(
        "upload memory",
        "10^6 documents in one body: growth of a web process",
        "",
        "<=",
        50,
        crawler_rows.upload_memory,
    ),
    Row(
        "export",
        "stream of 10^6 documents as NDJSON, with statistics and without",
        "`COPY (SELECT ...) TO STDOUT`",
        ">=",
        0.75,
        crawler_rows.export,
    ),
    Row("changes", "10^6 documents by `/changes`, as NDJSON", "export", ">=", 0.5, crawler_rows.changes),
    Row("delete task", "a task of 10^6 documents: answered, and gone", "", "<=", 1, crawler_rows.delete_task),
    Row(
        "extract list",
        "1,000 list pages of 20 items to JSONL",
        "bare aiohttp and selectolax",
        ">=",
        0.75,
        extraction_rows.against_script("list"),
    ),
    Row("list, Scrapy", "the same", "Scrapy", ">=", 8, extraction_rows.against("with_scrapy", "list")),
    Row("list, Crawlee", "the same", "Crawlee", ">=", 3, extraction_rows.against("with_crawlee", "list")),
    Row(
        "extract details",
        "1,000 list and 1,000 detail pages",
        "bare aiohttp and selectolax",
        ">=",
        0.75,
        extraction_rows.against_script("details"),
    ),
    Row("details, Scrapy", "the same", "Scrapy", ">=", 8, extraction_rows.against("with_scrapy", "details")),
    Row("details, Crawlee", "the same", "Crawlee", ">=", 3, extraction_rows.against("with_crawlee", "details")),
    Row(
        "extract next",
        "1,000 pages, each behind a link of the one before",
        "bare aiohttp and selectolax",
        ">=",
        0.8,
        extraction_rows.against_script("next"),
    ),
    Row("extract cost", "the processors' time for extract list", "Scrapy's", "<=", 0.2, extraction_rows.cost),
    Row("extract memory", "a worker's peak in extract list", "Scrapy's", "<=", 1, extraction_rows.memory),
    Row("two workers", "1,000 pages of 50 ms with two workers", "with one", ">=", 1.8, extraction_rows.two_workers),
    Row(
        "rendered",
        "24 pages that a script makes, four at once in Chromium",
        "bare Playwright script",
        ">=",
        0.9,
        extraction_rows.rendered,
    ),
    Row(
        "webhooks",
        "500 deliveries to ten receivers, to their recorded end",
        "500 `echo` runs",
        ">=",
        0.6,
        webhook_rows.webhooks,
    ),
    Row("xlsx", "100,000 x 5 cells", "rustpy-xlsxwriter from a generator", "<=", 1.5, extraction_rows.xlsx),
    Row(
        "interpreter",
        "loop of 20,000 steps, answers at once",
        "",
        ">=",
        40_000,
        sequence_rows.interpreter,
        own_hub=True,
    ),
    Row(
        "first views",
        "the slowest page of the console, with 10^6 runs and 10^7 documents",
        "",
        "<=",
        300,
        console_rows.first_views,
        own_hub=True,
    ),
    Row("start", "`make run` to `/healthz` 200, in an empty home", "", "<=", 8, start_row.start, own_hub=True),
    Row("idle", "memory (PSS) of a hub that does nothing", "", "<=", 650, start_row.idle, own_hub=True),
]
HEAD = ("row", "what is measured", "floor", "floor's", "ours", "ratio", "bar", "")
FIGURES = (15, 15, 5, 17, 11)  # widths of the columns that are not known beforehand


def main(arguments: Sequence[str]) -> int:
    wanted = " ".join(arguments).replace("_", " ")
    rows = [row for row in ROWS if wanted in ("", row.name.replace("_", " "))]
    if not rows:
        print(f"There is no row {wanted!r}; there are: {', '.join(row.name for row in ROWS)}.", file=sys.stderr)
        return 2
    print(surroundings(), flush=True)
    table = Table(rows)
    notes, missing = list[str](), list[str]()
    try:
        for row, measured in measure(rows):
            if isinstance(measured, CannotMeasure):
                missing.append(f"{row.name} could not be measured: {measured}")
            else:
                table.show(row.cells(measured))
                notes += [f"{row.name}: {note}" for note in measured.notes]
    finally:  # what was measured counts also when the rest is not waited for
        print("\n".join(["", *notes, *missing]), flush=True)
    return 1 if missing else 0


class Table:
    """As Markdown, each row when it is measured."""

    def __init__(self, rows: Sequence[Row]) -> None:
        said = [(row.name, row.what, row.floor) for row in rows]
        texts = [max(map(len, column)) for column in zip(*said, HEAD[:3], strict=True)]
        self.widths = (*texts, *FIGURES)
        self.empty = True

    def show(self, cells: Sequence[str]) -> None:
        if self.empty:
            print("", self.line(HEAD), f"|{'|'.join('-' * (width + 2) for width in self.widths)}|", sep="\n")
        self.empty = False
        print(self.line(cells), flush=True)

    def line(self, cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, self.widths, strict=True))} |"


def measure(rows: Sequence[Row]) -> Iterator[tuple[Row, Measured | CannotMeasure]]:
    """One row after the other; the hub that most of them need is started once, and is gone before the last."""
    with ExitStack() as running:
        place: Stage | None = None
        for row in sorted(rows, key=lambda row: row.own_hub):
            began = time.monotonic()
            try:
                if row.own_hub:
                    running.close()
                    measured: Measured | CannotMeasure = row.measure()
                else:
                    if place is None:
                        place = running.enter_context(stage())
                        print(place.versions(), flush=True)
                    measured = row.measure(place)
            except CannotMeasure as error:
                measured = error
            except Exception as error:  # the other rows are measured all the same
                measured = CannotMeasure(f"{type(error).__name__}: {error}")
            print(f"... {row.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            yield row, measured


def surroundings() -> str:
    """When and where, and how busy it was there: a busy disk slows every commit, and Celery's floors have none."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores ({model}), Python {platform.python_version()};"
        f" before it began: load {os.getloadavg()[0]:.1f}, a write reached the disk in {disk_ms():.2f} ms (p50)"
    )


def disk_ms() -> float:
    found = []
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        for _ in range(200):
            file.write(bytes(8192))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            found.append(time.perf_counter() - began)
    return median(found) * 1000


def leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    begin_session()
    signal.signal(signal.SIGTERM, leave)
    sys.exit(main(sys.argv[1:]))
