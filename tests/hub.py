"""One running hub for the whole test session: `manage.py up` as a newcomer starts it, shared by all test processes.

The first test that asks for it starts it; the session's end stops it. In between stands tests/guard.py, which ends the
hub also when the session is killed.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
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

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"
ADMIN = "admin@hub.example"
START_SECONDS = 120
STOP_SECONDS = 90
STRANGE = ("TASKHUB_", "PYTEST_", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")


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
    """What the test processes tell each other; `error` when the hub did not start."""

    guard: int
    url: str = ""
    home: str = ""
    error: str = ""


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that runs: `.url`, `.home`, `.log`, `.admin` (staff), `.anonymous`, `.sign_up()`."""
    place = shared(tmp_path_factory)
    with FileLock(place / "hub.lock"):
        reference = recall(place) or start(place)
    if reference.error:
        pytest.fail(reference.error, pytrace=False)
    running = Hub(reference.url, Path(reference.home), place / "hub.log", environment(Path(reference.home)))
    yield running
    running.close()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last process, which is the one that has the others run, stops the hub."""
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined] # no public name
    if "PYTEST_XDIST_WORKER" in os.environ or (reference := recall(shared(factory))) is None:
        return
    stop(reference)


def shared(factory: pytest.TempPathFactory) -> Path:
    """The session's temporary folder; xdist's processes have theirs in it."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def recall(place: Path) -> Reference | None:
    try:
        return Reference(**json.loads((place / "hub.json").read_text()))
    except FileNotFoundError:
        return None


def start(place: Path) -> Reference:
    home = Path(tempfile.mkdtemp(prefix="hub-"))
    session = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    with subprocess.Popen(
        [sys.executable, "tests/guard.py", str(session), str(home), str(place / "hub.log")],
        cwd=ROOT,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as starter:
        assert starter.stdout is not None
        reference = Reference(int(starter.stdout.readline()), home=str(home))
        if select.select([starter.stdout], [], [], START_SECONDS)[0]:
            reference.url = starter.stdout.readline().decode().strip()
    if not reference.url:
        stop(reference)
        reference.error = f"The hub did not start:\n{(place / 'hub.log').read_text()}"
    (place / "hub.json").write_text(json.dumps(asdict(reference)))
    return reference


def stop(reference: Reference) -> None:
    with suppress(psutil.NoSuchProcess):
        guard = psutil.Process(reference.guard)
        guard.terminate()
        guard.wait(STOP_SECONDS)


def environment(home: Path) -> dict[str, str]:
    """A newcomer's environment: nothing that the tests set, so that the hub brings its own PostgreSQL and Redis."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)}
    return plain | {
        "TASKHUB_HOME": str(home),
        "TASKHUB_ADMIN_EMAIL": ADMIN,
        "TASKHUB_ADMIN_PASSWORD": PASSWORD,
        "TASKHUB_RATE_SIGN_IN": "none",  # every test signs up people of its own
        "TASKHUB_EXTRACTION_HOST_CONCURRENCY": "32",  # all sites of tests have one host
    }
