"""Signs of life of a worker's processes, in memory that they share with the process that forked them."""

import mmap
import os

# Two bytes each, found by the pid. Siblings that share them would only hide one another's silence.
_SLOTS = 4096
_beats = mmap.mmap(-1, _SLOTS)
_performing = mmap.mmap(-1, _SLOTS)


def beat() -> None:
    """This process is alive: its other threads get their turn."""
    _beats[os.getpid() % _SLOTS] = _beats[os.getpid() % _SLOTS] % 255 + 1


def tell(*, performing: bool) -> None:
    """This process has a run at work, or none."""
    _performing[os.getpid() % _SLOTS] = performing


def heard(pid: int) -> int:
    """Changes with each beat of the process."""
    return _beats[pid % _SLOTS]


def performs(pid: int) -> bool:
    return bool(_performing[pid % _SLOTS])


def forget(pid: int) -> None:
    """The process was ended; another may get its place."""
    _performing[pid % _SLOTS] = False
