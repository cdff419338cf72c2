"""Signs of life of a worker's processes, in memory that they share with the process that forked them."""

import mmap
import os

# Two bytes each, found by the pid. Processes that happened to share them would only hide one another's silence.
_SLOTS = 4096
_beats = mmap.mmap(-1, _SLOTS)
_performing = mmap.mmap(-1, _SLOTS)


def beat() -> None:
    """Counts one beat of this process: its other threads get their turn."""
    _beats[os.getpid() % _SLOTS] = _beats[os.getpid() % _SLOTS] % 255 + 1


def set_performing(performing: bool) -> None:
    """Says whether this process has a run at work."""
    _performing[os.getpid() % _SLOTS] = performing


def beat_count(pid: int) -> int:
    """The count of a process's beats, which starts over at 255: another number means another beat."""
    return _beats[pid % _SLOTS]


def is_performing(pid: int) -> bool:
    return bool(_performing[pid % _SLOTS])


def forget(pid: int) -> None:
    """Clears the slot of a process that was ended; another may get it."""
    _performing[pid % _SLOTS] = False
