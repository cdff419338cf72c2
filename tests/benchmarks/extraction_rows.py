"""Rows of extraction: a site that answers at once, the bare script, and the field's crawlers beside it."""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Any

import psutil

from extraction.fetch.browser import NAMES
from taskhub.start import programs
from tests.benchmarks.pages import LISTS, MADE
from tests.benchmarks.peers.memory import memory_mib
from tests.benchmarks.row import CannotMeasure, Measured, by_turns
from tests.benchmarks.stage import ROOT, Stage, program, until

ROUNDS = 3
PEER_SECONDS = 180
PAGES = {"list": LISTS + 1, "details": 2 * LISTS + 1, "next": LISTS, "slow": LISTS + 1, "made": MADE + 1}
ITEM = {
    "commonParent": ".item",
    "fields": [
        {"name": "title", "selector": "h2 a", "attrs": ["text", "href"]},
        *({"name": name, "selector": f".{name}"} for name in ("price", "text", "stock")),
    ],
}
DETAIL = {
    "fields": [{"name": "title", "selector": "h1"}, *({"name": n, "selector": f".{n}"} for n in ("price", "text"))]
}


def payload(what: str, site: str) -> dict[str, Any]:
    if what == "next":
        return {"request": {"url": f"{site}/chain/0"}, **ITEM, "paginator": "a.next", "format": "JSONL"}
    if what == "made":
        shown = {"request": {"type": "chrome"}, "fields": [{"name": "title", "selector": "h1"}]}
        behind = {"name": "link", "selector": ".list a", "details": shown}
        return {"request": {"url": f"{site}/made"}, "fields": [behind], "path": True, "format": "JSONL"}
    inner: dict[str, Any] = ITEM
    if what == "details":
        more = {"name": "more", "selector": "a.more", "details": DETAIL}
        inner = {"fields": [*ITEM["fields"], more]}
    first = {"list": "/", "details": "/behind", "slow": "/slow"}[what]
    link = {"name": "link", "selector": ".list a", "details": inner}
    return {"request": {"url": f"{site}{first}"}, "fields": [link], "path": True, "format": "JSONL"}


def against_script(what: str) -> Any:
    def row(stage: Stage) -> Measured:
        with site() as url:
            return Measured(
                *by_turns(ROUNDS, lambda: peer("script", what, url)[0], lambda: ours(stage, what, url)), "pages/s"
            )

    return row


def against(name: str, what: str) -> Any:
    def row(stage: Stage) -> Measured:
        with site() as url:
            rate, memory = slow_peer(name, what, url)
            mine = [ours(stage, what, url) for _ in range(3)]
        return Measured(rate, median(mine), "pages/s", [f"Its peak was {memory:.0f} MiB."])

    return row


def memory(stage: Stage) -> Measured:
    """The most memory (PSS) of a process of the worker, such as the one that fetches; and of Scrapy's."""
    most = 0.0
    with site() as url, ThreadPoolExecutor(1) as pool:
        _, floor = slow_peer("with_scrapy", "list", url)
        extraction = pool.submit(ours, stage, "list", url)
        while not extraction.done():
            processes = [child for worker in _extractors() for child in worker.children(recursive=True)]
            most = max(most, *(memory_mib(process.pid) for process in processes))
            time.sleep(0.02)
        extraction.result()
    return Measured(floor, most, "MiB")


def cost(stage: Stage) -> Measured:
    """The processors' time of all processes of the hub for the list pages; and of Scrapy."""
    taken: list[float] = []
    with site() as url:
        before = _seconds_of_children()
        peer("with_scrapy", "list", url)
        floor = _seconds_of_children() - before
        ours(stage, "list", url)
        for _ in range(3):
            before = stage.cpu_seconds()
            ours(stage, "list", url)
            taken.append(stage.cpu_seconds() - before)
    return Measured(floor, median(taken), "s")


def two_workers(stage: Stage) -> Measured:
    """Of pages that take 50 ms, for two cores hold no more than one worker, the site and the database at full speed."""
    with site() as url:
        ours(stage, "slow", url)
        one = median(ours(stage, "slow", url) for _ in range(3))
        command = [word.replace("extraction@", "second@") for word in programs.worker("extraction", 1)]
        with program(command, stage.environment):
            until(lambda: len(_extractors()) >= 2, "the second worker")
            two = median(ours(stage, "slow", url) for _ in range(3))
    return Measured(one, two, "pages/s")


def rendered(stage: Stage) -> Measured:
    """Pages that a script makes, four at once; the browser runs already."""
    program = next(filter(None, map(shutil.which, NAMES)), "")
    with site() as url:
        ours(stage, "made", url)
        floor, mine = by_turns(
            2, lambda: MADE / _said("rendering", url, str(MADE), program)[0], lambda: ours(stage, "made", url)
        )
    return Measured(floor, mine, "pages/s")


def xlsx(stage: Stage) -> Measured:
    grown: list[float] = []

    def once(whose: str) -> float:
        seconds, more = _said("xlsx", whose)
        if whose == "ours":
            grown.append(more)
        return seconds

    floor, mine = by_turns(ROUNDS, lambda: once("bare"), lambda: once("ours"))
    return Measured(floor, mine, "s", [f"The process grew by {max(grown):.0f} MiB (40 are the bar)."])


def ours(stage: Stage, what: str, site: str) -> float:
    """Pages a second from the start of the process's run to its recorded end, its result in a file."""
    task = stage.ask("/v1/task/create", payload(what, site), 201)
    process = stage.ask(f"/v1/task/{task['id']}/run", {}, 202)
    while (shown := stage.ask(f"/v1/process/{process['id']}/info", {}))["status"] == "running":
        time.sleep(0.05)
    if (shown["status"], shown["responseCount"]) != ("finished", PAGES[what]):
        raise CannotMeasure(f"The process ended as {shown['status']} with {shown['responseCount']} pages.")
    with stage.database() as database:
        [seconds] = database.execute(
            "SELECT extract(epoch FROM r.finished_at - r.started_at) FROM runs_run AS r"
            " JOIN extraction_process AS p ON p.run_id = r.id WHERE p.id = %s",
            [process["id"]],
        ).fetchone() or [0]
    return PAGES[what] / float(seconds)


def peer(name: str, what: str, url: str) -> tuple[float, float]:
    """Pages a second, and MiB at its peak."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        seconds, memory = _said(name, what, url, file.name)
    return PAGES[what] / seconds, memory


_slow_peers: dict[tuple[str, str], tuple[float, float]] = {}


def _seconds_of_children() -> float:
    """The processors' time of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def slow_peer(name: str, what: str, url: str) -> tuple[float, float]:
    """The same of Scrapy and Crawlee, which take their time: each is measured once, whichever rows need it."""
    if (name, what) not in _slow_peers:
        _slow_peers[name, what] = peer(name, what, url)
    return _slow_peers[name, what]


def _said(name: str, *arguments: str) -> tuple[float, float]:
    command = [sys.executable, "-m", f"tests.benchmarks.peers.{name}", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PEER_SECONDS)
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"{name} took longer than {PEER_SECONDS} s.") from None
    if done.returncode:
        raise CannotMeasure(f"{name}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    first, second = done.stdout.split()[-2:]
    return float(first), float(second)


@contextmanager
def site() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.pages"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline().strip()
        finally:
            running.kill()


def _extractors() -> list[psutil.Process]:
    """Workers of the queue: those of the hub have a name, for they are forked; others have a command line."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        is_of_queue = "-Q extraction" in line or process.info["name"].startswith("worker:extract")
        if is_of_queue and process.children():
            found.append(process)
    return found
