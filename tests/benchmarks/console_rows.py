"""The row of the console: how long each of its pages takes to come, of a hub that has much to show."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import psycopg
import requests

from tests.benchmarks.crawler_rows import Crawl
from tests.benchmarks.row import CannotMeasure, Measured
from tests.benchmarks.stage import ROOT, Stage, stage
from tests.hub import PASSWORD, Caller

RUNS, DOCUMENTS = 1_000_000, 10_000_000
PAYLOAD = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
DAILY = {"name": "daily", "kind": "walker", "arguments": {"name": "echo"}, "when": {"crontab": "0 6 1 1 *"}}
RULE = {"name": "slow", "on": ["run.slow"], "slow_after": 3600, "to": {"webhook": "http://127.0.0.1:9/h"}}
TIMES = 5  # that each page is asked for
ROUTES = """
import django; django.setup()
from taskhub.console.urls import urlpatterns
for one in urlpatterns: hasattr(one.callback.view_class, "get") and print(one.pattern)
"""
# Runs of a month and two owners: of a hundred 96 ended well, 2 failed, 1 was cancelled and 1 waits; some were fired.
FILL_RUNS = """
INSERT INTO runs_run (
    id, kind, owner_id, name, arguments, state, result, error, attempt, attempts, time_limit, ready, worker, not_before,
    schedule, schedule_id, parent_id, created_at, started_at, finished_at, revision
)
SELECT
    (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(number), 19, '0'))::uuid,
    CASE WHEN number %% 10 = 0 THEN 'sequence' ELSE 'walker' END,
    CASE WHEN number %% 2 = 0 THEN %(owner)s ELSE %(other)s END::uuid, 'echo ' || number %% 50,
    '{"ctx": {"value": "hello"}, "snt": "taskhub", "name": "echo"}',
    state, CASE state WHEN 'SUCCESS' THEN '{"report": ["hello"]}'::jsonb END,
    CASE state WHEN 'FAILURE' THEN '{"type": "RuntimeError", "message": "no tea"}'::jsonb END,
    1, 3, 3600, false, '', CASE state WHEN 'PENDING' THEN now() + interval '1 day' END,
    CASE WHEN number %% 20 = 1 THEN 'daily' ELSE '' END, CASE WHEN number %% 20 = 1 THEN %(schedule)s END,
    CASE WHEN number %% 100 = 3 THEN %(parent)s END::uuid,
    moment, moment, CASE WHEN state <> 'PENDING' THEN moment + interval '1 second' END, 3
FROM generate_series(1, %(runs)s) AS number,
    LATERAL (SELECT now() - interval '30 days' * (1 - number / %(runs)s::float) AS moment,
        (ARRAY['FAILURE', 'FAILURE', 'REVOKED', 'PENDING'])[number %% 100] AS part) AS chosen,
    LATERAL (SELECT coalesce(part, 'SUCCESS') AS state) AS named
"""
FILL_DOCUMENTS = """
INSERT INTO crawlers_document (stream_id, key, task_id, rank, body, at)
SELECT task.stream_id, '"p' || lpad(number::text, 8, '0') || '"', task.id, 1,
    '{"sku": "p' || lpad(number::text, 8, '0') || '", "price": ' || number %% 1000 || ', "name": "Product"}', now()
FROM generate_series(1, %(documents)s) AS number, crawlers_task AS task WHERE task.fid = %(task)s
"""


def first_views() -> Measured:
    """The slowest page of all, for somebody who sees half of the runs, or as staff who see all of them."""
    with stage() as place:
        person = _Person(place)
        things = person.things()
        with place.database() as database:
            _fill(database, person, things)
        paths = list(_paths(place, things))
        found = {f"{path} (user)": person.milliseconds(path) for path in paths}
        with person.as_staff():
            found |= {f"{path} (staff)": person.milliseconds(path) for path in paths}
    shown = {name: took for name, took in found.items() if took is not None}
    slowest = sorted(shown, key=lambda name: shown[name], reverse=True)
    notes = [f"{name}: {shown[name]:.0f} ms" for name in slowest[:8]]
    return Measured(None, shown[slowest[0]], "ms", [f"{len(shown)} pages and parts; the slowest: {'; '.join(notes)}"])


def _paths(place: Stage, things: dict[str, str]) -> Iterator[str]:
    """The addresses of all pages and parts of the console. Raises `CannotMeasure` for one that nothing is known for."""
    environment = {**place.environment, "DJANGO_SETTINGS_MODULE": "taskhub.settings", "TASKHUB_SECRET_KEY": "bench"}
    told = subprocess.run(
        [sys.executable, "-c", ROUTES], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    for route in told.stdout.split("\n")[:-1]:
        for name, thing in things.items():
            route = route.replace(name, thing)
        if "<" in route:
            raise CannotMeasure(f"The bench has nothing to show on the page {route}.")
        yield f"/{route}"


class _Person:
    """Somebody who has signed in, in a browser and over the API."""

    def __init__(self, place: Stage) -> None:
        self.place = place
        self.api = Caller(place.url, token=place.token)
        self.id = place.owner
        self.other = Caller(place.url, token=place.other_tokens[0]).get("/user/manage/").json()["id"]
        self.email = str(self.api.get("/user/manage/").json()["email"])
        self.browser = requests.Session()
        self.browser.headers["Accept"] = "text/html"
        self._send("/sign-in", username=self.email, password=PASSWORD)

    def _send(self, path: str, **form: str) -> requests.Response:
        self.browser.get(self.place.url + path)
        token = self.browser.cookies["csrftoken"]
        answer = self.browser.post(self.place.url + path, {**form, "csrfmiddlewaretoken": token}, allow_redirects=False)
        if answer.status_code != 302:
            raise CannotMeasure(f"{path} answered {answer.status_code}: {answer.text[:500]}")
        return answer

    def things(self) -> dict[str, str]:
        """What pages show, by the ends of their addresses; the closer ones stand first."""
        crawl = Crawl(self.place)
        task = self._made("/v1/task/create", **PAYLOAD)["id"]
        look = self._send("/console/extraction/look", action="suggest", url="http://127.0.0.1:9/")
        run = self._made("/js/walker_run", name="echo", is_async=True)["task_id"]
        return {
            "docs/<path:document_id>": "docs/p00004711",
            "look/<ksuid:id>": f"look/{look.headers['Location'].rpartition('/')[2]}",
            "process/<ksuid:id>": f"process/{self._made(f'/v1/task/{task}/run')['id']}",
            "tasks/<uuid:fid>": f"tasks/{crawl.task}",
            "externals/<uuid:fid>": f"externals/{crawl.external}",
            "crawlers/<uuid:fid>": f"crawlers/{crawl.crawler}",
            "streams/<uuid:fid>": f"streams/{crawl.stream}",
            "webhooks/<uuid:run_id>": f"webhooks/{self._made('/webhooks/test', url='http://127.0.0.1:9/')['id']}",
            "<uuid:run_id>": run,
            "<int:rule_id>": str(self._made("/notifications", **RULE)["id"]),
            "<int:schedule_id>": str(self._made("/schedules", **DAILY)["id"]),
            "<uuid:user_id>": self.id,
            "stored/<str:name>": f"stored/{self._stored_sequence()}",
            "<str:walker>": "echo",
        }

    def _made(self, path: str, **body: Any) -> Any:
        answer = self.api.post(path, body)
        if answer.status_code >= 300:
            raise CannotMeasure(f"{path} answered {answer.status_code}: {answer.text[:500]}")
        return answer.json()

    def _stored_sequence(self) -> str:
        """The name of one, which staff alone may store."""
        with self.as_staff():
            self.api.call("PUT", "/sequences/greet", {"sequence": {"requests": []}}).raise_for_status()
        return "greet"

    @contextmanager
    def as_staff(self) -> Iterator[None]:
        """Makes this person staff for a while."""
        with self.place.database() as database:
            database.execute("UPDATE accounts_user SET is_staff = true, is_superuser = true WHERE id = %s", [self.id])
            yield
            database.execute("UPDATE accounts_user SET is_staff = false, is_superuser = false WHERE id = %s", [self.id])

    def milliseconds(self, path: str) -> float | None:
        """How long the answer took, the median of some after a first one; None for what is not there for somebody."""
        took = []
        for _ in range(TIMES + 1):
            began = time.perf_counter()
            answer = self.browser.get(self.place.url + path, allow_redirects=False)
            took.append((time.perf_counter() - began) * 1000)
            if answer.status_code in {403, 404}:
                return None
            if answer.status_code not in {200, 302}:
                raise CannotMeasure(f"{path} answered {answer.status_code}.")
        return median(took[1:])


def _fill(database: "psycopg.Connection[Any]", person: _Person, things: dict[str, str]) -> None:
    values = {"owner": person.id, "other": person.other, "schedule": int(things["<int:schedule_id>"]), "runs": RUNS}
    database.execute(FILL_RUNS, {**values, "parent": things["<uuid:run_id>"]})
    database.execute(FILL_DOCUMENTS, {"documents": DOCUMENTS, "task": things["tasks/<uuid:fid>"].partition("/")[2]})
    database.execute("UPDATE crawlers_stream SET documents = %s, revision = 1", [DOCUMENTS])
    database.execute("VACUUM ANALYZE runs_run, crawlers_document")
