"""Walkers in the background, up to the doorbell and from the claim on; running workers have tests of their own."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.client import MULTIPART_CONTENT
from django.utils import timezone
from django.utils.datastructures import MultiValueDict

from taskhub.errors import Unavailable
from taskhub.runs import queue
from taskhub.runs.domain import State, oldest_id
from taskhub.runs.health import worker_heartbeat
from taskhub.runs.models import Run, Worker
from taskhub.runs.queue import broker, signals, submission
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.integration.walkers_shop import installed
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker
from walkers.http import registry
from walkers.models import Graph, Node, RunFile
from walkers.services import run_files
from walkers.walks.principal import Principal
from walkers.walks.walk_execution import perform_walk

pytestmark = pytest.mark.django_db(transaction=True)
RUN = "/js/walker_run"


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As if a worker lived and the broker answered; the ids of the runs that it was notified of."""
    ids: list[str] = []
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: queue == "walkers")

    def send(kind: Any, run_id: Any) -> bool:
        ids.append(str(run_id))
        return True

    monkeypatch.setattr(broker, "send", send)
    return ids


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> None:
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    }


def start(person: Person, name: str, ctx: Any = None, **more: Any) -> str:
    answer = person.post(RUN, {"name": name, "ctx": ctx or {}, "is_async": True, **more})
    assert answer.status_code == 202, answer.content
    task_id: str = answer.json()["task_id"]
    return task_id


def check(person: Person, task_id: str) -> Any:
    return person.get("/js/walker_queue_check", {"task_id": task_id}).json()


def labour() -> int:
    return work("walker", perform_walk, node="walkers@here")


class Grow(Walker):
    fails: bool = False

    def visit(self, here: Place) -> None:
        here.spawn("leaf")
        self.report("grew")
        if self.fails:
            raise ValueError("It broke.")


# Accepting


def test_what_is_queued_is_written_down_and_a_worker_is_notified(owner: Person, notified: list[str]) -> None:
    answer = owner.post(RUN, {"name": "echo", "ctx": {"value": 1}, "is_async": True})
    task_id = answer.json()["task_id"]
    assert answer.status_code == 202
    assert answer.json() == {"is_queued": True, "result": task_id, "task_id": task_id}
    assert answer["Location"] == f"http://127.0.0.1:8000/js/walker_queue_check?task_id={task_id}"
    assert notified == [task_id]
    run = Run.objects.get(pk=task_id)
    node = owner.get("/js/graph_active_get").json()["jid"][9:]
    assert (run.kind, run.name, run.owner, run.time_limit) == ("walker", "echo", owner.user, 3600)
    assert run.arguments == {"name": "echo", "snt": "taskhub", "nd": node, "ctx": {"value": 1}}
    assert check(owner, task_id) == {"state": "PENDING"}


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "YES"])
def test_is_async_is_taken_in_every_documented_place(owner: Person, notified: list[str], word: str) -> None:
    answers = [
        owner.get(RUN, {"name": "echo", "is_async": word}),
        owner.post(f"{RUN}?is_async={word}", {"name": "echo"}),
        owner.post(RUN, {"name": "echo", "is_async": word}),
        owner.post(RUN, {"name": "echo", "is_async": word}, content_type=MULTIPART_CONTENT),
        owner.post(RUN, f"name=echo&is_async={word}", content_type="application/x-www-form-urlencoded"),
        owner.post(f"/js/wapi/echo?is_async={word}"),
        owner.get("/js/wapi/echo", {"is_async": word}),
    ]
    assert [answer.status_code for answer in answers] == [202] * 7
    assert len(set(notified)) == 7


@pytest.mark.parametrize("word", ["", "maybe"])
def test_a_wrong_is_async_in_the_query_is_refused_where_the_body_has_it_too(owner: Person, word: str) -> None:
    for path, body in ((RUN, {"name": "echo", "is_async": False}), ("/js/wapi/echo", {"is_async": False})):
        refusal = owner.post(f"{path}?is_async={word}", body)
        assert refusal.status_code == 400
        assert refusal.json()["errors"] == [{"pointer": "/is_async", "detail": "Must be true or false."}]


@pytest.mark.parametrize("place", [RUN, "/js/wapi/echo"])
def test_is_async_is_true_where_the_body_has_a_clients_default(owner: Person, notified: list[str], place: str) -> None:
    body: dict[str, Any] = {"is_async": False} | ({"name": "echo"} if place == RUN else {})
    assert owner.post(f"{place}?is_async=true", body).status_code == 202
    assert owner.post(f"{place}?is_async=false", body | {"is_async": True}).status_code == 202
    form = {name: str(value).lower() for name, value in body.items()}
    assert owner.post(f"{place}?is_async=true", form, content_type=MULTIPART_CONTENT).status_code == 202
    assert len(notified) == 3


def test_is_async_can_be_denied(owner: Person) -> None:
    assert owner.post(RUN, {"name": "echo", "is_async": False}).status_code == 200
    assert owner.get(RUN, {"name": "echo", "is_async": "false"}).status_code == 200
    assert not Run.objects.exists()


def test_what_cannot_run_is_not_accepted(owner: Person, stranger: Person, notified: list[str]) -> None:
    foreign = stranger.get("/js/graph_active_get").json()["jid"]
    for status, fields in (
        (404, {"name": "nothing"}),
        (404, {"name": "echo", "nd": foreign}),
        (404, {"name": "echo", "snt": "nothing"}),
        (400, {"name": "echo", "ctx": {"valeu": 1}}),
        (400, {"name": "echo", "run_at": "tomorrow"}),
    ):
        assert owner.post(RUN, {"is_async": True, **fields}).status_code == status, fields
    assert not Run.objects.exists()
    assert notified == []


def test_run_at_delays(owner: Person, notified: list[str]) -> None:
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    answer = owner.post(RUN, {"name": "echo", "run_at": later})
    assert answer.status_code == 202
    assert notified == []
    assert labour() == 0
    Run.objects.update(not_before=timezone.now())
    queue.sweep()
    assert labour() == 1
    assert check(owner, answer.json()["task_id"])["state"] == "SUCCESS"


def test_run_at_in_the_past_is_now(owner: Person, notified: list[str]) -> None:
    task_id = start(owner, "echo", run_at="2020-01-01T00:00:00Z")
    assert notified == [task_id]
    assert labour() == 1


def test_a_run_that_a_worker_ends_before_the_answer_is_queued_like_any_other(
    owner: Person, notified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_for_admission(run: Run, **said: Any) -> None:
        signals.ask_for_admission(run, **said)
        assert labour() == 1  # as a worker may that is notified by the one who admits

    monkeypatch.setattr(submission, "ask_for_admission", ask_for_admission)
    asked = {"name": "echo", "is_async": True, "concurrency": {"key": "shop"}}
    answer = owner.post(RUN, asked)
    assert (answer.status_code, answer.json()["is_queued"]) == (202, True)
    assert Run.objects.get(pk=answer.json()["task_id"]).state == State.SUCCESS

    with installed(Grow):
        failed = owner.post(RUN, {**asked, "name": "grow", "ctx": {"fails": True}})
    assert (failed.status_code, failed.json()["is_queued"]) == (202, True)


# Without a worker or a broker


def test_without_a_worker_it_runs_at_once(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: False)
    root = owner.get("/js/graph_active_get").json()["jid"]
    answer = owner.post(RUN, {"name": "echo", "ctx": {"value": 1}, "is_async": True})
    assert answer.status_code == 200
    report = {"success": True, "report": [1], "final_node": root, "yielded": False}
    run = Run.objects.get()
    assert answer.json() == {"is_queued": False, "result": report, "task_id": str(run.pk)}
    assert run.state == State.SUCCESS
    in_process = registry.call(
        "walker_run", {"name": "echo", "ctx": {"value": 1}, "is_async": True}, Principal(owner.user)
    )
    assert (in_process.status, in_process.body["result"]) == (200, report)


def test_without_a_broker_it_runs_at_once(owner: Person, notified: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "send", lambda kind, run_id: False)
    assert owner.post(RUN, {"name": "echo", "is_async": True}).json()["is_queued"] is False


def test_what_fails_at_once_is_a_422_as_if_it_had_been_asked_for(owner: Person) -> None:
    with installed(Grow):
        answer = owner.post(RUN, {"name": "grow", "ctx": {"fails": True}, "is_async": True})
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    run = Run.objects.get()
    assert (
        answer.json().items()
        >= {
            "type": "walker-failed",
            "detail": "It broke.",
            "report": ["grew"],
            "error": run.error,
            "task_id": str(run.pk),
        }.items()
    )
    assert run.state == State.FAILURE
    assert not Node.objects.filter(kind="leaf").exists()


def test_a_delayed_walk_needs_no_worker_yet(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: False)
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    assert owner.post(RUN, {"name": "echo", "run_at": later}).status_code == 202


# Performing


def test_a_run_ends_with_the_walks_answer(owner: Person, notified: list[str]) -> None:
    root = owner.get("/js/graph_active_get").json()["jid"]
    task_id = start(owner, "echo", {"value": {"a": 1}})
    assert labour() == 1
    shown = check(owner, task_id)
    assert shown == {
        "state": "SUCCESS",
        "result": {"success": True, "report": [{"a": 1}], "final_node": root, "yielded": False},
        "started_at": shown["started_at"],
        "finished_at": shown["finished_at"],
    }
    assert owner.get("/js/walker_queue", {"task_id": task_id}).json() == shown
    assert owner.get("/js/walker_queue_wait", {"task_id": task_id}).json() == shown
    assert owner.get(f"/js/walker_queue?task_id=urn:uuid:{task_id}").json() == shown


def test_a_failing_run_says_why_and_leaves_the_graph_as_it_was(owner: Person, notified: list[str]) -> None:
    with installed(Grow):
        task_id = start(owner, "grow", {"fails": True})
        assert labour() == 1
    shown = check(owner, task_id)
    assert shown["state"] == "FAILURE"
    assert shown["error"].items() >= {"type": "ValueError", "message": "It broke."}.items()
    assert shown["result"].items() >= {"success": False, "report": ["grew"]}.items()
    assert not Node.objects.filter(kind="leaf").exists()


def test_the_effect_and_the_end_are_one_commit(owner: Person, notified: list[str]) -> None:
    """Another attempt has the run when the walk is over: the effect is undone with the ending."""

    class Stolen(Walker):
        def visit(self, here: Place) -> None:
            here.spawn("leaf")
            steal = threading.Thread(target=take_away)
            steal.start()
            steal.join()

    def take_away() -> None:
        Run.objects.update(attempt=7)
        connection.close()

    with installed(Stolen):
        task_id = start(owner, "stolen")
        labour()
    assert check(owner, task_id)["state"] == "STARTED"
    assert not Node.objects.filter(kind="leaf").exists()


def test_a_walker_that_is_not_atomic_keeps_what_it_did(owner: Person, notified: list[str]) -> None:
    class Slow(Grow):
        atomic = False

    with installed(Slow):
        start(owner, "slow", {"fails": True})
        start(owner, "slow")
        assert labour() == 2
    assert Node.objects.filter(kind="leaf").count() == 2
    assert sorted(Run.objects.values_list("state", flat=True)) == ["FAILURE", "SUCCESS"]


def test_a_walker_may_ask_to_be_tried_again(owner: Person, notified: list[str]) -> None:
    class Later(Walker):
        def visit(self, here: Place) -> None:
            raise Unavailable("Not now.")

    with installed(Later):
        task_id = start(owner, "later")
        labour()
    assert (
        check(owner, task_id).items()
        >= {"state": "RETRY", "error": {"type": "Unavailable", "message": "Not now."}}.items()
    )


def test_a_walk_knows_whose_it_is_and_has_no_request(owner: Person, notified: list[str]) -> None:
    class Who(Walker):
        def visit(self, here: Place) -> None:
            self.report([self.caller.email, self.request, self.caller.is_staff])

    with installed(Who):
        task_id = start(owner, "who")
        labour()
    assert check(owner, task_id)["result"]["report"] == [["owner@example.com", None, False]]


def test_progress_is_told(owner: Person, notified: list[str]) -> None:
    task_id = start(owner, "pause", {"seconds": 0, "steps": 4})
    labour()
    assert check(owner, task_id)["progress"] == {"done": 4, "total": 4, "message": "awake"}


def test_the_status_of_a_background_walk_stands_in_its_result(owner: Person, notified: list[str]) -> None:
    class Made(Walker):
        def visit(self, here: Place) -> None:
            self.status = 201

    with installed(Made):
        task_id = start(owner, "made")
        labour()
    assert check(owner, task_id)["result"]["status"] == 201


def test_a_walker_that_is_gone_or_has_changed_fails_the_run(owner: Person, notified: list[str]) -> None:
    class Changed(Walker):
        name = "grow"
        other: int

        def visit(self, here: Place) -> None:
            """Nothing."""

    with installed(Grow):
        task_ids = [start(owner, "grow") for _ in range(2)]
    with installed(Changed):
        assert labour() == 2
    assert [check(owner, task_id)["error"]["type"] for task_id in task_ids] == ["Rejected"] * 2
    with installed(Grow):
        task_ids = [start(owner, "grow") for _ in range(2)]
    assert labour() == 2
    assert [check(owner, task_id)["error"]["type"] for task_id in task_ids] == ["NotFound"] * 2


def test_a_node_that_is_gone_fails_the_run_that_needs_it(owner: Person, notified: list[str]) -> None:
    with installed(Grow):
        task_id = start(owner, "grow")
        owner.post("/js/graph_delete", {"gph": "active:graph"})
        labour()
    assert check(owner, task_id)["error"]["type"] == "NotFound"


def test_a_run_of_echo_costs_few_queries(
    owner: Person, notified: list[str], django_assert_max_num_queries: Any
) -> None:
    start(owner, "echo")
    labour()  # the first in a session prepares the statements
    start(owner, "echo")
    with django_assert_max_num_queries(7):  # claim; begin, savepoint, end, release, commit; claim again
        assert labour() == 1


# Files


def send(person: Person, *contents: bytes, **more: Any) -> Any:
    uploads = [SimpleUploadedFile(f"{index}.txt", content, "text/plain") for index, content in enumerate(contents)]
    fields = {"name": "weigh", "is_async": "true", "photo": uploads}
    return person.post(RUN, fields, content_type=MULTIPART_CONTENT, **more)


class Weigh(Walker):
    def visit(self, here: Place) -> None:
        for file in self.files.getlist("photo"):
            self.report(
                [file.name, file.content_type, file.size, file.read().decode(), b"".join(file.chunks()).decode()]
            )


@pytest.fixture
def weighing() -> Iterator[None]:
    with installed(Weigh):
        yield


@pytest.mark.usefixtures("weighing")
def test_files_reach_the_worker_through_the_storage(owner: Person, notified: list[str], tmp_path: Path) -> None:
    task_id = send(owner, b"one", b"two" * 1000).json()["task_id"]
    rows = list(RunFile.objects.order_by("pk"))
    assert [(str(row.run_id), row.field, row.name, row.size) for row in rows] == [
        (task_id, "photo", "0.txt", 3),
        (task_id, "photo", "1.txt", 3000),
    ]
    assert rows[0].sha256 == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.stat().st_mode & 0o777 for path in stored) == [0o600, 0o600]
    labour()
    assert check(owner, task_id)["result"]["report"] == [
        ["0.txt", "text/plain", 3, "one", "one"],
        ["1.txt", "text/plain", 3000, "two" * 1000, "two" * 1000],
    ]


@pytest.mark.usefixtures("weighing")
def test_files_without_a_worker_are_read_too(owner: Person) -> None:
    assert send(owner, b"one").json()["result"]["report"][0][3] == "one"


@pytest.mark.usefixtures("weighing")
def test_a_retry_reads_the_same_files_and_the_last_run_takes_them_along(
    owner: Person, notified: list[str], tmp_path: Path
) -> None:
    task_id = send(owner, b"one").json()["task_id"]
    labour()
    again = owner.post(f"/runs/{task_id}/retry").json()["id"]
    labour()
    assert check(owner, again)["result"]["report"][0][3] == "one"
    run_files.remove_files([UUID(task_id)])
    assert Path(default_storage.path(RunFile.objects.get().path)).read_bytes() == b"one"
    run_files.remove_files([UUID(again)])
    assert not RunFile.objects.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("weighing")
def test_old_runs_take_their_files_along(owner: Person, notified: list[str], tmp_path: Path) -> None:
    send(owner, b"one")
    labour()
    RunFile.objects.update(run=None)
    long_ago = timezone.now() - timedelta(days=400)
    Run.objects.update(id=oldest_id(long_ago), finished_at=long_ago)
    RunFile.objects.update(run=Run.objects.get())
    queue.prune()
    assert not RunFile.objects.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("weighing")
def test_a_call_that_is_refused_leaves_no_file(
    owner: Person, notified: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(owner, b"x", headers={"Idempotency-Key": "\x07"}).status_code == 400
    fields = {"name": "echo", "is_async": "true", "x" * 201: SimpleUploadedFile("a", b"b")}
    assert owner.post(RUN, fields, content_type=MULTIPART_CONTENT).status_code == 400

    def full(**_: Any) -> Any:
        raise OSError("No space left on device")

    monkeypatch.setattr("walkers.http.calls.walker_runs.create_run", full)
    assert send(owner, b"x").status_code == 500
    assert not RunFile.objects.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_a_dead_process_left_is_removed_later(tmp_path: Path) -> None:
    """It died between the file and the run."""
    upload = SimpleUploadedFile("a", b"b")
    (fresh,) = run_files.store_files(MultiValueDict({"f": [upload]}))
    (old,) = run_files.store_files(MultiValueDict({"f": [upload]}))
    RunFile.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=2))
    run_files.remove_abandoned()
    assert list(RunFile.objects.all()) == [fresh]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


# Looking and cancelling


def test_an_id_that_was_never_issued_or_is_anothers_is_not_found(
    owner: Person, stranger: Person, notified: list[str]
) -> None:
    mine = start(owner, "echo")
    for call in ("walker_queue", "walker_queue_check", "walker_queue_wait", "walker_queue_cancel"):
        for task_id in (str(uuid4()), "garbage", "", "a" * 3000, "urn:uuid:x"):
            assert owner.post(f"/js/{call}", {"task_id": task_id}).status_code == 404, (call, task_id)
        assert stranger.post(f"/js/{call}", {"task_id": mine}).status_code == 404
    assert check(owner, mine) == {"state": "PENDING"}


def test_staff_see_and_cancel_all(owner: Person, colleague: Person, notified: list[str]) -> None:
    task_id = start(owner, "echo")
    assert check(colleague, task_id) == {"state": "PENDING"}
    assert colleague.post("/js/walker_queue_cancel", {"task_id": task_id}).json()["state"] == "REVOKED"


def test_a_cancelled_run_never_starts(owner: Person, notified: list[str]) -> None:
    with installed(Grow):
        task_id = start(owner, "grow")
        cancelled = owner.post("/js/walker_queue_cancel", {"task_id": task_id})
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "REVOKED")
        assert labour() == 0
    assert check(owner, task_id)["state"] == "REVOKED"
    again = owner.post("/js/walker_queue_cancel", {"task_id": task_id})
    assert (again.status_code, again.json()["state"]) == (409, "REVOKED")


def test_a_wait_answers_with_the_state_when_the_time_is_up(owner: Person, notified: list[str]) -> None:
    task_id = start(owner, "echo")
    assert owner.get("/js/walker_queue_wait", {"task_id": task_id, "timeout": 0}).json() == {"state": "PENDING"}
    assert owner.get("/js/walker_queue_wait", {"task_id": task_id, "timeout": 0.05}).json() == {"state": "PENDING"}
    for timeout in (-1, 301, "x", "nan", "inf"):
        assert owner.get("/js/walker_queue_wait", {"task_id": task_id, "timeout": timeout}).status_code == 400, timeout
    assert owner.get("/js/walker_queue_wait").status_code == 400


def test_what_has_not_ended_is_listed_by_worker(
    owner: Person, stranger: Person, colleague: Person, notified: list[str]
) -> None:
    worker_heartbeat.say_alive(name="walkers@one", queues=["walkers"])
    worker_heartbeat.say_alive(name="sequences@one", queues=["sequences"])
    worker_heartbeat.say_alive(name="walkers@two", queues=["walkers"])
    Worker.objects.create(name="walkers@dead", queues=["walkers"], pid=1, seen_at=timezone.now() - timedelta(hours=1))
    idle: dict[str, list[Any]] = {"celery@one": [], "celery@two": []}
    assert owner.get("/js/walker_queue").json() == {"scheduled": idle, "active": idle, "reserved": idle}

    running, waiting = start(owner, "echo"), start(owner, "echo")
    delayed = start(owner, "echo", run_at=(timezone.now() + timedelta(hours=1)).isoformat())
    queue.claim_this(run_id=UUID(running), worker="walkers@two:77")
    shown = owner.get("/js/walker_queue_check").json()
    ids = {part: {host: [one["id"] for one in entries] for host, entries in shown[part].items()} for part in shown}
    assert ids == {
        "scheduled": {"celery@one": [delayed], "celery@two": []},
        "active": {"celery@one": [], "celery@two": [running]},
        "reserved": {"celery@one": [waiting], "celery@two": []},
    }
    entry = shown["scheduled"]["celery@one"][0]
    assert entry.keys() == {"id", "task_id", "name", "kind", "state", "created_at", "eta"}
    assert shown["active"]["celery@two"][0]["state"] == "STARTED"
    assert stranger.get("/js/walker_queue").json() == {"scheduled": idle, "active": idle, "reserved": idle}
    assert colleague.get("/js/walker_queue").json() == shown


def test_what_waits_without_a_worker_is_shown_too(owner: Person, notified: list[str]) -> None:
    task_id = start(owner, "echo")
    shown = owner.get("/js/walker_queue").json()
    assert [one["id"] for one in shown["reserved"]["celery@unassigned"]] == [task_id]
    Run.objects.update(kind="removed")
    assert [one["kind"] for one in owner.get("/js/walker_queue").json()["reserved"]["celery@unassigned"]] == ["removed"]
    assert (shown["active"], shown["scheduled"]) == ({}, {})


# Sent twice


def test_the_same_submission_again_is_the_same_task(owner: Person, notified: list[str]) -> None:
    body, headers = {"name": "echo", "is_async": True}, {"Idempotency-Key": "k1"}
    first, again = (owner.post(RUN, body, headers=headers) for _ in range(2))
    assert (again.status_code, again.json(), again["Location"]) == (202, first.json(), first["Location"])
    assert again["Idempotency-Replayed"] == "true"
    assert notified == [first.json()["task_id"]]
    assert Run.objects.count() == 1


def test_the_answer_of_a_walk_that_ran_at_once_is_kept(owner: Person) -> None:
    body, headers = {"name": "echo", "ctx": {"value": 1}, "is_async": True}, {"Idempotency-Key": "k1"}
    first, again = (owner.post(RUN, body, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()["is_queued"]) == (200, False)
    assert (again.status_code, again.json()) == (200, first.json())
    assert Run.objects.count() == 1
    body = {"name": "fail", "is_async": True}
    failed, again = (owner.post(RUN, body, headers={"Idempotency-Key": "k2"}) for _ in range(2))
    assert (again.status_code, again.json()) == (failed.status_code, failed.json()) == (422, failed.json())


def test_graphs_are_created_once_with_a_key(owner: Person) -> None:
    first, again = (owner.post("/js/graph_create", {}, headers={"Idempotency-Key": "g"}) for _ in range(2))
    assert first.json() == again.json()
    assert Graph.objects.count() == 1
