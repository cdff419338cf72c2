"""Ends whatever a session of tests or measurements has started, however the session ends, by SIGKILL too.

A session has a folder of its own for everything temporary. By it its processes are recognised: their TMPDIR is that
folder, or they work in it, or they belong to a hub whose home is in it. A reaper, which is a process beside the
session, reads a pipe that only the session can write to. It reads the end when the session is over; then it ends the
processes that are left, and removes the folder.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

QUIT_SECONDS = 5.0  # for PostgreSQL, which gives shared memory back before it ends
REAP_SECONDS = 60.0


def begin_session() -> None:
    """Makes the session's folder, lets temporary files and all programs use it, and starts the reaper.

    A hub is ten processes, and the suite starts a dozen hubs: all of them keep what they compile, also where Python is
    told not to, or each would compile the whole product.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    folder = Path(tempfile.mkdtemp(prefix="tests-"))
    folder.chmod(0o1777)  # as /tmp: some tests start programs as another user
    reaper = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    os.environ.setdefault("MIGRATED_HOME", str(folder / "migrated"))  # a session within a test has the outer one's
    atexit.register(_end_session, reaper)


def _end_session(reaper: "subprocess.Popen[bytes]") -> None:
    assert reaper.stdin is not None
    reaper.stdin.close()
    reaper.wait(REAP_SECONDS)


def processes_of(folder: Path) -> list[psutil.Process]:
    """The living processes of the session that has this folder, and what they have started."""
    living = [process for process in psutil.process_iter(["ppid"]) if process.pid != os.getpid() and is_alive(process)]
    members = {process.pid for process in living if _is_in(process, folder)}
    while more := {process.pid for process in living if process.info["ppid"] in members} - members:
        members |= more
    return [process for process in living if process.pid in members]


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie only waits for its parent."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _is_in(process: psutil.Process, folder: Path) -> bool:
    with suppress(psutil.Error, OSError):
        environment = process.environ()
        places = [process.cwd(), *(environment.get(name, "") for name in ("TMPDIR", "TASKHUB_SUPERVISED"))]
        return any(place == str(folder) or place.startswith(f"{folder}/") for place in places)
    return False


def _reap(folder: Path) -> None:
    deadline = time.monotonic() + QUIT_SECONDS
    while processes := processes_of(folder):
        for process in processes:
            with suppress(psutil.Error):
                asked = process.name() == "postgres" and time.monotonic() < deadline
                process.send_signal(signal.SIGQUIT if asked else signal.SIGKILL)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    _reap(Path(sys.argv[1]))
