"""Runs one hub until it is told to stop, or the test session is gone.

Says two lines: its own pid, and the hub's address once that is ready; the second is missing when it does not start.
Arguments: the session's pid, the hub's home, which is removed in the end, and the file for its log.
"""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from threading import Thread

import psutil

READY = "taskhub is ready at "


def main(session: int, home: str, log: str) -> None:
    if os.fork():  # the test process that starts it may end before it
        os._exit(0)
    os.setsid()  # Ctrl-C is for the tests, which then stop it
    print(os.getpid(), flush=True)
    with open(log, "w", buffering=1) as copy:
        hub = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", "0", "--workers", "2"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        signal.signal(signal.SIGTERM, lambda number, frame: hub.terminate())
        Thread(target=end_with, args=(session, hub), daemon=True).start()
        assert hub.stdout is not None
        for line in hub.stdout:
            copy.write(line)
            if READY in line:
                with suppress(OSError):
                    print(line.partition(READY)[2].strip(), flush=True)
    hub.wait()
    shutil.rmtree(home, ignore_errors=True)


def end_with(session: int, hub: "subprocess.Popen[str]") -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(session).wait()
    hub.terminate()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
