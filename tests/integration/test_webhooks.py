"""Webhooks: who is told, what, signed how; what is tried again; what is on record."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from taskhub.runs import queue as runs
from taskhub.runs.domain import State
from taskhub.runs.health import worker_heartbeat
from taskhub.runs.models import Run
from taskhub.runs.queue.queue_states import seconds_untaken
from taskhub.runs.queue.webhook_events import WEBHOOK, address_of, submit_delivery
from taskhub.runs.queue.worker_process import work
from taskhub.runs.webhooks.models import DeliveryAttempt, WebhookSecret
from taskhub.runs.webhooks.services import perform_delivery
from tests.conftest import Person
from tests.extraction_sites import Reply, Site, serving
from walkers.walks.walk_execution import perform_walk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["loopback"]


@pytest.fixture
def receiver() -> Iterator[Site]:
    with serving() as site:
        site.pages["/hook"] = Reply("thank you")
        yield site


def echo(person: Person, url: str) -> str:
    """The id of a walker's run in the background whose end is told there."""
    sent = {"name": "echo", "ctx": {"value": "hello"}, "run_at": "2030-01-01T00:00:00Z", "webhook": url}
    answer = person.post("/js/walker_run", sent)
    assert answer.status_code == 202, answer.content
    return str(answer.json()["task_id"])


def finish(run_id: str, result: Any = None) -> None:
    with transaction.atomic():
        runs.finish_detached(run_id=UUID(run_id), state=State.SUCCESS, result=result)


def due(run_id: str) -> None:
    Run.objects.filter(pk=run_id).update(not_before=timezone.now())
    runs.sweep()


def sent(count: int = 1) -> None:
    assert work(WEBHOOK, perform_delivery, node="webhooks@test") == count


def deliveries(person: Person, **query: str) -> list[dict[str, Any]]:
    answer = person.get("/webhooks/deliveries", query)
    assert answer.status_code == 200, answer.content
    return list(answer.json()["results"])


def whole(person: Person, delivery: dict[str, Any]) -> dict[str, Any]:
    return dict(person.get(f"/webhooks/deliveries/{delivery['id']}").json())


def secret(person: Person) -> str:
    return str(person.get("/webhooks/secret").json()["current"]["secret"])


def verified(site: Site, key: str, path: str = "/hook") -> dict[str, Any]:
    headers = {name.lower(): value for name, value in site.seen[path].items()}
    return dict(Webhook(key).verify(site.bodies[path], headers))


def test_the_end_of_a_run_is_told_and_signed(owner: Person, receiver: Site) -> None:
    run_id = echo(owner, f"{receiver.url}/hook")
    assert deliveries(owner) == []
    finish(run_id, {"report": ["hello"]})
    sent()
    told = verified(receiver, secret(owner))
    assert told["type"] == "run.finished"
    assert told["data"] | {"id": run_id, "state": "SUCCESS", "result": {"report": ["hello"]}} == told["data"]
    assert receiver.seen["/hook"]["Content-Type"] == "application/json"
    [delivery] = deliveries(owner, run=run_id)
    assert delivery["state"] == "SUCCESS"
    assert receiver.seen["/hook"]["webhook-id"] == delivery["message"]
    [attempt] = whole(owner, delivery)["attempts"]
    assert attempt | {"number": 1, "status": 200, "error": "", "answer": "thank you"} == attempt


def test_a_run_that_fails_or_is_cancelled_is_told_too(owner: Person, receiver: Site) -> None:
    run_id = echo(owner, f"{receiver.url}/hook")
    assert owner.post(f"/runs/{run_id}/cancel").status_code == 200
    sent()
    assert verified(receiver, secret(owner))["data"]["state"] == "REVOKED"


def test_who_waits_is_not_told_as_well(owner: Person, receiver: Site) -> None:
    answer = owner.post("/js/walker_run", {"name": "echo", "webhook": f"{receiver.url}/hook"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/webhook")


def test_what_is_taken_back_is_not_told(owner: Person, receiver: Site) -> None:
    run_id = echo(owner, f"{receiver.url}/hook")
    path = f"/runs/{run_id}/webhook"
    assert owner.get(f"/runs/{run_id}").json()["webhook"] == f"{receiver.url}/hook"
    assert owner.delete(path).status_code == 204
    finish(run_id)
    sent(0)
    assert owner.call("PUT", path, {"url": f"{receiver.url}/hook"}).status_code == 409


def test_a_webhook_that_is_set_while_the_run_goes_on(owner: Person, receiver: Site) -> None:
    """The worker that has the run does not know of it."""
    run_id = echo(owner, "")
    put = owner.call("PUT", f"/runs/{run_id}/webhook", {"url": f"{receiver.url}/hook"})
    assert (put.status_code, put.json()) == (200, {"url": f"{receiver.url}/hook"})
    due(run_id)
    assert work("walker", perform_walk, node="walkers@test") == 1
    sent()
    assert verified(receiver, secret(owner))["data"]["id"] == run_id


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://10.0.0.1/", "http://user:pass@/", "nowhere", "http://[::ffff:10.0.0.1]/"]
)
def test_addresses_that_are_never_called_are_refused_at_once(owner: Person, url: str) -> None:
    for answer in (
        owner.post("/js/walker_run", {"name": "echo", "is_async": True, "webhook": url}),
        owner.post("/webhooks/test", {"url": url}),
    ):
        assert answer.status_code == 400, answer.content
    assert not Run.objects.exists()


def test_a_test_is_sent_to_somebody(owner: Person) -> None:
    answer = owner.post("/webhooks/test", {"url": ""})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/url")
    assert not Run.objects.exists()


def test_a_delivery_to_nobody_hides_no_others(owner: Person) -> None:
    """An older version took it."""
    submit_delivery(owner=owner.user, url="", event="webhook.test", data={})
    assert [delivery["url"] for delivery in owner.get("/webhooks/deliveries").json()["results"]] == [""]


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500, 503])
def test_what_is_no_success_is_tried_again_later(owner: Person, receiver: Site, status: int) -> None:
    receiver.pages["/hook"] = lambda path, before: Reply("no", status if before < 2 else 204, {"Location": "/other"})
    delivery = owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"}).json()
    for attempt in (1, 2):
        sent()
        shown = whole(owner, delivery)
        assert (shown["state"], shown["attempt"]) == ("RETRY", attempt)
        assert shown["next_attempt_at"]
        assert shown["attempts"][-1]["status"] == status
        assert str(status) in shown["attempts"][-1]["error"]
        due(delivery["id"])
    sent()
    shown = whole(owner, delivery)
    assert (shown["state"], len(shown["attempts"])) == ("SUCCESS", 3)
    assert receiver.hits["/other"] == 0  # redirects are not followed


@pytest.mark.parametrize(
    ("status", "said", "seconds"),
    [
        (429, "60", 60),
        (503, "60", 60),
        (503, "1", 5),  # sooner than it would be tried again anyway
        (500, "60", 5),  # it says nothing of when this one ends
        (429, "soon", 5),
        (429, "9" * 400, 5),
        (503, "99999999", 24 * 3600),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT", 24 * 3600),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 5),
    ],
)
def test_a_receiver_that_asks_for_a_pause_gets_it(
    owner: Person, receiver: Site, status: int, said: str, seconds: int
) -> None:
    receiver.pages["/hook"] = Reply("later", status, {"Retry-After": said})
    owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"})
    sent()
    run = Run.objects.get(kind=WEBHOOK)
    assert run.state == "RETRY"
    assert run.not_before
    pause = (run.not_before - timezone.now()).total_seconds()
    assert seconds - 3 < pause <= seconds


def test_headers_that_are_too_many_are_tried_again(owner: Person, receiver: Site) -> None:
    large = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(400))
    receiver.pages["/hook"] = Reply(raw=b"HTTP/1.1 200 OK\r\n" + large + b"\r\n")
    owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"})
    sent()
    assert Run.objects.get(kind=WEBHOOK).state == "RETRY"


def test_interim_answers_are_no_answers(owner: Person, receiver: Site) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    receiver.pages["/hook"] = Reply(raw=interim * 3 + b"HTTP/1.1 204 No Content\r\n\r\n")
    owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"})
    sent()
    run = Run.objects.get(kind=WEBHOOK)
    assert (run.state, run.result) == ("SUCCESS", {"status": 204})


def test_a_receiver_gets_one_delivery_at_a_time(owner: Person, stranger: Person) -> None:
    """An address of an owner: others have others, and another's backlog holds up nobody."""
    worker_heartbeat.say_alive(name="w@here", queues=["webhooks"], processes=range(20))
    for person, path in ((owner, "a"), (owner, "a"), (owner, "b"), (stranger, "a")):
        person.post("/webhooks/test", {"url": f"http://127.0.0.1:9/{path}"})

    def claim() -> Run | None:
        return runs.claim(kind=WEBHOOK, worker="w@here:1", after=UUID(int=0))

    claimed = list(iter(claim, None))
    assert sorted((str(run.owner_id), address_of(run)[-1]) for run in claimed) == sorted(
        [(str(owner.user.pk), "a"), (str(owner.user.pk), "b"), (str(stranger.user.pk), "a")]
    )
    assert "127.0.0.1" not in "".join(run.alone_as for run in claimed)
    Run.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert seconds_untaken(["webhooks"])["webhooks"] == 0  # the one that waits can be taken by nobody
    runs.schedule_retry(run=next(run for run in claimed if run.owner_id == owner.user.pk), error={}, seconds=9)
    assert seconds_untaken(["webhooks"])["webhooks"] > 3000
    assert (following := claim())
    assert address_of(following)[-1] == "a"
    assert claim() is None


def test_410_stops(owner: Person, receiver: Site) -> None:
    receiver.pages["/hook"] = Reply("gone", 410)
    delivery = owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"}).json()
    sent()
    shown = whole(owner, delivery)
    assert (shown["state"], shown["error"]["type"]) == ("FAILURE", "Gone")
    assert shown["attempts"][0]["status"] == 410


def test_nobody_there_is_tried_again_and_at_last_given_up(owner: Person) -> None:
    delivery = owner.post("/webhooks/test", {"url": "http://127.0.0.1:9/"}).json()
    sent()
    shown = whole(owner, delivery)
    assert (shown["state"], shown["attempts"][0]["status"]) == ("RETRY", None)
    assert shown["attempts"][0]["error"]
    Run.objects.filter(pk=delivery["id"]).update(attempt=7, failures=7)
    due(delivery["id"])
    sent()
    assert whole(owner, delivery)["state"] == "FAILURE"


def test_a_slow_receiver_is_left_and_a_large_answer_not_read(owner: Person, receiver: Site, settings: Any) -> None:
    settings.WEBHOOK_SECONDS = 1
    receiver.pages["/hook"] = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 2000)
    delivery = owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"}).json()
    sent()
    shown = whole(owner, delivery)
    assert shown["state"] == "SUCCESS"
    assert len(shown["attempts"][0]["answer"]) <= 1000


def test_send_again_keeps_the_message(owner: Person, receiver: Site) -> None:
    first = owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"}).json()
    assert owner.post(f"/webhooks/deliveries/{first['id']}/send").status_code == 409  # it goes on
    sent()
    answer = owner.post(f"/webhooks/deliveries/{first['id']}/send", headers={"Idempotency-Key": "a"})
    same = owner.post(f"/webhooks/deliveries/{first['id']}/send", headers={"Idempotency-Key": "a"})
    assert (answer.status_code, answer.json()["again"]) == (202, first["id"])
    assert same.json() == answer.json()
    sent()
    assert receiver.hits["/hook"] == 2
    assert receiver.seen["/hook"]["webhook-id"] == first["message"]
    assert [one["event"] for one in deliveries(owner, event="webhook.test")] == ["webhook.test"] * 2


def test_secrets_rotate(owner: Person, receiver: Site) -> None:
    first = secret(owner)
    assert secret(owner) == first
    rotated = owner.post("/webhooks/secret/rotate").json()
    second = rotated["current"]["secret"]
    assert [one["secret"] for one in rotated["retiring"]] == [first]
    assert first != second
    owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"})
    sent()
    assert verified(receiver, first) == verified(receiver, second)
    third = owner.post("/webhooks/secret/rotate", {"keep_hours": 0}).json()["current"]["secret"]
    owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"})
    sent()
    with pytest.raises(WebhookVerificationError):
        verified(receiver, second)
    assert verified(receiver, third)
    assert owner.post("/webhooks/secret/rotate", {"keep_hours": -1}).status_code == 400


def test_secrets_are_encrypted_and_each_users_own(owner: Person, stranger: Person, colleague: Person) -> None:
    mine = secret(owner)
    assert mine not in {secret(stranger), secret(colleague)}
    stored = WebhookSecret.objects.filter(owner=owner.user).extra(select={"raw": "value"}).values_list("raw", flat=True)
    assert mine.removeprefix("whsec_") not in str(list(stored))


def test_deliveries_are_their_owners(owner: Person, stranger: Person, colleague: Person, receiver: Site) -> None:
    delivery = owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"}).json()
    sent()
    assert deliveries(stranger) == []
    assert stranger.get(f"/webhooks/deliveries/{delivery['id']}").status_code == 404
    assert stranger.post(f"/webhooks/deliveries/{delivery['id']}/send").status_code == 404
    assert [one["id"] for one in deliveries(colleague)] == [delivery["id"]]
    other = echo(owner, "")
    assert owner.get(f"/webhooks/deliveries/{other}").status_code == 404  # a run, and no delivery
    assert owner.call("PUT", f"/runs/{delivery['id']}/webhook", {"url": receiver.url}).status_code == 409


def test_attempts_go_with_their_delivery(owner: Person, receiver: Site) -> None:
    owner.post("/webhooks/test", {"url": f"{receiver.url}/hook"})
    sent()
    assert DeliveryAttempt.objects.count() == 1
    runs.remove_runs_of(owner.user.pk)
    assert DeliveryAttempt.objects.count() == 0


def test_sequences_tell_their_end(colleague: Person, receiver: Site) -> None:
    sequence = {"requests": [{"method": "GET", "url": f"{receiver.url}/hook"}]}
    refused = colleague.post("/sequences/runs?webhook=http://10.0.0.1/", sequence)
    assert refused.status_code == 400
    run_id = colleague.post(f"/sequences/runs?webhook={receiver.url}/hook", sequence).json()["id"]
    finish(run_id, {"a": 1})
    sent()
    assert json.loads(receiver.bodies["/hook"])["data"]["result"] == {"a": 1}
