"""A hub that tests may break: `manage.py up` with walkers of its own, whose processes can be found and killed."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
import psycopg
import requests

from taskhub.embedded import Home, ProcessRegister, Servers
from taskhub.start.programs import WEB_PROCESSES
from tests.hub import STOP_SECONDS, Caller, Hub, await_ready, hasty, new_home, start_up
from tests.migrated_home import let_redis_hurry
from tests.ports import free_port
from tests.session import is_alive

WORKERS = 4
CAP = 2


class Disposable:
    """One home and whatever runs in it; `people` signs users up."""

    def __init__(self) -> None:
        self.home = new_home("broken-")
        self.log = self.home.with_suffix(".log")
        self.environment = hasty(self.home) | {
            "TASKHUB_APPS": "tests.quick_passwords,tests.faults.faulty,tests.faults.spinning",
            "TASKHUB_WEB_COMPUTING_SECONDS": "1",
            "TASKHUB_RUN_CAP_PER_OWNER": str(CAP),
            "TASKHUB_OPEN_WAITS_PER_USER": "100",
            "TASKHUB_EXTRACTION_DELIVERY_SECONDS": "600",
            # What other servers may take.
            "TASKHUB_OUTBOUND_READ_TIMEOUT": "2",
            "TASKHUB_OUTBOUND_TOTAL_TIMEOUT": "4",
            "TASKHUB_OUTBOUND_MAX_BYTES": "1000000",
        }
        self.port = free_port()
        self.starts = 0
        self.start()
        self.people = Hub(f"http://127.0.0.1:{self.port}", self.home, self.log, self.environment)

    # From start to end

    def start(self) -> None:
        self.up = start_up(self.environment, self.log, port=self.port, workers=WORKERS)
        self.starts += 1
        await_ready(self.up, self.log, self.starts)
        let_redis_hurry(Servers.of(Home(self.home), self.environment).environment()["REDIS_URL"])

    def kill_up(self) -> None:
        self.up.kill()
        self.up.wait()

    def close(self) -> None:
        self.people.close()
        self.up.terminate()
        self.up.wait(STOP_SECONDS)
        assert ProcessRegister(self.home).leftovers() == []  # not even what walkers have started
        shutil.rmtree(self.home, ignore_errors=True)

    # What runs

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def program(self, name: str) -> psutil.Process:
        """The living process of a program of the supervisor, such as `redis` or `worker:walkers`."""
        found: psutil.Process = until(lambda: self._program(name))
        return found

    def children(self, name: str) -> list[psutil.Process]:
        """The processes that do a program's work: a worker's or the web server's."""
        with suppress(psutil.NoSuchProcess):
            return [child for child in self.program(name).children() if is_alive(child)]
        return []

    def _program(self, name: str) -> psutil.Process | None:
        for entry in json.loads((self.home / "processes.json").read_text()):
            if entry["name"] == name:
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(entry["pid"])
                    same = abs(process.create_time() - entry["started"]) < 1
                    return process if same and is_alive(process) else None
        return None

    @contextmanager
    def unattended(self) -> Iterator[None]:
        """The supervisor does not see what happens meanwhile."""
        with frozen(psutil.Process(self.up.pid)):
            yield

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Walkers that are submitted meanwhile wait: what is to happen to them begins when all are there."""
        with ExitStack() as stack:
            for child in self.children("worker:walkers"):
                stack.enter_context(frozen(child))
            yield

    def await_health(self) -> None:
        """Until all is well, whichever of the web server's processes one asks, and no process is missing."""
        until(lambda: len(self.children("web")) == WEB_PROCESSES and all(answers(self._is_well) for _ in range(10)))

    def _is_well(self) -> bool:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{self.people.url}/healthz", timeout=10).status_code == 200

    # What it holds

    def rows(self, query: str, *values: Any) -> list[Any]:
        with self._connect() as connection:
            return connection.execute(query, values).fetchall()

    def execute(self, statements: str) -> None:
        with self._connect() as connection:
            connection.execute(statements)

    @contextmanager
    def locked(self, query: str, *values: Any) -> Iterator[None]:
        """Nobody else changes meanwhile what the query locks."""
        with self._connect() as connection, connection.transaction():
            connection.execute(query, values)
            yield

    def _connect(self) -> "psycopg.Connection[Any]":
        postgres = Servers.of(Home(self.home), self.environment).postgres
        assert postgres is not None
        return psycopg.connect(postgres.url, autocommit=True)

    def states(self, ids: Iterable[str]) -> dict[str, str]:
        return dict(self.rows("SELECT id::text, state FROM runs_run WHERE id = ANY(%s::uuid[])", list(ids)))

    def marks(self, tags: Iterable[str]) -> dict[str, int]:
        """How often each run had its effect."""
        counted = "SELECT context ->> 'tag', count(*) FROM walkers_node WHERE context ->> 'tag' = ANY(%s) GROUP BY 1"
        tags = list(tags)
        found = dict(self.rows(counted, tags))
        return {tag: found.get(tag, 0) for tag in tags}

    def await_ended(self, ids: Iterable[str], seconds: float = 60) -> dict[str, str]:
        """The states of runs once all of them have ended."""
        ids, ended = list(ids), {"SUCCESS", "FAILURE", "REVOKED"}
        until(lambda: set(self.states(ids).values()) <= ended, seconds)
        return self.states(ids)

    def assert_balanced(self, runs: dict[str, str]) -> None:
        """`runs`: id to tag. Those that ended well had their effect once, the others had none; nothing is left open."""
        states = self.states(runs)
        assert len(states) == len(runs), "A run that was acknowledged is missing."
        effects = self.marks(runs.values())
        wrong = {
            tag: (states[id], effects[tag]) for id, tag in runs.items() if effects[tag] != (states[id] == "SUCCESS")
        }
        assert not wrong
        open_ends = "SELECT id FROM runs_run WHERE finished_at IS NOT NULL AND (ready OR lease_until IS NOT NULL)"
        assert self.rows(open_ends) == []
        told = "SELECT task_id, count(*) FROM django_celery_results_taskresult WHERE task_id = ANY(%s) GROUP BY 1"
        assert dict(self.rows(told, list(runs))) == dict.fromkeys(runs, 1)


def submit(caller: Caller, walker: str, ctx: dict[str, Any], webhook: str = "", **options: Any) -> str:
    """The id of a run that was acknowledged as queued."""
    body = {"name": walker, "ctx": ctx, "is_async": True} | ({"webhook": webhook} if webhook else {})
    answer = caller.post("/js/walker_run", body, **options)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def submit_marks(caller: Caller, tags: Iterable[str], walker: str = "mark", **ctx: Any) -> dict[str, str]:
    """Run ids to tags."""
    with ThreadPoolExecutor(8) as pool:
        return {id: tag for tag, id in pool.map(lambda tag: (tag, submit(caller, walker, {"tag": tag, **ctx})), tags)}


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """What `condition` gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"This did not happen within {seconds:g} s."
        time.sleep(0.1)
    return found


def answers(ask: Callable[[], bool]) -> bool:
    """False also when nobody answers."""
    try:
        return ask()
    except OSError:  # requests' exceptions are some
        return False


@contextmanager
def frozen(process: psutil.Process) -> Iterator[psutil.Process]:
    process.suspend()
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()
