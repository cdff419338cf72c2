"""A hub that runs while the demonstration lasts."""

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskhub.demo.visitor import Surprise

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
READY = "taskhub is ready at "
STOP_SECONDS = 90.0
TAIL_LINES = 40


@contextmanager
def running_hub(tail: deque[str]) -> Iterator[str]:
    """`manage.py up` on a free port, in the home of the environment. Yields its address; `tail` holds its last lines.

    Raises Surprise when it does not start. It is gone, with all that it started, when the block ends.
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
    raise Surprise("The hub did not start.")


def _drain(log: Iterable[str], tail: deque[str]) -> None:
    tail.extend(line.rstrip() for line in log)


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
