"""What a web process works on, in a file that outlives it: whoever comes after a process that died says which requests
it had in its threads. One of them may be why it died.

The file is mapped into memory, so that an entry costs no call of the system. It is locked as long as its process lives,
and the system gives the lock of a dead one back.
"""

import fcntl
import logging
import mmap
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.conf import settings

log = logging.getLogger(__name__)

ENTRIES_MAX = 512  # more at once are not registered
ENTRY_BYTES = 512


class RequestRegister:
    """The requests that this process has in its threads. `open` gives it a file; without one it registers nothing."""

    def __init__(self) -> None:
        self._memory: mmap.mmap | None = None
        self._file: IO[bytes] | None = None
        self._free: list[int] = []
        self._entry = threading.local()

    def open(self) -> None:
        """Tells of the requests of siblings that died, and makes a file for those of this process."""
        try:
            folder = _own_folder()
            siblings = f"{socket.gethostname()}-{os.getppid()}-"  # several machines may share a home
            with _locked(folder):
                _tell_of_dead(folder, siblings)
                self._file = (folder / f"{siblings}{os.getpid()}").open("w+b")
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.truncate(ENTRIES_MAX * ENTRY_BYTES)
            self._memory = mmap.mmap(self._file.fileno(), 0)
            self._free = list(range(ENTRIES_MAX))
        except OSError as error:
            log.warning("Requests are not registered, so nobody will know which one a process died of: %s", error)

    def close(self) -> None:
        """Removes the file: this process ends as it should."""
        if self._file is not None:
            Path(self._file.name).unlink(missing_ok=True)
            self._file.close()

    @contextmanager
    def entry(self, request: str) -> Iterator[None]:
        """Registers a request, such as its method and path, while the calling thread works on it."""
        if self._memory is None or not self._free:
            yield
            return
        number = self._free.pop()
        self._entry.number, self._entry.text = number, f"{time.time():.1f} {request}"
        self._write(number, self._entry.text)
        try:
            yield
        finally:
            self._entry.number = None
            self._write(number, "")
            self._free.append(number)

    def add(self, text: str) -> None:
        """Adds to the entry of the calling thread, such as who calls."""
        number = getattr(self._entry, "number", None)
        if number is not None:
            self._write(number, f"{self._entry.text} {text}")

    def _write(self, number: int, text: str) -> None:
        if self._memory is not None:
            line = text.encode("utf-8", "replace")[:ENTRY_BYTES].ljust(ENTRY_BYTES, b"\0")
            self._memory[number * ENTRY_BYTES : (number + 1) * ENTRY_BYTES] = line


request_register = RequestRegister()


def _own_folder() -> Path:
    """The folder of the home for files of web processes, that nobody else reads. Raises `OSError`."""
    folder = Path(settings.HOME) / "web"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not only ours")
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Only one process at a time is in the block: a file that is made, and not locked yet, looks like a dead one's."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _tell_of_dead(folder: Path, siblings: str) -> None:
    """Logs what siblings were at that died, and removes their files, and those of servers that are gone."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # its process lives
                continue
            path.unlink(missing_ok=True)
            if path.name.startswith(siblings):
                _tell(path.name.removeprefix(siblings), file.read())


def _tell(pid: str, entries: bytes) -> None:
    lines = [
        entries[at : at + ENTRY_BYTES].rstrip(b"\0").decode(errors="replace")
        for at in range(0, len(entries), ENTRY_BYTES)
    ]
    requests = [_since(*line.partition(" ")) for line in lines if line]
    log.error("Web process %s died; its threads worked on %s", pid, "; ".join(requests) or "no request")


def _since(began: str, _: Any, request: str) -> str:
    return f"{request} (since {time.strftime('%H:%M:%S', time.localtime(float(began)))})"
