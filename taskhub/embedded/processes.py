"""Programs, how they are started, and how whatever is left of them is found and ended.

Every program is the leader of its own session. It is written down with its pid and start time, and it carries the
home's mark in its environment, which its children inherit: so a leftover is recognised even when its leader is gone,
and a stranger that got a recycled pid never is.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import IO, Any

import psutil

from .account import Account, identity

MARK = "TASKHUB_SUPERVISED"
CLOCK_TOLERANCE = 2.0  # seconds; start times are derived from the boot time, which moves when the clock is set

Farewell = Sequence[tuple[Signals, float]]


@dataclass(frozen=True)
class Program:
    """What to run. `farewell` lists the signals that end it, each with the seconds it is given; SIGKILL comes last."""

    name: str
    argv: Sequence[str | os.PathLike[str]]
    cwd: Path
    environment: Mapping[str, str]
    account: Account | None = None
    farewell: Farewell = ((signal.SIGTERM, 10.0),)


@dataclass
class Register:
    """The processes started for one home, kept in a file so that the next start can end what this one left."""

    home: Path
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.home / "processes.json"

    def start(self, program: Program, *, output: int | IO[bytes]) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            program.argv,
            cwd=program.cwd,
            env={**program.environment, MARK: str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **identity(program.account),
        )
        self.record(program.name, process.pid)
        return process

    def record(self, name: str, pid: int) -> None:
        with suppress(psutil.NoSuchProcess):
            self.entries[pid] = {"name": name, "pid": pid, "started": psutil.Process(pid).create_time()}
            self.save()

    def forget(self, pid: int) -> None:
        if self.entries.pop(pid, None):
            self.save()

    def save(self) -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(list(self.entries.values())))
        draft.replace(self.file)

    def leftovers(self) -> list[psutil.Process]:
        """Living processes that an earlier start of this home left behind."""
        recorded = {entry["pid"]: entry["started"] for entry in self._read()}
        leaders = {pid for pid, started in recorded.items() if _is_running(pid, started)}
        return [
            process for process in _others() if process.pid in leaders or _belongs(process, leaders, str(self.home))
        ]

    def _read(self) -> list[dict[str, Any]]:
        try:
            entries = json.loads(self.file.read_text())
            return [entry for entry in entries if isinstance(entry["pid"], int) and isinstance(entry["started"], float)]
        except (OSError, ValueError, TypeError, KeyError):
            return []


def say_farewell(processes: Iterable[psutil.Process], farewell: Farewell) -> None:
    """Send each signal in turn to those still alive and wait; in the end SIGKILL."""
    remaining = list(processes)
    for number, seconds in (*farewell, (signal.SIGKILL, 5.0)):
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, remaining = psutil.wait_procs(remaining, timeout=seconds)
        if not remaining:
            return


def working_in(folder: Path, names: tuple[str, ...]) -> list[psutil.Process]:
    """Processes with one of these names whose working directory is `folder`: a server sits in its data."""
    place = os.path.realpath(folder)
    found = psutil.process_iter(["name", "cwd"])
    return [process for process in found if process.info["name"] in names and process.info["cwd"] == place]


def family(pid: int) -> list[psutil.Process]:
    """A process, its descendants, and all others of its session, whoever their parent is by now."""
    members: dict[int, psutil.Process] = {}
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(pid)
        members = {process.pid: process for process in (leader, *leader.children(recursive=True))}
    return [*members.values(), *(other for other in _others() if other.pid not in members and _session(other) == pid)]


def _others() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if process.pid != os.getpid()]


def _belongs(process: psutil.Process, leaders: set[int], mark: str) -> bool:
    return _session(process) in leaders or _mark(process) == mark


def _is_running(pid: int, started: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - started) < CLOCK_TOLERANCE
    except psutil.NoSuchProcess:
        return False


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None
