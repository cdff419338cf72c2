"""The peak of a process's memory, read from that process.

`resource.getrusage()` also counts the memory of the program that the process was forked from, before it became what it
is: beside a large parent every child seems large.
"""

from pathlib import Path


def peak_mib(process: int | str = "self") -> float:
    """The most that was resident at once, since the program began or `forget_peak()`."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) / 1024


def forget_peak(process: int) -> None:
    Path(f"/proc/{process}/clear_refs").write_text("5")
