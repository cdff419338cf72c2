"""Every call that /openapi.json describes, against that description: schemathesis with all its checks and phases.

Each call is tried as a user and as staff, in a world where the document's own examples exist: the run, the graph, the
alias and the key that they name are the caller's. So the calls are answered, and not only refused.
"""

import copy
import io
import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from uuid import UUID

import pytest
import requests
import schemathesis
import urllib3
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from django.db import close_old_connections, connections
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult
from knox.models import AuthToken
from requests.adapters import HTTPAdapter
from schemathesis.engine import events, from_schema

from crawlers.models import Crawler, CrawlerTask, Document, External, Stream
from crawlers.services.capabilities import capability_of
from extraction import models as extraction
from extraction.api import examples as shown
from extraction.domain.downloads import DOWNLOAD_RULE
from extraction.domain.process_status import PageState
from extraction.models import Process
from extraction.services.downloaded_files import store_file
from extraction.services.signed_links import LOG, link_to
from sequences.api.stored_views import EXAMPLE_SENT
from sequences.domain.exchange import KeptFile
from sequences.models import StoredSecret
from sequences.services.answer_files import AnswerFiles
from sequences.services.stored_sequences import save_sequence
from taskhub.accounts.examples import SESSION as EXAMPLE_SESSION
from taskhub.accounts.examples import SHOWN_KEY
from taskhub.accounts.models import ApiKey, BrowserSession, User
from taskhub.accounts.user_api import EXAMPLE as EXAMPLE_ACCOUNT
from taskhub.celery import app as celery
from taskhub.runs import waits
from taskhub.runs.models import Leadership, NotificationRule, Run, Worker
from taskhub.runs.notifications.serializers import EXAMPLE as EXAMPLE_RULE
from taskhub.runs.queue import broker
from taskhub.runs.scheduler.schedules import save_schedule
from taskhub.runs.schedules.serializers import EXAMPLE as EXAMPLE_SCHEDULE
from taskhub.runs.webhooks.models import DeliveryAttempt
from taskhub.runs.webhooks.serializers import EXAMPLE_DELIVERY
from taskhub.web.openapi.document import document
from tests import deferred_responses
from tests.faults.repetitions import Repetitions
from walkers import walkers
from walkers.http import examples
from walkers.models import Alias, Graph, Node, Profile, RunFile

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

URL = "http://hub.example"
RUN = UUID(examples.ID)
GRAPH = UUID(examples.ID)
DELIVERY = UUID(str(EXAMPLE_DELIVERY["id"]))
USER = UUID(examples.USER_ID)
QUERY = {"name": "query", "type": "string", "max": 100}
EMAIL = "ada@example.com"
KEY = str(SHOWN_KEY.value["prefix"])
SESSION = str(EXAMPLE_SESSION.value["id"])
# What a schema cannot say: whether a password is the present one, or too common; whether a text is a cursor of this
# list; which fields a walker has that a value names; what a
# request of a sequence is. And 422 is for work that was understood and failed.
JUDGED = [
    *(
        "/user/create/",
        "/user/manage/",
        "/user/apikey",
        "/user/sessions",
        "/users",
        "/audit",
        "/runs",
        "/js/walker_run",
        "/js/wapi/{walker}",
    ),
    # which walkers there are, and what their fields are; what the arguments of a run's kind are
    *("/runs/batch", "/runs/{run_id}/retry"),
    "/usage",  # how many buckets are between two times
    "/runs/stats",  # how many buckets are between two times, and whose runs the caller may count
    # that a filter says something, and whose runs are meant
    *("/runs/cancel", "/runs/retry"),
    *("/sequences/validate", "/sequences/dry-run", "/sequences/runs", "/sequences/runs/{id}/steps"),
    *("/sequences/runs/{id}/tree", "/sequences/runs/{id}/resume", "/sequences/import"),
    # what a sequence is, which names are those of calls, what its inputs are
    *("/sequences", "/sequences/{name}", "/sequences/{name}/versions", "/sequences/{name}/runs", "/secrets"),
    "/secrets/{name}",
    *("/js/add_scheduled_walker", "/js/add_scheduled_sequence"),
    # when a schedule would fire, if ever; what the arguments of its kind are; what a cursor is
    *("/schedules", "/schedules/{id}", "/schedules/{id}/fires", "/schedules/preview"),
    "/schedules/calendar",  # which zones and years there are
    # that a cursor goes with no offset, and that one of two names is given
    *("/js/get_scheduled_queues", "/js/delete_scheduled_queue"),
    # which addresses may be called, what a parameter or a schema is, and which lines are documents
    *("/externals", "/externals/{fid}", "/crawlers/{fid}", "/streams/{fid}/docs", "/tasks", "/tasks/{fid}/rejected"),
    *("/actions/externals/{fid}/crawler", "/actions/crawlers/{fid}/task", "/actions/tasks/{fid}/upload"),
    # what a payload is, and what may be asked for; which name is one of results; what a format is
    *("/v1/task/create", "/v1/task/{id}/run", "/v1/task/{id}/estimate", "/v1/task/{id}/update", "/v1/getlink"),
    *("/v1/tasks", "/v1/task/{id}/results", "/v1/process/{id}/pages", "/v1/process/{id}/export", "/v1/credits"),
    *("/v1/process/{id}/retry",),
    # which addresses and selectors there are
    *("/v1/fetch", "/v1/convert/url/screenshot", "/v1/convert/url/pdf", "/v1/parse", "/v1/extract", "/v1/serp"),
    *("/v1/preview", "/v1/suggest"),
    # which addresses may be called
    *(f"/js/wapi/{name}" for name in ("echo", "fail", "get_botset", "pause", "run")),
    # which addresses may be called or sent to; what goes with what in a rule
    *("/notifications", "/notifications/{id}", "/notifications/{id}/messages"),
    *("/webhooks/test", "/runs/{run_id}/webhook", "/runs/{run_id}/logs", "/webhooks/deliveries"),
    *("/c/{capability}/actions/tasks/{fid}/upload", "/streams", "/crawlers", "/crawlers/{fid}/tasks"),
    *("/streams/{fid}/docs/{document_id}", "/streams/{fid}/changes", "/actions/tasks/{fid}/log"),
    "/c/{capability}/actions/tasks/{fid}/log",
]
# U+0000 cannot be stored, and has no place in values that may be anything; their schema cannot say so.
FREE = "v1|wapi|walker_run|object_set|sequence|schedule|externals|crawler|stream|status"
FOR_STAFF = ("admin", "sequence", "metrics", "workers", "users", "audit")
# Whether a file has the bytes of a range (416) is known only when it is found.
ACCEPTED = ["2xx", "401", "403", "404", "409", "412", "416", "422"]
REFUSALS = {400, 401, 403, 404, 405, 406, 409, 411, 412, 413, 415}  # they change nothing
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "411", "412", "413", "415", "422"]


EXAMPLES = 3  # by chance, of each call; what its schema says is tried in order before

DOCUMENT = json.loads(document())


def alike() -> set[str]:
    """The operations, as `GET /path`, that take what one before them takes: all that differs is what they do.

    The phase in which each keyword of each schema is broken once tries one of each kind; the other phases try all. Of
    calls with a body, which object it is for and how often it counts make no kind of its own: others try that.
    """
    kinds, found = set(), set()
    for path, entry in DOCUMENT["paths"].items():
        for method, operation in entry.items():
            bodies = operation.get("requestBody", {}).get("content", {})
            schemas = {content_type: content["schema"] for content_type, content in bodies.items()}
            parameters = sorted(
                filter(None, (taken(parameter, bool(bodies)) for parameter in operation.get("parameters", [])))
            )
            kind = json.dumps([parameters, schemas])
            if kind in kinds:
                found.add(f"{method.upper()} {path}")
            kinds.add(kind)
    return found


def taken(parameter: dict[str, Any], has_body: bool) -> str:
    """What a parameter takes, without its words and examples; the name of one in a path says nothing."""
    if has_body and (parameter["in"] == "path" or parameter["name"] in {"If-Match", "Idempotency-Key"}):
        return ""
    left_out = {"description", "examples"} | ({"name"} if parameter["in"] == "path" else set())
    return str(sorted((word, value) for word, value in parameter.items() if word not in left_out))


ALIKE = sorted(alike())


def one_of(names: Iterable[str]) -> str:
    """A pattern of these names alone. schemathesis looks for what is said of an operation several times a call."""
    return f"^(?:{'|'.join(map(re.escape, names))})$"


def config(*phases: str, examples: int, seed: int = 1) -> schemathesis.Config:
    accepted = {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "400", "406"]}}
    operations = [
        {"include-path-regex": one_of(JUDGED), "checks": accepted},
        {"include-path-regex": FREE, "generation": {"allow-x00": False}},
        {"include-name-regex": one_of(ALIKE), "phases": {"coverage": {"enabled": False}}},
    ]
    # The other methods are asked of every route by tests/faults/test_authorization.py.
    # What one call answers is given to the next by the stateful phase: the others need not know of it.
    given: dict[str, Any] = {phase: {"enabled": True} for phase in phases}
    for phase in given.keys() - {"stateful"}:
        given[phase]["extra-data-sources"] = {"responses": False}
    if "coverage" in given:
        given["coverage"]["unexpected-methods"] = ["OPTIONS", "TRACE"]
    if "examples" in given:
        given["examples"]["fill-missing"] = True
    return schemathesis.Config.from_dict(
        {
            "base-url": URL,
            "seed": seed,
            "continue-on-failure": True,
            "cache": {"enabled": False},  # what an earlier run saw
            "generation": {"deterministic": True, "max-examples": examples, "database": "none"},
            "phases": {"enabled": False, **given},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ACCEPTED},
                "negative_data_rejection": {"expected-statuses": REFUSED},
            },
            "operations": operations,
        }
    )


def exact(document: dict[str, Any]) -> dict[str, Any]:
    """The document, in which answers hold nothing but what is written there. Problems may: their texts name it.

    Of each walker's call but the first only its own part is tried, its `ctx`.
    """
    document = copy.deepcopy(document)
    bodies = [name for name in document["components"]["schemas"] if name.endswith((".body", ".form"))]
    for name in bodies[2:]:
        properties = document["components"]["schemas"][name]["properties"]
        document["components"]["schemas"][name]["properties"] = {"ctx": properties["ctx"]}
    queries = [
        calls["get"] for path, calls in document["paths"].items() if path.startswith("/js/wapi/") and "{" not in path
    ]
    for query in queries[1:]:
        query["parameters"] = [parameter for parameter in query["parameters"] if parameter["name"] == "ctx"]
    for name, component in document["components"]["schemas"].items():
        if not name.endswith("Request") and name != "Problem" and "properties" in component:
            component.setdefault("additionalProperties", False)
    return document


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


class World:
    """What the examples speak of, owned by the caller."""

    def __init__(self, *, staff: bool) -> None:
        rights = {"is_staff": staff, "is_superuser": staff}
        self.user = User.objects.create_user(id=USER, email=EMAIL, password="correct horse battery", **rights)
        self.connection = connections["default"]
        self.connection.inc_thread_sharing()
        self.number_past_examples()
        self.fill()
        self.ready_for: tuple[str, str] | None = None  # the operation whose next call finds all in order
        self.ready_token = ""

    def number_past_examples(self) -> None:
        """What calls make gets no number that an example has."""
        with self.connection.cursor() as cursor:
            for model in (NotificationRule, PeriodicTask):
                numbers = f"pg_get_serial_sequence('{model._meta.db_table}', 'id')"
                cursor.execute(f"SELECT setval({numbers}, nextval({numbers}) + 1000)")

    def fill(self) -> None:
        """Again what a call before may have removed."""
        graph, new = Graph.objects.get_or_create(pk=GRAPH, owner=self.user, defaults={"name": "my shop"})
        if new:
            Node.objects.create(pk=GRAPH, graph=graph, kind="root")
        Profile.objects.update_or_create(pk=self.user.pk, defaults={"active_graph": graph})
        Alias.objects.update_or_create(owner=self.user, name="shop", defaults={"target": GRAPH})
        StoredSecret.objects.get_or_create(owner=self.user, name="SHOP_KEY", defaults={"value": "abcdef"})
        save_sequence(user=self.user, name="health", **EXAMPLE_SENT)
        User.objects.get_or_create(pk=str(EXAMPLE_ACCOUNT["id"]), defaults={"email": "grace@example.com"})
        ApiKey.objects.get_or_create(prefix=KEY, defaults={"user": self.user, "hash": "0" * 64})
        session = {"user": self.user, "sign_in_id": SESSION, "expire_date": timezone.now() + timedelta(days=1)}
        BrowserSession.objects.get_or_create(session_key="example", defaults=session)

    def run(self, kind: str = "walker", *, ended: bool) -> None:
        Run.objects.filter(pk=RUN).delete()
        TaskResult.objects.filter(task_id=str(RUN)).delete()
        now = timezone.now()
        ending = {"state": "SUCCESS", "result": {"success": True, "report": []}, "started_at": now, "finished_at": now}
        if kind == "walker":
            arguments: dict[str, Any] = {"name": "echo", "snt": "taskhub", "nd": examples.ID, "ctx": {}}
        else:
            arguments = {"requests": []}
        values = {"kind": kind, "owner": self.user, "name": "echo", "arguments": arguments, "ready": not ended}
        Run.objects.create(pk=RUN, **values, **(ending if ended else {}))

    def keep_file(self) -> None:
        AnswerFiles(Run.objects.get(pk=RUN)).keep(KeptFile("a.txt", "text/plain", b"a"))
        RunFile.objects.filter(run_id=RUN).update(id=1)

    def crawl(self, *, ended: bool, used: bool) -> None:
        """An external, its crawler, the stream and a task, all of one id; unless it is to be deleted, in use."""
        for model in (Document, CrawlerTask, Crawler, Stream, External):
            model.objects.all().delete()
        about = {"fid": RUN, "owner": self.user, "meta": {"name": "shoes"}}
        external = External.objects.create(
            **about, endpoint="http://127.0.0.1:9/shop", id_field="sku", parameters=[QUERY]
        )
        if not used:
            return
        stream = Stream.objects.create(**about)
        crawler = Crawler.objects.create(**about, external=external, stream=stream)
        ending = {"code": 200, "ended_at": timezone.now()} if ended else {}
        values = {"external": external, "stream": stream, "crawler": crawler, "rank": 1, "timeout": 600}
        task = CrawlerTask.objects.create(**about, **values, **ending)
        Document.objects.create(stream=stream, task=task, rank=1, key='"a1"', body='{"sku": "a1"}')

    def extract(self) -> None:
        """A task, a process and a file that it downloaded, all of one id."""
        for table in (Process, extraction.ExtractionTask, extraction.ExtractionPage):
            table.objects.all().delete()
        about = {"id": shown.ID, "owner": self.user, "payload": shown.PAYLOAD}
        task = extraction.ExtractionTask.objects.create(**about, name="Shop")
        Run.objects.filter(pk=RUN).delete()
        TaskResult.objects.filter(task_id=str(RUN)).delete()
        run = Run.objects.create(pk=RUN, kind="extraction", owner=self.user, name="Shop", arguments={}, ready=True)
        process = Process.objects.create(**about, task=task, run=run, format="csv", results=f"{shown.PROCESS_ID}.csv")
        self.download(process)

    def download(self, process: Process) -> None:
        stored_as, key = shown.FILE_NAME.removesuffix(".pdf"), bytes.fromhex(shown.FILE_NAME[-36:-4])
        size, sha256 = store_file(stored_as, io.BytesIO(b"a"))
        file = {"name": shown.FILE_NAME, "sha256": sha256, "type": "application/octet-stream", "bytes": size}
        values = {"rule": DOWNLOAD_RULE, "state": PageState.DONE, "records": zlib.compress(json.dumps(file).encode())}
        extraction.ExtractionPage.objects.create(process=process, key=key, chain=key, **values)

    def deliver(self) -> None:
        Run.objects.filter(pk=DELIVERY).delete()
        TaskResult.objects.filter(task_id=str(DELIVERY)).delete()
        told = {"url": "http://127.0.0.1:9/", "message": "msg_1", "event": "webhook.test", "timestamp": "", "data": {}}
        ending = {"state": "SUCCESS", "finished_at": timezone.now(), "ready": False}
        run = Run.objects.create(
            pk=DELIVERY, kind="webhook", owner=self.user, name="webhook.test", arguments=told, **ending
        )
        DeliveryAttempt.objects.create(delivery=run, number=1, status=204, duration_ms=1)

    def be_whole(self) -> None:
        soon = timezone.now() + timedelta(hours=1)
        Worker.objects.get_or_create(name="all@here", queues=django_settings.QUEUES, pid=1, defaults={"seen_at": soon})
        Leadership.objects.get_or_create(name="beat", defaults={"holder": "here", "until": soon})

    def note(self, context: Any, case: schemathesis.Case, response: Any) -> None:
        """After each call: whether it may have changed anything."""
        only_read = case.method == "GET" and not case.operation.path.startswith("/js")  # there GET may write
        if not only_read and response.status_code not in REFUSALS:
            self.ready_for = None

    def token(self) -> str:
        """A fresh one: the one before may have been signed out."""
        return str(AuthToken.objects.create(self.user)[1])


@pytest.fixture(params=["user", "staff"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[World]:
    """A user has live workers, so background work is queued; for staff it is done at once. Nothing takes its time."""
    monkeypatch.setattr(walkers, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(deferred_responses, "finish", lambda response: response.dress(response.answer(True)))
    monkeypatch.setattr(waits, "EVENTS_SECONDS", 0)
    monkeypatch.setattr(broker, "live_queues", broker.LiveQueues())
    settings.THROTTLE_RATES = dict.fromkeys(settings.THROTTLE_RATES)
    made = World(staff=request.param == "staff")
    if request.param == "user":
        made.be_whole()
    yield made
    made.connection.dec_thread_sharing()
    celery.control.purge()


class InProcess(HTTPAdapter):
    """How requests reaches the hub: in the thread that calls, without sockets and a server between them."""

    def __init__(self) -> None:
        super().__init__()
        self.application: Any = WSGIHandler()

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        said: list[Any] = []
        pieces = self.application(environ_of(request), lambda status, headers: said.extend([status, headers]))
        content = b"".join(pieces)
        pieces.close()
        status, reason = said[0].split(" ", 1)
        raw = urllib3.HTTPResponse(
            io.BytesIO(content),
            said[1],
            int(status),
            reason=reason,
            preload_content=False,
            request_method=request.method,
        )
        return self.build_response(request, raw)


def environ_of(request: requests.PreparedRequest) -> dict[str, Any]:
    """A request as WSGI has it (PEP 3333)."""
    place = urlsplit(request.url or "")
    body = request.body.encode() if isinstance(request.body, str) else request.body or b""
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(place.path).decode("latin-1"),
        "QUERY_STRING": place.query,
        "SERVER_NAME": place.hostname,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
    }
    headers: Any = request.headers
    for name, value in headers.items():
        name = name.upper().replace("-", "_")
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        environ[name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"] = text.strip(" \t")
    return environ


@pytest.fixture(autouse=True)
def _hub_in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    get_adapter, hub = requests.Session.get_adapter, InProcess()

    def find(session: requests.Session, url: str) -> Any:
        return hub if url.startswith(f"{URL}/") else get_adapter(session, url)

    monkeypatch.setattr(requests.Session, "get_adapter", find)
    # Which proxy the environment names for each call, requests finds out by reading all of its variables several times.
    monkeypatch.setattr(requests.sessions, "get_environ_proxies", lambda *_, **__: {})
    # When a request is over Django closes a connection that has a transaction open: here it is the test's own.
    request_finished.disconnect(close_old_connections)
    yield
    request_finished.connect(close_old_connections)


class Caller:
    """How schemathesis gets its credentials, before each call: when also the world is put in order.

    Most calls of an operation follow one that was refused or only read: then it still is, and the token is good.
    """

    world: World

    def get(self, case: schemathesis.Case, context: Any) -> str:
        connections["default"] = self.world.connection  # in a thread of schemathesis's
        operation = (case.method, case.operation.path)
        if self.world.ready_for != operation:
            self.prepare(case)
            self.world.ready_for, self.world.ready_token = operation, self.world.token()
        return self.world.ready_token

    def prepare(self, case: schemathesis.Case) -> None:
        path = case.operation.path
        if "delete" in path or case.method == "DELETE":
            self.world.fill()
        if path == "/user/create/":
            User.objects.filter(email=EMAIL).exclude(pk=USER).delete()
            User.objects.filter(pk=USER).update(email="taken@example.com")
        if path == "/healthz":
            self.world.be_whole()
        if "{run_id}" in path or "walker_queue" in path:
            self.world.run(ended="cancel" not in path)
        if "scheduled" in path:
            PeriodicTask.objects.all().delete()
        if "delete_scheduled" in path:
            times = IntervalSchedule.objects.get_or_create(every=1, period="hours")[0]
            task = PeriodicTask(name="every hour", task="walkers.tasks.ScheduledWalker", interval=times)
            save_schedule(periodic=task, owner=self.world.user, written='{"name": "run"}')
        if "{fid}" in path:
            self.world.crawl(ended="{task_fid}" in path, used=path != "/externals/{fid}")
        if "/v1/" in path:
            self.world.extract()
        if path.endswith("/retry") and "process" in path:
            Process.objects.update(status="failed")
        if "/schedules/{id}" in path and not PeriodicTask.objects.filter(pk=EXAMPLE_SCHEDULE["id"]).exists():
            times = IntervalSchedule.objects.get_or_create(every=1, period="hours")[0]
            task = PeriodicTask(pk=EXAMPLE_SCHEDULE["id"], name="shown", interval=times)
            task.task = "walkers.tasks.ScheduledWalker"
            save_schedule(periodic=task, owner=self.world.user, written='{"name": "run"}')
        if "/notifications/" in path:
            told = {
                "owner": self.world.user,
                "name": "shown",
                "events": ["run.failed"],
                "webhook": "http://127.0.0.1:9/",
            }
            NotificationRule.objects.update_or_create(pk=EXAMPLE_RULE["id"], defaults=told)
        if "{run_id}/webhook" in path:
            self.world.run(ended=False)
        if "deliveries/" in path:
            self.world.deliver()
        if path.endswith("/delivery/test"):
            extraction.ExtractionTask.objects.update(delivery=[{"type": "dropbox", "path": "", "accessToken": "t"}])
        if "sequences" in path:
            self.world.run("sequence", ended=True)
        if "{file_id}" in path:
            self.world.keep_file()

    def set(self, case: schemathesis.Case, token: str, context: Any) -> None:
        if "capability" in case.path_parameters and case.meta and case.meta.phase.name != "coverage":
            case.path_parameters["capability"] = capability_of(CrawlerTask.objects.get(fid=RUN))
        if "token" in case.path_parameters and case.meta and case.meta.phase.name != "coverage":
            link = link_to(process=Process.objects.get(), content=LOG)
            case.path_parameters["token"], case.path_parameters["name"] = link.split("/")[-2:]
        if case.meta and case.meta.phase.name == "examples" and isinstance(case.query.get("ctx"), str):
            case.query["ctx"] = json.loads(case.query["ctx"])  # otherwise it is written as JSON twice
        case.headers["Authorization"] = f"token {token}"


def tried(schema: Any, world: World) -> Iterator[Any]:
    """The scenarios that schemathesis played."""
    schema.hooks.register_hook_with_name(Repetitions().is_new, "filter_case")
    schema.auth(refresh_interval=None)(type("CallerOfWorld", (Caller,), {"world": world}))
    schema.hooks.register_hook_with_name(world.note, "after_call")
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError), event.exception
        assert not isinstance(event, events.NonFatalError), f"{event.label}: {event.value!r}"
        if isinstance(event, events.ScenarioFinished):
            yield event.recorder


def faults(recorder: Any) -> list[str]:
    return [
        f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}\n{answer(recorder, case_id)}"
        for case_id, checks in recorder.checks.items()
        for check in checks
        if check.failure_info
    ]


def answer(recorder: Any, case_id: str) -> str:
    response = recorder.interactions[case_id].response
    return f"{response.status_code} {response.text[:500]}" if response else "no answer"


def is_for_staff(path: str) -> bool:
    return any(word in path for word in FOR_STAFF)


def tag_of(path: str) -> str:
    return str(next(iter(DOCUMENT["paths"][path].values()))["tags"][0])


TAGS = list(dict.fromkeys((tag_of(path), is_for_staff(path)) for path in DOCUMENT["paths"]))


@pytest.mark.parametrize(("tag", "for_staff"), TAGS)
def test_a_call_does_what_the_document_says(tag: str, for_staff: bool, world: World) -> None:
    """Those of one tag are tried by one test, for to begin one takes a second."""
    paths = {
        path: entry
        for path, entry in DOCUMENT["paths"].items()
        if (tag_of(path), is_for_staff(path)) == (tag, for_staff)
    }
    # The same values again, for the other caller: all that may differ is who asks, and whether workers are there.
    again = world.user.is_staff != for_staff
    phases = ["examples"] if again else ["examples", "coverage", "fuzzing"]
    settings = config(*phases, examples=EXAMPLES)
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    found: list[str] = []
    for recorder in tried(schemathesis.openapi.from_dict(exact(DOCUMENT | {"paths": paths}), config=settings), world):
        found += faults(recorder)
        for one in recorder.interactions.values():
            if one.response and one.request.method == recorder.label.partition(" ")[0]:
                statuses[recorder.label][one.response.status_code] += 1
    assert not found, "\n\n".join(found)
    assert len(statuses) == sum(map(len, paths.values()))
    for label, seen in statuses.items():
        served = {200, 201, 202, 204, 208, 422} if world.user.is_staff or not for_staff else {403}
        if label == "POST /v1/credits":
            served = served if world.user.is_staff else {403}  # everybody sees his own; staff add to them
        elif again and not for_staff:
            continue  # two values may both be refused; all of them were tried as a user
        assert served & seen.keys(), f"Not tried in earnest: {label}: {seen}"


def test_calls_one_after_another_do_what_the_document_says(world: World) -> None:
    """What one call answers is given to the next: runs that were made are asked for, keys that were made revoked."""
    given = config("stateful", examples=50, seed=2)
    schema = schemathesis.openapi.from_dict(exact(DOCUMENT), config=given)
    found: list[str] = []
    steps = 0
    for recorder in tried(schema, world):
        found += faults(recorder)
        steps += sum(node.transition is not None for node in recorder.cases.values())
    assert not found, "\n\n".join(found)
    assert steps > 0  # how many more depends on how fast runs end, and on the constants of the modules that are loaded
