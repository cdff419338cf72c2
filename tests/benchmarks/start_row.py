"""The rows of the start, from `make run` to a hub that is whole, and of that hub while it does nothing."""

import http.client
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import psutil

from tests import hub as running
from tests.benchmarks.peers.memory import memory_mib
from tests.benchmarks.row import CannotMeasure, Measured
from tests.benchmarks.stage import ROOT
from tests.ports import free_port

STARTS = 3
PATIENCE_SECONDS = 120
SETTLE_SECONDS, IDLE_SECONDS = 10, 20


def start() -> Measured:
    """In empty homes, which have to get their database; and once more in the last of them."""
    installed = subprocess.run(["make", "--question", ".venv/installed"], cwd=ROOT, capture_output=True)
    if installed.returncode:
        raise CannotMeasure("The packages are not installed as requirements.txt says: `make .venv/installed` first.")
    first = []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="bench-") as home:
            first.append(_seconds(Path(home)))
            if len(first) == STARTS:
                again = _seconds(Path(home))
    return Measured(None, median(first), "s", [f"In a home that was used before it took {again:.2f} s."])


def idle() -> Measured:
    """In a home that was used before, so that the migrations are not counted."""
    home, port = running.new_home("bench-"), free_port()
    with _make_run(home, port) as make:
        _await_health(port)
        time.sleep(SETTLE_SECONDS)
        before = _computing_times(make)
        time.sleep(IDLE_SECONDS)
        used = sum(seconds - before.get(process, 0) for process, seconds in _computing_times(make).items())
        memory = [memory_mib(process.pid) for process in _computing_times(make)]
    share = 100 * used / IDLE_SECONDS
    return Measured(None, sum(memory), "MiB", [f"{len(memory)} processes, {share:.1f} % of a core."])


def _computing_times(make: int) -> dict[psutil.Process, float]:
    """Seconds that each process of the hub has computed, and its children that have ended."""
    found = {}
    for process in psutil.Process(make).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found[process] = sum(process.cpu_times()[:4])
    return found


def _seconds(home: Path) -> float:
    port, began = free_port(), time.perf_counter()
    with _make_run(home, port):
        _await_health(port)
        return time.perf_counter() - began


def _await_health(port: int) -> None:
    began = time.perf_counter()
    while not _is_healthy(port):
        if time.perf_counter() - began > PATIENCE_SECONDS:
            raise CannotMeasure(f"/healthz did not answer 200 within {PATIENCE_SECONDS} s of `make run`.")
        time.sleep(0.02)


@contextmanager
def _make_run(home: Path, port: int) -> Iterator[int]:
    """The pid of `make`, whose child the hub is."""
    environment = running.environment(home)
    with subprocess.Popen(
        ["make", "run", f"PORT={port}", "ARGS=--workers 2"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as make:
        try:
            yield make.pid
        finally:
            for hub in psutil.Process(make.pid).children():
                with suppress(psutil.NoSuchProcess):
                    hub.send_signal(signal.SIGTERM)


def _is_healthy(port: int) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", "/healthz")
        return client.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()
