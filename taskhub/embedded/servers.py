"""Both servers of one home: which of them are private, where they listen, how they are started and stopped."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import IO

from .account import Account, give
from .home import CannotStart, Home, short_hash
from .postgres import Postgres
from .processes import Register, family, say_farewell
from .redis import Redis

OWNER = "owner.lock"  # held by whoever runs the servers
USERS = "users.lock"  # shared by all who use them, so that a borrower waits for the others before it stops them
START_SECONDS = 120.0  # recovery after a crash replays the log first
LONGEST_SOCKET = 103  # bytes, on macOS; Linux has 107


@dataclass(frozen=True)
class Servers:
    """The private servers of a home; those that the environment names are None."""

    home: Home
    postgres: Postgres | None
    redis: Redis | None

    @classmethod
    def of(cls, home: Home, environ: Mapping[str, str] = os.environ) -> "Servers":
        try:
            account = home.account()
        except LookupError as error:
            raise CannotStart(f"PostgreSQL refuses to run as root, and {error}: set DATABASE_URL.") from None
        data = home.data(account)
        sockets = _sockets(data, account)
        return cls(
            home,
            None if environ.get("DATABASE_URL") else Postgres(data / "postgres", sockets, account),
            None if environ.get("REDIS_URL") else Redis(data / "redis", sockets, account),
        )

    @property
    def private(self) -> list[Postgres | Redis]:
        return [server for server in (self.postgres, self.redis) if server is not None]

    def environment(self) -> dict[str, str]:
        """What other processes need to find the servers; only what the environment does not say already."""
        found: dict[str, str] = {}
        if self.postgres is not None:
            found["DATABASE_URL"] = self.postgres.url
            found["TASKHUB_SECRET_KEY"] = os.environ.get("TASKHUB_SECRET_KEY") or self.home.secret_key()
        if self.redis is not None:
            found["REDIS_URL"] = self.redis.url
        return found

    def are_ready(self) -> bool:
        return all(server.is_ready() for server in self.private)

    def make_sockets(self) -> None:
        for server in self.private:
            server.sockets.mkdir(mode=0o700, exist_ok=True)
            give(server.sockets, server.account)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Use the servers while they run; else start them, and stop them when nobody else uses them any more."""
        deadline = time.monotonic() + START_SECONDS
        with self.home.lock(USERS) as users:
            users.share()
            while True:
                with self.home.lock(OWNER) as owner:
                    if owner.try_take():
                        with self._running():
                            yield
                            users.take()
                        return
                if self.are_ready():
                    yield
                    return
                if time.monotonic() > deadline:
                    raise CannotStart(f"The servers of {self.home.path} are owned by another command and not ready.")
                time.sleep(0.05)

    @contextmanager
    def _running(self) -> Iterator[None]:
        register = Register(self.home.path)
        say_farewell(register.leftovers(), ((15, 3.0),))
        with ExitStack() as stack, open(self.home.path / "servers.log", "ab") as log:
            self.make_sockets()
            started = [stack.enter_context(_started(server, register, log)) for server in self.private]
            _wait_until_ready(self, started)
            yield


@contextmanager
def ensure_services(path: str | os.PathLike[str] | None = None) -> Iterator[dict[str, str]]:
    """Servers for the home at `path`, running until the block ends.

    Yields the variables that are not set already: DATABASE_URL, TASKHUB_SECRET_KEY, REDIS_URL. Raises CannotStart.
    """
    servers = Servers.of(Home(path))
    environment = servers.environment()
    with servers.borrowed():
        yield environment


@contextmanager
def _started(server: Postgres | Redis, register: Register, log: IO[bytes]) -> Iterator["Popen[bytes]"]:
    program = server.prepare()
    process = register.start(program, output=log)
    try:
        yield process
    finally:
        say_farewell(family(process.pid)[:1], program.farewell)
        say_farewell(family(process.pid), ())
        register.forget(process.pid)


def _wait_until_ready(servers: Servers, started: list["Popen[bytes]"]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not servers.are_ready():
        if any(process.poll() is not None for process in started) or time.monotonic() > deadline:
            raise CannotStart(f"A private server did not start: see {servers.home.path / 'servers.log'}.")
        time.sleep(0.02)


def _sockets(data: Path, account: Account | None) -> Path:
    """The folder of the sockets: in the data, or a short private one where the path is too long for a socket.

    A comma would be taken for a list of hosts by libpq.
    """
    folder = data / "sockets"
    if len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET and "," not in str(folder):
        return folder
    return Path(tempfile.gettempdir(), f"taskhub-{os.geteuid()}-{short_hash(data)}")
