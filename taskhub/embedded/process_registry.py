"""Programs, how they are started, and how whatever is left of them is found and ended.

Every program leads its own session. It is written down with its pid and start time, and it carries the home's mark in
its environment, which its children inherit: a leftover is recognised even when its leader is gone, and a stranger that
got a recycled pid is left alone.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import IO, Any, NamedTuple

import psutil

from .os_account import OsAccount, identity

MARK = "TASKHUB_SUPERVISED"
CLOCK_TOLERANCE = 2.0  # seconds: start times are derived from the boot time, which moves when the clock is set
POLL_SECONDS = 0.02

StopSignals = Sequence[tuple[Signals, float]]


@dataclass(frozen=True)
class ProgramSpec:
    """How a program is run, and ended: `stop_signals` and the seconds that each is given; SIGKILL comes last.

    Lines of its output that contain one of `harmless` are not shown: they alarm, and call for nothing.
    """

    name: str
    argv: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    account: OsAccount | None = None
    stop_signals: StopSignals = ((signal.SIGTERM, 10.0),)
    harmless: Sequence[str] = ()


class ProcessEntry(NamedTuple):
    name: str
    pid: int
    started: float  # seconds since 1970


@dataclass
class ProcessRegister:
    """The processes of one home, in a file from which the next start knows what this one left.

    Nobody fails because the file cannot be written, as on a full disk: by then the program runs, and whoever started it
    keeps it. The file is written again with the next entry, and leftovers are also known by their mark.
    """

    home: Path
    entries: dict[int, ProcessEntry] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.home / "processes.json"

    def options(self, program: ProgramSpec) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` and of asyncio's counterpart, all but the output."""
        return {
            "cwd": program.cwd,
            "env": {**program.environment, MARK: str(self.home)},
            "stdin": subprocess.DEVNULL,
            "stderr": subprocess.STDOUT,
            "start_new_session": True,
            **identity(program.account),
        }

    def start(self, program: ProgramSpec, output: IO[bytes]) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(program.argv, stdout=output, **self.options(program))
        self.record(program.name, process.pid)
        return process

    def record(self, name: str, pid: int) -> None:
        with suppress(psutil.NoSuchProcess):
            self.entries[pid] = ProcessEntry(name, pid, psutil.Process(pid).create_time())
            self._try_save()

    def forget(self, pid: int) -> None:
        if self.entries.pop(pid, None):
            self._try_save()

    def leftovers(self) -> list[psutil.Process]:
        """Living processes that an earlier start of this home left behind."""
        leaders = {entry.pid for entry in self.read() if _is_running(entry)}
        return [process for process in _alive() if _session(process) in leaders or _mark(process) == str(self.home)]

    def read(self) -> list[ProcessEntry]:
        """The entries of this start or an earlier one; none from a file that cannot be read."""
        try:
            found = [ProcessEntry(**entry) for entry in json.loads(self.file.read_text())]
            return [entry for entry in found if type(entry.pid) is int and type(entry.started) is float]
        except (OSError, ValueError, TypeError):
            return []

    def _try_save(self) -> None:
        draft = self.file.with_suffix(".draft")
        with suppress(OSError):
            draft.write_text(json.dumps([entry._asdict() for entry in self.entries.values()], indent=1))
            draft.replace(self.file)


def end(processes: Iterable[psutil.Process], stop_signals: StopSignals = ()) -> None:
    """Sends each signal in turn to the processes that still live, and waits its seconds; SIGKILL comes last."""
    remaining = list(processes)
    for number, seconds in (*stop_signals, (signal.SIGKILL, 5.0)):
        for process in remaining:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        deadline = time.monotonic() + seconds
        while (remaining := [process for process in remaining if _lives(process)]) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if not remaining:
            return


def session_of(leader: int) -> list[psutil.Process]:
    """All processes of the session that `leader` began, whether it still lives or not."""
    return [process for process in _alive() if _session(process) == leader]


def end_session(leader: int) -> None:
    end(session_of(leader))


def processes_in(folder: Path, names: Sequence[str]) -> list[psutil.Process]:
    """Processes with one of these names whose working directory is `folder`: a server sits in its data."""
    real_folder = os.path.realpath(folder)
    return [process for process in _alive() if process.info["name"] in names and _cwd(process) == real_folder]


def _alive() -> list[psutil.Process]:
    """Every living process but this one, with its name as `.info["name"]`. Zombies only wait for their parent."""
    processes = psutil.process_iter(["name", "status"])
    return [p for p in processes if p.pid != os.getpid() and p.info["status"] != psutil.STATUS_ZOMBIE]


def _lives(process: psutil.Process) -> bool:
    """A zombie whose other threads have not ended yet still has its files and ports."""
    try:
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def _is_running(entry: ProcessEntry) -> bool:
    try:
        return abs(psutil.Process(entry.pid).create_time() - entry.started) < CLOCK_TOLERANCE
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


def _cwd(process: psutil.Process) -> str | None:
    try:
        return process.cwd()
    except (psutil.Error, OSError):
        return None
