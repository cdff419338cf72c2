"""What is measured on: a hub as `manage.py up` starts it, and the floor beside it on the same PostgreSQL and Redis."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import redis
from celery import Celery

from taskhub.embedded import Home, Servers
from taskhub.start import programs
from tests import hub as running
from tests.benchmarks.load import Call, Client
from tests.benchmarks.row import CannotMeasure
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
BARE = "bare"
BARE_REDIS = 14  # number of the floor's database in Redis; results go to the next one
READY_SECONDS = 30


@dataclass
class Stage:
    """A running hub and somebody who calls it; `slices` is how often each side is measured, `seconds` how long."""

    url: str
    token: str
    owner: str
    environment: dict[str, str]
    other_tokens: tuple[str, ...] = ()
    pid: int = 0  # of `up`
    slices: int = 5
    seconds: float = 1.2
    clients: int = 16
    runs: int = 2_000
    waits: int = 500
    ledger: int = 1_000_000

    @property
    def users(self) -> list["Stage"]:
        """The same hub for as many users as it has worker processes: no owner gets all of its slots."""
        return [self, *(replace(self, token=token) for token in self.other_tokens)]

    def ask(self, path: str, body: dict[str, Any], status: int = 200) -> Any:
        """One call on a connection of its own."""
        call = self.call(path, json.dumps(body).encode(), status)
        with Client(call.place) as client:
            return json.loads(client.ask(call))

    def call(self, path: str, body: bytes = b"", status: int = 200) -> Call:
        return Call(self.url, self.token, path, body, status)

    def database(self, name: str = "") -> psycopg.Connection[Any]:
        return psycopg.connect(self.address(name), autocommit=True)

    def address(self, name: str = "") -> str:
        parts = urlsplit(self.environment["DATABASE_URL"])
        return urlunsplit(parts._replace(path=f"/{name}")) if name else self.environment["DATABASE_URL"]

    def count(self, condition: str) -> int:
        """Runs of the ledger."""
        with self.database() as database:
            row = database.execute(f"SELECT count(*) FROM runs_run WHERE {condition}").fetchone()
        return int(row[0]) if row else 0

    def cpu_seconds(self) -> float:
        """The processors' time of all processes of the hub so far, its servers' and that of ended ones included."""
        up, seconds = psutil.Process(self.pid), 0.0
        for process in [up, *up.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # one that has ended meanwhile counts as its parent's
                seconds += sum(process.cpu_times()[:4])
        return seconds

    def forget_waiting(self) -> None:
        """Nothing of what was accepted is left to do."""
        with self.database() as database:
            database.execute("DELETE FROM runs_run WHERE ready")
        with closing(self.redis()) as broker:
            broker.delete("walkers")

    def versions(self) -> str:
        with self.database() as database, closing(self.redis()) as broker:
            row = database.execute("SHOW server_version").fetchone()
            return f"PostgreSQL {row[0] if row else '?'}, Redis {broker.info('server')['redis_version']}"

    def redis(self, number: int = 0) -> redis.Redis:
        return redis.Redis.from_url(f"{self.environment['REDIS_URL']}?db={number}")

    def broker(self, number: int = 0) -> str:
        """As Celery spells it."""
        address = self.environment["REDIS_URL"]
        if address.startswith("unix://"):
            return f"redis+socket://{address.removeprefix('unix://')}?virtual_host={number}"
        return f"{address.rstrip('/')}/{number}"

    @property
    def bare_environment(self) -> dict[str, str]:
        return {
            **self.environment,
            "BARE_DATABASE_URL": self.address(BARE),
            "BARE_BROKER_URL": self.broker(BARE_REDIS),
        }


@contextmanager
def stage(**sizes: Any) -> Iterator[Stage]:
    """A hub of its own, in a temporary home."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        reference = running.start(Path(folder), WORKERS)
        if reference.error:
            raise CannotMeasure(reference.error)
        try:
            yield stage_on(reference.url, Path(reference.home), pid=reference.pid, **sizes)
        finally:
            running.stop(reference)


def stage_on(url: str, home: Path, **sizes: Any) -> Stage:
    """The stage that a running hub is."""
    environment = {**running.environment(home)}
    environment |= Servers.of(Home(home), environment).environment()
    hub = running.Hub(url, home, home, environment)
    caller, *others = [hub.sign_up("bench") for _ in range(WORKERS)]
    hub.close()
    return Stage(url, caller.token, caller.id, environment, tuple(other.token for other in others), **sizes)


@contextmanager
def bare_web(stage: Stage) -> Iterator[Callable[..., Call]]:
    """The floor's web server, by the same command line. Gives what makes calls to it."""
    environment = {**stage.bare_environment, "DJANGO_SETTINGS_MODULE": "tests.benchmarks.bare.settings"}
    with other_database(stage, BARE):
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v", "0"],
            cwd=ROOT,
            env=environment,
            check=True,
        )
        token = _bare_token(stage)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with program(_bare(programs.web("127.0.0.1", port)), environment):
            until(lambda: _listens(Call(url, token, "/")), "the floor's web server")
            yield lambda path, body, status: Call(url, token, path, body, status)
    _empty(stage)


@contextmanager
def other_database(stage: Stage, name: str) -> Iterator[str]:
    """The address of an empty database on the hub's server."""
    with stage.database() as database:
        database.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        database.execute(f"CREATE DATABASE {name}")
        yield stage.address(name)
        database.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _bare_token(stage: Stage) -> str:
    with stage.database(BARE) as database:
        database.execute(
            "INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff,"
            " is_active, date_joined) VALUES ('bench', '', '', '', '', false, false, true, now())"
        )
        token = os.urandom(20).hex()
        database.execute(
            "INSERT INTO authtoken_token (key, user_id, created) SELECT %s, id, now() FROM auth_user", [token]
        )
    return token


@contextmanager
def bare_worker(stage: Stage, results: str | None = None) -> Iterator[Celery]:
    """The floor's worker, by the same command line; gives the application that it obeys."""
    more = {"BARE_RESULTS_URL": results} if results else {}
    with program(_bare(programs.worker(BARE, WORKERS)), {**stage.bare_environment, **more}):
        app = Celery("control", broker=stage.broker(BARE_REDIS), backend=results)
        until(lambda: bool(app.control.ping(timeout=0.5)), "the floor's worker")
        with app:
            yield app
    _empty(stage)


def _empty(stage: Stage) -> None:
    for number in (BARE_REDIS, BARE_REDIS + 1):
        with closing(stage.redis(number)) as broker:
            broker.flushdb()


def _bare(command: list[str]) -> list[str]:
    names = {
        "taskhub": "tests.benchmarks.bare.celery",
        "asgi": "wsgi",  # what this server does best with plain Django
        "taskhub.asgi:application": "tests.benchmarks.bare.wsgi:application",
    }
    return [names.get(word, word) for word in command]


@contextmanager
def program(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        program = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield
        except CannotMeasure as error:
            log.seek(0)
            raise CannotMeasure(f"{error}\n{log.read().decode(errors='replace')[-3000:]}") from None
        finally:
            _end(program)


def _end(program: "subprocess.Popen[bytes]") -> None:
    family = [psutil.Process(program.pid), *psutil.Process(program.pid).children(recursive=True)]
    program.terminate()
    _, left = psutil.wait_procs(family, timeout=20)
    for process in left:
        process.kill()
    program.wait()


def until(happens: Callable[[], bool], what: str, seconds: float = READY_SECONDS, pause: float = 0.1) -> None:
    until = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > until:
            raise CannotMeasure(f"{what} did not start within {seconds:g} s.")
        time.sleep(pause)


def _listens(call: Call) -> bool:
    try:
        with Client(call.place) as client:
            client.send(call.wire)
            while not client.hear():
                pass
    except OSError:
        return False
    return True
