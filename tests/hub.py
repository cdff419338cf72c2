"""One running hub for the whole test session: `manage.py up` as a newcomer starts it, shared by all test processes.

The first test that asks for it starts it; it ends after the last one, see tests/groups.py.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import requests
from filelock import FileLock
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool

from taskhub.embedded import Home, Servers
from tests import migrated_home
from tests.plain_environment import plain_environment
from tests.session import is_alive

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"
ADMIN = "admin@hub.example"
READY = "taskhub is ready at "
START_SECONDS = 120
STOP_SECONDS = 90
IDLE_SECONDS = 3.0


class FreshConnections(HTTPConnectionPool):
    """Uses no connection again that was idle for a while.

    The hub ends one that is idle for ten seconds: on a busy machine perhaps in the moment in which the next call is
    sent, which is lost then.
    """

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn = super()._get_conn(timeout)
        if time.monotonic() - getattr(conn, "idle_since", 0.0) > IDLE_SECONDS:
            conn.close()  # it is opened again for the call
        return conn


class FreshAdapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": FreshConnections}


@dataclass
class Caller:
    """Somebody who calls the hub over HTTP; paths begin with a slash, answers are `requests.Response`."""

    url: str
    email: str = ""
    id: str = ""
    token: str = ""
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        self.session.trust_env = False
        self.session.mount("http://", FreshAdapter())
        if self.token:
            self.session.headers["Authorization"] = f"token {self.token}"

    def call(self, method: str, path: str, json: Any = None, **options: Any) -> requests.Response:
        options.setdefault("timeout", 60)
        return self.session.request(method, self.url + path, json=json, **options)

    def get(self, path: str, params: Any = None, **options: Any) -> requests.Response:
        return self.call("GET", path, params=params, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return self.call("POST", path, json, **options)

    def patch(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return self.call("PATCH", path, json, **options)

    def delete(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return self.call("DELETE", path, json, **options)


@dataclass
class Hub:
    """A running hub. `environment` is what it was started with, for other commands of the same home."""

    url: str
    home: Path
    log: Path
    environment: dict[str, str]

    def __post_init__(self) -> None:
        self.anonymous = Caller(self.url)
        self.callers = [self.anonymous]
        self.admin = self.sign_in(ADMIN)

    def sign_up(self, name: str = "") -> Caller:
        """A new user, signed in."""
        email = f"user.{uuid4().hex}@hub.example"
        answer = self.anonymous.post("/user/create/", {"email": email, "password": PASSWORD, "name": name})
        assert answer.status_code == 201, answer.text
        return self.sign_in(email)

    def sign_in(self, email: str) -> Caller:
        answer = self.anonymous.post("/user/token/", {"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        caller = Caller(self.url, email, token=answer.json()["token"])
        caller.id = caller.get("/user/manage/").json()["id"]
        self.callers.append(caller)
        return caller

    def close(self) -> None:
        for caller in self.callers:
            caller.session.close()


@dataclass
class Reference:
    """What the test processes know of the hub: its `up`, its address and home; `error` when it did not start."""

    pid: int
    url: str = ""
    home: str = ""
    error: str = ""


@pytest.fixture(scope="session")
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that runs: `.url`, `.home`, `.log`, `.admin` (staff), `.anonymous`, `.sign_up()`."""
    # Tests of one group run in one process: then nobody else has this hub.
    own = request.config.getoption("loadgroup", False) or "PYTEST_XDIST_WORKER" not in os.environ
    place = tmp_path_factory.getbasetemp() if own else shared(tmp_path_factory)
    with FileLock(place / "hub.lock"):
        reference = recall(place) or start(place)
    if reference.error:
        pytest.fail(reference.error, pytrace=False)
    running = Hub(reference.url, Path(reference.home), place / "hub.log", hasty(Path(reference.home)))
    yield running
    running.close()
    if own:
        stop(reference)
        (place / "hub.json").unlink()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last process, which is the one that has the others run, stops a hub that several processes shared."""
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined] # no public name
    if "PYTEST_XDIST_WORKER" in os.environ or (reference := recall(shared(factory))) is None:
        return
    stop(reference)


def shared(factory: pytest.TempPathFactory) -> Path:
    """The session's temporary folder; xdist's processes have theirs in it."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def recall(place: Path) -> Reference | None:
    """The hub that was started there, if it still runs, or why it did not start."""
    try:
        reference = Reference(**json.loads((place / "hub.json").read_text()))
    except FileNotFoundError:
        return None
    return reference if reference.error or _runs(reference) else None


def _runs(reference: Reference) -> bool:
    with suppress(psutil.NoSuchProcess):
        return is_alive(psutil.Process(reference.pid))
    return False


def start(place: Path, workers: int = 4) -> Reference:
    """Starts a hub with a home of its own, and writes down in the folder `place` how it is reached."""
    home, log = new_home("hub-"), place / "hub.log"
    said = log.read_text(errors="replace").count(READY) if log.exists() else 0  # by a hub that was there before
    up = start_up(hasty(home), log, port=0, workers=workers)
    reference = Reference(up.pid, home=str(home))
    try:
        reference.url = await_ready(up, log, said + 1)
        migrated_home.let_redis_hurry(Servers.of(Home(home), hasty(home)).environment()["REDIS_URL"])
        up.returncode = 0  # whichever process ends it later: nobody is to be warned that it still runs
    except AssertionError as error:
        stop(reference)
        reference.error = f"The hub did not start:\n{error}"
    (place / "hub.json").write_text(json.dumps(asdict(reference)))
    return reference


def new_home(prefix: str) -> Path:
    """A temporary home whose tables are there."""
    home = Path(tempfile.mkdtemp(prefix=prefix))
    migrated_home.fill(home)
    return home


def start_up(environment: dict[str, str], log: Path, *, port: int, workers: int) -> "subprocess.Popen[bytes]":
    """`manage.py up` in a session of its own, which Ctrl-C for the tests does not reach. What it says goes to `log`."""
    with open(log, "ab") as output:
        return subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port), "--workers", str(workers)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def await_ready(up: "subprocess.Popen[bytes]", log: Path, times: int = 1) -> str:
    """The address that is told when the hub is ready, so many times in its log."""
    deadline = time.monotonic() + START_SECONDS
    while (text := log.read_text(errors="replace")).count(READY) < times:
        assert up.poll() is None, text[-3000:]
        assert time.monotonic() < deadline, text[-3000:]
        time.sleep(0.05)
    return text.rpartition(READY)[2].partition("\n")[0].strip()


def stop(reference: Reference) -> None:
    """Ends the hub, which another test process may have started, and removes its home."""
    with suppress(psutil.NoSuchProcess):
        up = psutil.Process(reference.pid)
        up.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while is_alive(up):
            assert time.monotonic() < deadline, f"The hub in {reference.home} does not end."
            time.sleep(0.05)
    shutil.rmtree(reference.home, ignore_errors=True)


def environment(home: Path) -> dict[str, str]:
    """A newcomer's environment: nothing that the tests set, so that the hub brings its own PostgreSQL and Redis."""
    return plain_environment() | {
        "TASKHUB_HOME": str(home),
        "TASKHUB_ADMIN_EMAIL": ADMIN,
        "TASKHUB_ADMIN_PASSWORD": PASSWORD,
        "TASKHUB_RATE_SIGN_IN": "none",  # every test signs up people of its own
        "TASKHUB_EXTRACTION_HOST_CONCURRENCY": "32",  # all sites of tests have one host
    }


def hasty(home: Path) -> dict[str, str]:
    """The same, with passwords that take no time."""
    return environment(home) | {"TASKHUB_APPS": "tests.quick_passwords"}
