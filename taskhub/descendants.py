"""Programs that work has started, and how they end with it: children, their children, and whoever left his parent.

A process that adopts (PR_SET_CHILD_SUBREAPER, prctl(2)) becomes the parent of each of its descendants whose own parent
has ended, so none gets out of its sight, as daemons do otherwise. What outlives a process that was killed is known by a
mark in its environment: the next process that starts ends it.
"""

import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterable
from contextlib import suppress

import psutil

MARK = "TASKHUB_STARTED_BY"  # pid, start time and namespace of the process whose work has started a program
CLOCK_TOLERANCE = 2.0  # seconds: start times are derived from the boot time, which moves when the clock is set
END_SECONDS = 2.0
POLL_SECONDS = 0.01
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36

# The pid of this process, if it marks or adopts: what it forks does neither.
_marking = _adopting = 0


def mark_descendants() -> None:
    """Marks what this process starts from now on, so that `end_orphans` finds it when this process is no more."""
    global _marking
    _marking = os.getpid()
    os.environ[MARK] = f"{_marking} {psutil.Process().create_time()} {_namespace()}"


def adopt_descendants() -> None:
    """Makes this process, if it marks, the parent of its descendants whose own parent has ended."""
    global _adopting
    if _adopting != os.getpid() == _marking:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _adopting = os.getpid()


def end_orphans() -> list[int]:
    """Ends what was started by processes that are no more; their pids."""
    orphans = [process for process in psutil.process_iter() if _is_orphan(process)]
    _kill(orphans)
    return [process.pid for process in orphans]


def end_tree(pid: int) -> None:
    """Ends a process and its descendants."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        descendants = process.children(recursive=True)
        _kill([process, *descendants])  # itself first: it starts nothing more


def end_descendants(but: Collection[int] = ()) -> None:
    """Ends the descendants of this process, if it adopts, but for the children with these pids and theirs.

    Some may start others meanwhile, so it looks again until there are none.
    """
    until = time.monotonic() + END_SECONDS
    while time.monotonic() < until and (found := [pid for pid in children() if pid not in but]):
        for pid in found:
            end_tree(pid)
        reap(but)
        time.sleep(POLL_SECONDS)


def children() -> frozenset[int]:
    """The children of this process, if it adopts; it takes a microsecond when there are none."""
    if not _has_children():
        return frozenset()
    return frozenset(child.pid for child in psutil.Process().children())


def reap(but: Collection[int] = ()) -> None:
    """Takes the ended children of this process from the system's table, if it adopts: nobody else waits for them."""
    if not _has_children(ended=True):
        return
    for pid in children().difference(but):
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def die_with_parent(parent: int) -> None:
    """Lets the kernel kill this process when its parent ends; `parent` is the pid of whoever started it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("The parent has ended.")


def _has_children(*, ended: bool = False) -> bool:
    """Whether this process adopts and has a child, or one that has ended."""
    if _adopting != os.getpid():
        return False
    try:
        first = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return first is not None or not ended


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def _is_orphan(process: psutil.Process) -> bool:
    """Whether a process has a mark whose process is no more. Environments of other users cannot be read."""
    try:
        pid, started, namespace = process.environ().get(MARK, "").split()
    except (psutil.Error, OSError, ValueError):
        return False
    if namespace != _namespace():  # the same pid is another process in a container
        return False
    try:
        starter = psutil.Process(int(pid))
        is_another = abs(starter.create_time() - float(started)) > CLOCK_TOLERANCE
        return is_another or starter.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _namespace() -> str:
    return str(os.stat("/proc/self/ns/pid").st_ino)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
