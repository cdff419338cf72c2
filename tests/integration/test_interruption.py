"""Whoever interrupts the suite finds no process of it afterwards: no hub, no PostgreSQL, no Redis, no test process."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hub import ROOT
from tests.plain_environment import hear_ctrl_c, plain_environment
from tests.session import is_alive, processes_of

FLAG = "ENDLESS_TEST_RUNS"  # the variable that names the file which says so
START_SECONDS, END_SECONDS = 150, 60
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("starts"), pytest.mark.timeout(300)]


@dataclass
class Suite:
    """Tests that do not end, with a hub, and the folder in which all of it happens."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    flag: Path


@contextmanager
def running_suite(flag: Path, *options: str) -> Iterator[Suite]:
    folder = Path(tempfile.mkdtemp(prefix="suite-"))
    folder.chmod(0o755)  # the servers' account passes through
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "tests/integration/endless.py"],
        cwd=ROOT,
        env=plain_environment(TMPDIR=str(folder), **{FLAG: str(flag)}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    ) as process:
        try:
            yield Suite(process, folder, flag)
        finally:
            process.kill()


def test_no_process_outlives_an_interrupted_suite(tmp_path: Path) -> None:
    """Ctrl-C in a terminal interrupts each process of a command; SIGTERM ends only the one that is named.

    The hub is shared by the test processes of the one suite, and belongs to that of the other.
    """
    with (
        running_suite(tmp_path / "first", "-n", "2") as interrupted,
        running_suite(tmp_path / "second", "-n", "1", "--dist", "loadgroup") as terminated,
    ):
        suites = [interrupted, terminated]
        until(START_SECONDS, lambda: all(suite.flag.exists() for suite in suites))
        started = [process for suite in suites for process in processes_of(suite.folder)]
        names = [process.name() for process in started]
        os.killpg(interrupted.process.pid, signal.SIGINT)
        terminated.process.send_signal(signal.SIGTERM)
        for suite in suites:
            suite.process.wait(END_SECONDS)
        until(END_SECONDS, lambda: not any(list(suite.folder.iterdir()) for suite in suites))
    servers = [name for name in names if name in {"valkey-server", "redis-server"}]
    assert len(servers) == 4, "Each suite has one for its tests, and one of its hub."
    assert not any(map(is_alive, started))
    assert not [process for suite in suites for process in processes_of(suite.folder)]


def until(seconds: float, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
