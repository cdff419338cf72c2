"""Both servers of one home: which of them are private, where they listen, how they are started and stopped."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import IO

import psutil

from .home import OWNER, CannotStart, Home, private_folder, short_hash
from .os_account import OsAccount
from .postgres import Postgres
from .process_registry import ProcessRegister, end, session_of
from .redis import Redis

USERS = "users.lock"  # shared by all who use the servers, so that a borrower waits for the others before it stops them
START_SECONDS = 120.0  # a recovery after a crash may take its time
LONGEST_SOCKET = 103  # bytes, on macOS; Linux has 107


@dataclass(frozen=True)
class Servers:
    """The private servers of a home; one that the environment names is None."""

    home: Home
    data: Path
    account: OsAccount | None
    postgres: Postgres | None
    redis: Redis | None

    @classmethod
    def of(cls, home: Home, environ: Mapping[str, str] = os.environ) -> "Servers":
        """The servers that are not named by `environ`, or named by the very address they have here."""
        data, account = home.locate_data()
        sockets = _sockets(data)
        postgres = Postgres(data / "postgres", sockets, account)
        redis = Redis(data / "redis", sockets, account)
        return cls(
            home,
            data,
            account,
            postgres if (environ.get("DATABASE_URL") or postgres.url) == postgres.url else None,
            redis if (environ.get("REDIS_URL") or redis.url) == redis.url else None,
        )

    @property
    def private(self) -> list[Postgres | Redis]:
        return [server for server in (self.redis, self.postgres) if server is not None]

    def environment(self) -> dict[str, str]:
        """The variables by which programs find the servers. Raises CannotStart without a readable secret key."""
        found = {"TASKHUB_HOME": str(self.home.path)}
        if self.redis is not None:
            found["REDIS_URL"] = self.redis.url
        if self.postgres is not None:
            found["DATABASE_URL"] = self.postgres.url
            found["TASKHUB_SECRET_KEY"] = os.environ.get("TASKHUB_SECRET_KEY") or self.home.secret_key()
            found["TASKHUB_PRIVATE"] = os.environ.get("TASKHUB_PRIVATE") or "true"
        return found

    def are_ready(self) -> bool:
        return all(server.is_ready() for server in self.private)

    def end_leftovers(self, register: ProcessRegister) -> list[psutil.Process]:
        """Kills the programs that an earlier start left; their runs are tried again when their lease is over.

        The servers are shut down properly, when they are prepared.
        """
        servers = [process for server in self.private for process in server.processes()]
        found = [process for process in register.leftovers() if process not in servers]
        end(found)
        return found

    def make_folders(self) -> None:
        self.home.open_for(self.account, self.data)
        for server in self.private:
            private_folder(server.sockets, self.account)

    def clear_folders(self) -> None:
        """Removes folders of sockets outside of the data."""
        for server in self.private:
            with suppress(OSError):
                if server.sockets.parent != self.data:
                    server.sockets.rmdir()

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Uses the servers while they run; else starts them, and stops them when nobody uses them any more."""
        deadline = time.monotonic() + START_SECONDS
        with self.home.lock(USERS) as users:
            users.share()
            while True:
                with self.home.lock(OWNER) as owner:
                    if owner.try_take(describe_this_process()):
                        with self._running():
                            yield
                            users.take()
                        return
                if self.are_ready():
                    yield
                    return
                if time.monotonic() > deadline:
                    raise CannotStart(f"The servers of {self.home.path} are owned by another command, and not ready.")
                time.sleep(0.05)

    @contextmanager
    def _running(self) -> Iterator[None]:
        register = ProcessRegister(self.home.path)
        self.end_leftovers(register)
        self.make_folders()
        with ExitStack() as stack, open(self.home.path / "servers.log", "wb") as log:
            stack.callback(self.clear_folders)
            started = [stack.enter_context(_started(server, register, log)) for server in reversed(self.private)]
            self._wait(started)
            yield

    def _wait(self, started: list["Popen[bytes]"]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.are_ready():
            if any(process.poll() is not None for process in started) or time.monotonic() > deadline:
                raise CannotStart(f"A private server did not start: see {self.home.path / 'servers.log'}.")
            time.sleep(0.02)


@contextmanager
def ensure_services(path: str | os.PathLike[str] | None = None) -> Iterator[dict[str, str]]:
    """Servers for the home at `path`, running until the block ends.

    Yields what belongs in the environment: TASKHUB_HOME and, as far as they are private, DATABASE_URL,
    TASKHUB_SECRET_KEY, TASKHUB_PRIVATE and REDIS_URL. Raises CannotStart.
    """
    servers = Servers.of(Home(path))
    environment = servers.environment()
    with servers.borrowed():
        yield environment


def describe_this_process() -> str:
    """The text by which a lock names its holder: the command and its pid."""
    return f"`{' '.join((os.path.basename(sys.argv[0]), *sys.argv[1:2])).strip()}` (pid {os.getpid()})"


@contextmanager
def _started(server: Postgres | Redis, register: ProcessRegister, log: IO[bytes]) -> Iterator["Popen[bytes]"]:
    program = server.prepare()
    process = register.start(program, log)
    try:
        yield process
    finally:
        end([psutil.Process(process.pid)] if process.poll() is None else [], program.stop_signals)
        process.wait()
        end(session_of(process.pid))
        register.forget(process.pid)


def _sockets(data: Path) -> Path:
    """The folder of the sockets: in the data, or a short private one where that path is too long for a socket.

    A comma would be taken for a list of hosts by libpq.
    """
    folder = data / "sockets"
    if len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET and "," not in str(folder):
        return folder
    return Path("/tmp", f"taskhub-{short_hash(data)}")  # noqa: S108 - made private, and refused when it is not
