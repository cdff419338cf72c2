"""The row of the start, from `make run` to a hub that is whole."""

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
from tests.benchmarks.row import CannotMeasure, Measured
from tests.benchmarks.stage import ROOT
from tests.ports import free_port

STARTS = 3
PATIENCE_SECONDS = 120


def start() -> Measured:
    """Each time once in an empty home, which has to get its database, and once more in the same."""
    installed = subprocess.run(["make", "--question", ".venv/installed"], cwd=ROOT, capture_output=True)
    if installed.returncode:
        raise CannotMeasure("The packages are not installed as requirements.txt says: `make .venv/installed` first.")
    first, again = [], []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="bench-") as home:
            first.append(_seconds(Path(home)))
            again.append(_seconds(Path(home)))
    return Measured(None, median(first), "s", [f"In a home that was used before it takes {median(again):.2f} s."])


def _seconds(home: Path) -> float:
    port, began = free_port(), time.perf_counter()
    with _make_run(home, port):
        while not _is_healthy(port):
            if time.perf_counter() - began > PATIENCE_SECONDS:
                raise CannotMeasure(f"/healthz did not answer 200 within {PATIENCE_SECONDS} s of `make run`.")
            time.sleep(0.02)
        return time.perf_counter() - began


@contextmanager
def _make_run(home: Path, port: int) -> Iterator[None]:
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
            yield
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
