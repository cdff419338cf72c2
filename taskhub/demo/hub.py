"""The hub of the demonstration."""

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskhub.demo.visitors import UnexpectedAnswer

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
READY = "taskhub is ready at "
STOP_SECONDS = 90.0
TAIL_LINES = 40


@contextmanager
def running_hub(tail: deque[str]) -> Iterator[str]:
    """Runs `manage.py up` on a free port; yields its address, and stops it when the block ends.

    The home is that of the environment. `tail` gets the last lines of its log. Raises `UnexpectedAnswer` if it does not
    start.
    """
    process = subprocess.Popen(
        [sys.executable, str(MANAGE), "up", "--port", "0", "--workers", "2"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for the demonstration, which then stops the hub
    )
    with process:
        try:
            yield _address(process.stdout, tail)
        finally:
            _stop(process)


def _address(log: Iterable[str] | None, tail: deque[str]) -> str:
    for line in log or ():
        tail.append(line.rstrip())
        if READY in line:
            # A pipe that nobody empties would stop the hub.
            threading.Thread(target=_drain, args=(log, tail), daemon=True).start()
            return line.partition(READY)[2].strip()
    raise UnexpectedAnswer("The hub did not start.")


def _drain(log: Iterable[str], tail: deque[str]) -> None:
    tail.extend(line.rstrip() for line in log)


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
