"""Rows of crawlers: uploads, exports, deletions."""

import gzip
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from tests import crawler_client
from tests.benchmarks.row import CannotMeasure, Measured, by_turns
from tests.benchmarks.stage import Stage
from tests.hub import Caller

MANY, MILLION = 100_000, 1_000_000
SMALL, LARGE = 290, 2048  # bytes of a document
SCHEMA = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "price": {"type": "number"}, "name": {"type": "string"}},
    "required": ["sku"],
}
WORDS = ["boot", "shoe", "leather", "summer", "sale", "blue", "light", "size", "comfort", "new"]


class Crawl:
    """A stream with a crawler that takes tasks and does nothing."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.caller = Caller(stage.url, token=stage.token)
        external = {"parameters": [], "schema": SCHEMA, "docIdField": "sku", "timeout": 86_400}
        made = crawler_client.crawler(self.caller, crawler_client.external(self.caller, _endpoint(), **external), {})
        self.stream, self.crawler, self.external = (made[name]["fid"] for name in ("stream", "crawler", "external"))
        self.task = crawler_client.start(self.caller, made["crawler"])["fid"]

    def upload(self, body: bytes, documents: int) -> float:
        """Documents a second."""
        path, headers = f"/actions/tasks/{self.task}/upload", {"Content-Encoding": "gzip"}
        began = time.perf_counter()
        answer = self.caller.call("POST", path, data=body, headers=headers, timeout=600)
        took = time.perf_counter() - began
        if answer.status_code != 200 or answer.json()["count"] != documents:
            raise CannotMeasure(f"The upload was answered with {answer.status_code}: {answer.text[:300]}")
        return documents / took


@lru_cache(1)
def _endpoint() -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Idle)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/idle"


class Idle(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PATCH = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """The output is the table's."""


def documents(count: int, size: int) -> Iterator[bytes]:
    """Products of `size` bytes, each with another piece of one long text."""
    chance = random.Random(1)
    text = " ".join(chance.choices(WORDS, k=500_000))
    for number in range(count):
        shown = json.dumps({"sku": f"p{number:07}", "price": number * 1.5, "name": f"Product {number}", "text": ""})
        at, length = chance.randrange(len(text) - size), size - len(shown)
        yield f'{shown[:-2]}{text[at : at + length]}"}}'.encode()


def packed(lines: list[bytes]) -> bytes:
    return gzip.compress(b"\n".join(lines), 1)


# Floors


@contextmanager
def _floor_table(stage: Stage) -> Iterator[psycopg.Connection[Any]]:
    with stage.database() as database:
        database.execute(
            'CREATE TABLE bench_document (stream bigint, key text COLLATE "C", body text, PRIMARY KEY (stream, key))'
        )
        try:
            yield database
        finally:
            database.execute("DROP TABLE bench_document")


_UPSERT = "ON CONFLICT (stream, key) DO UPDATE SET body = excluded.body"


def _copied(database: psycopg.Connection[Any], rows: list[tuple[str, str]]) -> float:
    database.execute("TRUNCATE bench_document")
    began = time.perf_counter()
    with database.transaction(), database.cursor() as cursor:
        cursor.execute('CREATE TEMPORARY TABLE bench_line (key text COLLATE "C", body text) ON COMMIT DROP')
        with cursor.copy("COPY bench_line FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(f"INSERT INTO bench_document SELECT 1, key, body FROM bench_line {_UPSERT}")
    return len(rows) / (time.perf_counter() - began)


def _executed(database: psycopg.Connection[Any], rows: list[tuple[str, str]]) -> float:
    database.execute("TRUNCATE bench_document")
    began = time.perf_counter()
    with database.transaction(), database.cursor() as cursor:
        cursor.executemany(f"INSERT INTO bench_document VALUES (1, %s, %s) {_UPSERT}", rows)
    return len(rows) / (time.perf_counter() - began)


def _rows(lines: list[bytes]) -> list[tuple[str, str]]:
    return [(f"p{number:07}", line.decode()) for number, line in enumerate(lines)]


# Rows


def upload_small(stage: Stage) -> Measured:
    lines = list(documents(MANY, SMALL))
    body, rows = packed(lines), _rows(lines)
    with _floor_table(stage) as database:
        found = by_turns(3, lambda: _copied(database, rows), lambda: Crawl(stage).upload(body, MANY))
    return Measured(*found, "docs/s")


def upload_large(stage: Stage) -> Measured:
    lines = list(documents(MANY, LARGE))
    body, rows = packed(lines), _rows(lines)
    with _floor_table(stage) as database:
        found = by_turns(
            2,
            lambda: max(_copied(database, rows), _executed(database, rows)),
            lambda: Crawl(stage).upload(body, MANY),
        )
    return Measured(*found, "docs/s")


def again(stage: Stage) -> Measured:
    body = packed(list(documents(MANY, SMALL)))
    crawls = iter([Crawl(stage) for _ in range(3)])
    used: list[Crawl] = []

    def first() -> float:
        used.append(next(crawls))
        return used[-1].upload(body, MANY)

    return Measured(*by_turns(3, first, lambda: used[-1].upload(body, MANY)), "docs/s")


@lru_cache(1)
def _million(stage_url: str) -> bytes:
    return packed(list(documents(MILLION, SMALL)))


_filled: dict[str, tuple[Crawl, float]] = {}


def _full(stage: Stage) -> tuple[Crawl, float]:
    """A stream of a million documents, sent in one body; and the web processes' peak meanwhile, in MiB above idle."""
    if stage.url not in _filled:
        crawl, body = Crawl(stage), _million(stage.url)
        with _peak_of_web(stage) as peak:
            crawl.upload(body, MILLION)
        _filled[stage.url] = crawl, peak[0]
    return _filled[stage.url]


@contextmanager
def _peak_of_web(stage: Stage) -> Iterator[list[float]]:
    """The largest growth of one web process, in MiB; sampled every 20 ms."""
    processes = _web_processes(stage)
    idle = {process.pid: process.memory_info().rss for process in processes}
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            grown = max(process.memory_info().rss - idle[process.pid] for process in processes)
            peak[0] = max(peak[0], grown / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _web_processes(stage: Stage) -> list[psutil.Process]:
    """Those that listen at the hub's address, without the parent that hands them its socket."""
    port = urlsplit(stage.url).port
    found = [process for process in psutil.process_iter() if _listens(process, port)]
    parents = {process.pid for process in found if any(child in found for child in process.children())}
    return [process for process in found if process.pid not in parents] or found


def _listens(process: psutil.Process, port: int | None) -> bool:
    try:
        opened = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in opened)


def upload_memory(stage: Stage) -> Measured:
    return Measured(None, _full(stage)[1], "MiB")


def export(stage: Stage) -> Measured:
    crawl, _ = _full(stage)
    with stage.database() as database:
        row = database.execute("SELECT id FROM crawlers_stream WHERE fid = %s", [crawl.stream]).fetchone()
        number = int(row[0]) if row else 0
        shown = "SELECT DISTINCT ON (key) body FROM crawlers_document WHERE stream_id = {} ORDER BY key, rank DESC"

        def floor() -> float:
            began = time.perf_counter()
            with database.cursor() as cursor, cursor.copy(f"COPY ({shown.format(number)}) TO STDOUT") as copy:
                for _ in copy:
                    pass
            return MILLION / (time.perf_counter() - began)

        with _peak_of_web(stage) as peak:
            at_once = by_turns(2, floor, lambda: _exported(stage, crawl))
            database.execute("ANALYZE crawlers_document")
            later = by_turns(2, floor, lambda: _exported(stage, crawl))
    worse = min(at_once, later, key=lambda found: found[1] / found[0])
    said = ", ".join(f"{ours / floor:.2f} {when}" for (floor, ours), when in [(at_once, "at once"), (later, "later")])
    notes = [f"Before and after PostgreSQL has statistics: {said}."]
    return Measured(*worse, "docs/s", [*notes, f"The web process grew by {peak[0]:.0f} MiB at most."])


def changes(stage: Stage) -> Measured:
    """As lines of JSON, beside an export of the same stream."""
    crawl, _ = _full(stage)
    with _peak_of_web(stage) as peak:
        found = by_turns(2, lambda: _exported(stage, crawl), lambda: _exported(stage, crawl, "changes", more=1))
    return Measured(*found, "docs/s", [f"The web process grew by {peak[0]:.0f} MiB at most."])


def _exported(stage: Stage, crawl: Crawl, call: str = "docs", more: int = 0) -> float:
    """Documents a second. The answer has `more` lines than documents."""
    place = urlsplit(stage.url)
    connection = HTTPConnection(place.hostname or "", place.port or 80, timeout=600)
    headers = {"Accept": "application/x-ndjson", "Authorization": f"token {stage.token}"}
    began, lines = time.perf_counter(), 0
    connection.request("GET", f"/streams/{crawl.stream}/{call}", headers=headers)
    answer = connection.getresponse()
    while piece := answer.read(1 << 20):
        lines += piece.count(b"\n")
    connection.close()
    if lines != MILLION + more:
        raise CannotMeasure(f"The answer had {lines} lines.")
    return MILLION / (time.perf_counter() - began)


def delete_task(stage: Stage) -> Measured:
    """Until the call has answered, and a reader after it sees nothing."""
    crawl, _ = _full(stage)
    began = time.perf_counter()
    crawl.caller.delete(f"/actions/tasks/{crawl.task}")
    called = time.perf_counter() - began
    page = crawl.caller.get(f"/streams/{crawl.stream}/docs?limit=10").json()["payload"]
    seen = time.perf_counter() - began
    if page["results"]:
        raise CannotMeasure("The documents are still shown.")
    del _filled[stage.url]
    return Measured(None, seen, "s", [f"The call answered within {called:.2f} s."])
