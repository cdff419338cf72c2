"""`/runs` and Idempotency-Key through HTTP, with a kind of run of its own."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.http import HttpResponseBase
from django.test import Client
from django.urls import clear_url_caches, path
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub import urls as roof
from taskhub.accounts.browser_sessions import end_sessions
from taskhub.accounts.models import ApiKey, User
from taskhub.accounts.roles import assign_role
from taskhub.accounts.services import create_key, sign_out_everywhere
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import Rejected
from taskhub.runs import queue, run_kinds, waits
from taskhub.runs.idempotency import answer_once
from taskhub.runs.models import IdempotencyRecord, Run
from taskhub.runs.queue.execution import Execution
from taskhub.runs.queue.worker_process import work
from taskhub.web.front.responses import DeferredResponse
from tests import deferred_responses
from tests.conftest import Person, make_person
from tests.probe_kind import ProbeKind

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    run_kinds.register(ProbeKind())
    yield
    del run_kinds._kinds["probe"]


def submit(person: Person, **options: Any) -> Run:
    fields = {"kind": "probe", "name": "probe", "arguments": {"word": "hello"}} | options
    return queue.submit(owner=person.user, **fields)


def say(execution: Execution) -> None:
    with transaction.atomic():
        execution.succeed({"said": execution.run.arguments["word"]})


def test_a_list_shows_ones_own_runs_newest_first_and_staff_all(
    owner: Person, stranger: Person, colleague: Person
) -> None:
    first, second = submit(owner), submit(owner)
    foreign = submit(stranger)
    assert [run["id"] for run in owner.get("/runs").json()["results"]] == [str(second.pk), str(first.pk)]
    assert [run["id"] for run in stranger.get("/runs").json()["results"]] == [str(foreign.pk)]
    assert len(colleague.get("/runs").json()["results"]) == 3
    listed = owner.get("/runs").json()["results"][0]
    assert "result" not in listed
    assert "arguments" not in listed


def test_a_list_is_paged_by_cursor(owner: Person, settings: Any) -> None:
    ids = [str(submit(owner).pk) for _ in range(5)]
    seen, address = [], "/runs?limit=2"
    while address:
        page = owner.get(address).json()
        seen += [run["id"] for run in page["results"]]
        assert page["next"] is None or page["next"].startswith(settings.PUBLIC_URL)
        address = (page["next"] or "").removeprefix(settings.PUBLIC_URL)
    assert seen == ids[::-1]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1e3"])
def test_a_limit_that_is_none_is_refused(owner: Person, limit: str) -> None:
    answer = owner.get(f"/runs?limit={limit}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/limit"


def test_a_key_in_the_query_is_not_in_the_links(owner: Person) -> None:
    for _ in range(2):
        submit(owner)
    key = owner.post("/user/apikey").json()["key"]
    page = Person().get(f"/runs?limit=1&api_key={key}").json()
    assert page["next"]
    assert key not in json.dumps(page)


def test_a_list_is_filtered(owner: Person) -> None:
    old = submit(owner, name="other")
    parent = submit(owner)
    child = submit(owner, parent=parent)
    fired = submit(owner, schedule="nightly", due_at=timezone.now())
    Run.objects.filter(pk=fired.pk).update(state="FAILURE", ready=False, finished_at=timezone.now())
    queue.cancel(run=old)

    def found(query: str) -> list[str]:
        return [run["id"] for run in owner.get(f"/runs?{query}").json()["results"]]

    tomorrow = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found("state=revoked") == [str(old.pk)]
    for several in ("state=REVOKED,PENDING", "state=REVOKED&state=PENDING", "state=revoked&state=PENDING,RETRY"):
        assert len(found(several)) == 3
    assert found("name=other") == [str(old.pk)]
    assert found("schedule=nightly") == [str(fired.pk)]
    assert found(f"parent={parent.pk}") == [str(child.pk)]
    assert found("kind=walker") == found("kind=walker&kind=sequence") == []
    assert len(found("kind=walker&kind=probe")) == len(found("kind=walker,probe")) == 4
    for later in (tomorrow, tomorrow.lower(), tomorrow.replace("Z", ".123456789%2B00:00"), tomorrow[:10]):
        assert found(f"since={later}") == []
    assert len(found(f"until={tomorrow}&kind=probe")) == 4


@pytest.mark.parametrize("moment", ["1900-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_times_before_the_first_id_are_times(owner: Person, moment: str) -> None:
    run = submit(owner)
    assert [one["id"] for one in owner.get(f"/runs?since={moment}").json()["results"]] == [str(run.pk)]
    assert owner.get(f"/runs?until={moment}").json()["results"] == []


@pytest.mark.parametrize(
    "query",
    [
        "state=DONE",
        "until=",
        "state=",
        "parent=7",
        "since=yesterday",
        "until=2026-13-01",
        "name=a%00b",
        "stat=FAILURE",
        "state=SUCCESS&state=DONE",
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(owner: Person, query: str) -> None:
    answer = owner.get(f"/runs?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


def test_a_run_is_shown_whole_with_secrets_masked(owner: Person, stranger: Person, anonymous: Person) -> None:
    run = submit(owner, arguments={"word": "hi", "password": "canary-one", "headers": {"Authorization": "canary-two"}})
    work("probe", say, node="w@here")
    shown = owner.get(f"/runs/{run.pk}").json()
    assert (shown["state"], shown["result"], shown["attempt"]) == ("SUCCESS", {"said": "hi"}, 1)
    assert shown["arguments"]["word"] == "hi"
    assert "canary" not in json.dumps(shown)
    assert stranger.get(f"/runs/{run.pk}").status_code == 404
    assert anonymous.get(f"/runs/{run.pk}").status_code == 401
    assert owner.get(f"/runs/{uuid4()}").status_code == 404


def test_cancel(owner: Person, stranger: Person) -> None:
    run = submit(owner)
    assert stranger.post(f"/runs/{run.pk}/cancel").status_code == 404
    assert owner.post(f"/runs/{run.pk}/cancel").json()["state"] == "REVOKED"
    again = owner.post(f"/runs/{run.pk}/cancel")
    assert (again.status_code, again.json()["state"]) == (409, "REVOKED")


def test_retry(owner: Person) -> None:
    run = submit(owner)
    assert owner.post(f"/runs/{run.pk}/retry").status_code == 409
    owner.post(f"/runs/{run.pk}/cancel")
    answer = owner.post(f"/runs/{run.pk}/retry")
    assert answer.status_code == 202
    assert answer["Location"] == f"/runs/{answer.json()['id']}"
    assert answer.json()["retry_of"] == str(run.pk)
    assert [r["id"] for r in owner.get(f"/runs?retry_of={run.pk}").json()["results"]] == [answer.json()["id"]]


def test_events_show_the_run_and_its_end(owner: Person, stranger: Person) -> None:
    run = submit(owner)
    assert stranger.get(f"/runs/{run.pk}/events").status_code == 404
    stream = owner.get(f"/runs/{run.pk}/events", headers={"Accept": "text/event-stream"})
    assert stream["Content-Type"] == "text/event-stream"
    chunks = iter(stream.streaming_content)
    first = _event(next(chunks))
    threading.Thread(target=_work_elsewhere).start()
    events = [first, *(_event(chunk) for chunk in chunks if not chunk.startswith(b":"))]
    assert events[0]["data"]["state"] == "PENDING"
    assert events[-1]["data"]["state"] == "SUCCESS"
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})


ENDS = pytest.mark.parametrize("end", ["session", "token", "key", "account", "role"])


def listener(owner: Person, end: str) -> tuple[Client, dict[str, str], Callable[[], object]]:
    """A client and headers by which somebody listens, and what ends that."""
    client, headers = Client(), dict(owner.headers)
    match end:
        case "session":
            client.force_login(owner.user)
            return client, {}, lambda: end_sessions(user=owner.user)
        case "token":
            return client, headers, lambda: sign_out_everywhere(user=owner.user)
        case "key":
            return client, {"X-API-Key": create_key(user=owner.user)[1]}, ApiKey.objects.all().delete
        case "account":
            return client, headers, lambda: User.objects.filter(pk=owner.user.pk).update(is_active=False)
    viewer = make_person("viewer@example.com", role="viewer")
    return client, viewer.headers, lambda: assign_role(viewer.user, None)


@ENDS
def test_events_end_with_what_they_were_opened_with(owner: Person, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "ADMITTED_SECONDS", 0)
    monkeypatch.setattr(waits, "KEEP_ALIVE_SECONDS", 0)
    client, headers, end_it = listener(owner, end)
    stream: Any = client.get(f"/runs/{submit(owner).pk}/events", headers=headers)
    pieces = iter(stream.streaming_content)
    assert [b"PENDING" in next(pieces), next(pieces)] == [True, waits.STILL_HERE]
    end_it()
    assert list(pieces) == [b""]


@ENDS
def test_who_has_waited_is_refused_once_what_he_came_with_has_ended(
    owner: Person, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, headers, end_it = listener(owner, end)

    def finish(response: DeferredResponse) -> HttpResponseBase:
        end_it()
        answer = response.answer(True)
        assert answer is not None
        return response.dress(answer)

    monkeypatch.setattr(deferred_responses, "finish", finish)
    query = {"task_id": str(submit(owner).pk), "timeout": "9"}
    assert client.get("/js/walker_queue_wait", query, headers=headers).status_code == 401


def test_events_of_an_ended_run_show_it_once(owner: Person) -> None:
    run = submit(owner)
    work("probe", say, node="w@here")
    stream = owner.get(f"/runs/{run.pk}/events", headers={"Last-Event-ID": "1"})
    (event,) = [_event(chunk) for chunk in stream.streaming_content]
    assert event["data"]["state"] == "SUCCESS"


def test_who_has_seen_the_end_is_told_not_to_come_again(owner: Person, stranger: Person) -> None:
    run = submit(owner)
    place = f"/runs/{run.pk}/events"
    running = owner.get(place, headers={"Last-Event-ID": str(run.revision)})
    assert running.status_code == 200
    running.close()
    work("probe", say, node="w@here")
    (end,) = [_event(chunk) for chunk in owner.get(place).streaming_content]
    told = owner.get(place, headers={"Last-Event-ID": str(end["id"]), "Accept": "text/event-stream"})
    assert (told.status_code, told.content) == (204, b"")
    assert stranger.get(place, headers={"Last-Event-ID": str(end["id"])}).status_code == 404
    for other in ("", "0", f"{end['id']} ", "x"):
        assert owner.get(place, headers={"Last-Event-ID": other}).status_code == 200


def test_too_many_open_waits_are_told_to_come_back(
    owner: Person, stranger: Person, colleague: Person, monkeypatch: Any
) -> None:
    """Two in all, one for each user."""
    monkeypatch.setattr("taskhub.runs.waits._open_waits", FairSemaphore(2, "Too many waits are open."))
    place = f"/runs/{submit(owner).pk}/events"
    first = owner.get(place)
    assert_crowded(owner.get(place))
    assert_crowded(owner.get("/js/walker_queue_wait", {"task_id": place.split("/")[2], "timeout": 9}))
    second = colleague.get(place)
    assert second.status_code == 200
    foreign = f"/runs/{submit(stranger).pk}/events"
    assert_crowded(stranger.get(foreign))
    first.close()
    second.close()
    third = stranger.get(foreign)
    assert third.status_code == 200
    third.close()


def assert_crowded(answer: Any) -> None:
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer.json()["detail"] == "Too many waits are open."


def _event(chunk: bytes) -> dict[str, Any]:
    lines = dict(line.split(": ", 1) for line in chunk.decode().strip().splitlines())
    assert lines["event"] == "run"
    return {"id": int(lines["id"]), "data": json.loads(lines["data"])}


def _work_elsewhere() -> None:
    try:
        work("probe", say, node="w@here")
    finally:
        connection.close()


# Idempotency-Key: a call of its own, so that what it does is counted


class OnceView(APIView):
    done: list[Any] = []

    def post(self, request: Request) -> Response:
        return answer_once(request, dict(request.data), lambda: self._act(request))

    def _act(self, request: Request) -> Response:
        run = queue.submit(kind="probe", owner=request.user, name="once", arguments={})
        if "refuse" in request.data:
            raise Rejected("No.", errors=[{"pointer": "/refuse", "detail": "no"}])
        if "break" in request.data:
            raise RuntimeError("broken")
        return Response({"id": str(run.pk)}, 202, headers={"Location": f"/runs/{run.pk}"})


@pytest.fixture
def once(monkeypatch: Any) -> Iterator[None]:
    monkeypatch.setattr(roof, "urlpatterns", [*roof.urlpatterns, path("once", OnceView.as_view())])
    clear_url_caches()
    yield
    clear_url_caches()


KEY = {"Idempotency-Key": "k-1"}


@pytest.mark.usefixtures("once")
class TestIdempotency:
    def test_the_same_call_again_gets_the_first_answer(self, owner: Person) -> None:
        first = owner.post("/once", {"a": 1, "b": [2]}, headers=KEY)
        second = owner.post("/once", {"b": [2], "a": 1}, headers=KEY)
        assert (second.status_code, second.json(), second["Location"]) == (202, first.json(), first["Location"])
        assert second["Idempotency-Replayed"] == "true"
        assert Run.objects.count() == 1

    def test_without_a_key_each_call_counts(self, owner: Person) -> None:
        assert owner.post("/once").json() != owner.post("/once").json()

    def test_another_request_under_the_same_key_is_422(self, owner: Person) -> None:
        owner.post("/once", {"a": 1}, headers=KEY)
        answer = owner.post("/once", {"a": 2}, headers=KEY)
        assert (answer.status_code, answer.json()["type"]) == (422, "idempotency-key-reused")
        assert answer.json()["title"] == "The key was used before"
        assert Run.objects.count() == 1

    def test_another_user_has_other_keys(self, owner: Person, stranger: Person) -> None:
        first = owner.post("/once", {"a": 1}, headers=KEY)
        assert stranger.post("/once", {"a": 2}, headers=KEY).json() != first.json()

    def test_while_the_first_is_being_accepted_409(self, owner: Person, monkeypatch: Any) -> None:
        entered, leave = threading.Event(), threading.Event()
        act = OnceView._act

        def slow(self: OnceView, request: Request) -> Response:
            entered.set()
            leave.wait(30)
            return act(self, request)

        monkeypatch.setattr(OnceView, "_act", slow)
        first = threading.Thread(target=_call_elsewhere, args=(owner,))
        first.start()
        entered.wait(30)
        second = owner.post("/once", {}, headers=KEY)
        leave.set()
        first.join()
        assert second.status_code == 409
        assert Run.objects.count() == 1

    def test_a_refusal_is_kept_and_its_effect_undone(self, owner: Person) -> None:
        for _ in range(2):
            answer = owner.post("/once", {"refuse": True}, headers=KEY)
            assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
        assert not Run.objects.exists()

    def test_a_fault_of_ours_is_not_kept(self, owner: Person) -> None:
        assert owner.post("/once", {"break": True}, headers=KEY).status_code == 500
        assert not IdempotencyRecord.objects.exists()
        assert not Run.objects.exists()

    def test_a_refusal_that_quotes_what_cannot_be_stored_is_kept_all_the_same(self, owner: Person) -> None:
        form = {"content_type": "application/x-www-form-urlencoded", "headers": KEY}
        answers = [owner.post("/js/graph_create", "a%00b=1", **form) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [400, 400]
        assert answers[1]["Idempotency-Replayed"] == "true"

    def test_after_a_day_the_key_is_free(self, owner: Person) -> None:
        first = owner.post("/once", {}, headers=KEY)
        IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
        assert owner.post("/once", {}, headers=KEY).json() != first.json()

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
    def test_a_key_that_is_none_is_refused(self, owner: Person, key: str) -> None:
        assert owner.post("/once", {}, headers={"Idempotency-Key": key}).status_code == 400


def _call_elsewhere(person: Person) -> None:
    try:
        person.post("/once", {}, headers=KEY)
    finally:
        connection.close()
