"""Signs of life of a worker's processes, in memory that they share with the process that forked them."""

import mmap
import os


class ProcessHeartbeat:
    """A count of beats for each process, and whether it has a run at work."""

    SLOTS = 4096  # found by the pid. Processes that happened to share one would only hide one another's silence.

    def __init__(self) -> None:
        self._beats = mmap.mmap(-1, self.SLOTS)
        self._performing = mmap.mmap(-1, self.SLOTS)

    def beat(self) -> None:
        """Counts one beat of this process: its other threads get their turn."""
        slot = os.getpid() % self.SLOTS
        self._beats[slot] = self._beats[slot] % 255 + 1

    def set_performing(self, performing: bool) -> None:
        """Says whether this process has a run at work."""
        self._performing[os.getpid() % self.SLOTS] = performing

    def beat_count(self, pid: int) -> int:
        """The count of a process's beats, which starts over at 255: another number means another beat."""
        return self._beats[pid % self.SLOTS]

    def is_performing(self, pid: int) -> bool:
        return bool(self._performing[pid % self.SLOTS])

    def forget(self, pid: int) -> None:
        """Clears the slot of a process that was ended; another may get it."""
        self._performing[pid % self.SLOTS] = False


process_heartbeat = ProcessHeartbeat()
