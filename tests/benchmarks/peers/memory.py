"""The memory of a process, read from that process.

`resource.getrusage()` also counts the memory of the program that the process was forked from, before it became what it
is: beside a large parent every child seems large.
"""

from contextlib import suppress
from pathlib import Path


def peak_mib() -> float:
    """The most that was resident at once since the program began."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) / 1024


def memory_mib(process: int) -> float:
    """What a process holds now, of what it shares with others its share (PSS); 0 if it has ended."""
    with suppress(OSError):
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        return int(text.partition("\nPss:")[2].split()[0]) / 1024
    return 0
