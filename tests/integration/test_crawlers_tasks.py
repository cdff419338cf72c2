"""Tasks between the hub and a crawler: the call and its answers, status in both directions, retries, time-outs."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from crawlers.domain import kind_names
from crawlers.models import CrawlerTask
from crawlers.services import crawler_calls, status_updates
from crawlers.services.capabilities import capability_of
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue import cancel, retry, sweep
from taskhub.runs.queue.worker_process import run_now
from taskhub.runs.scheduler.schedules import run_schedule_now
from tests import crawler_client
from tests.conftest import Person
from tests.integration.outbound_servers import Server, answer, redirect, serving
from tests.problems import problem

pytestmark = pytest.mark.django_db(transaction=True)


class Shop:
    """A crawler whose answers a test chooses: `says` is what it answers a task, `told` what it was told later."""

    def __init__(self, start: Any) -> None:
        self.says: bytes = self.accepts(callback="/tasks/7", status=102)
        self.meanwhile: Callable[[], None] = lambda: None
        self.server: Server = start(self._script)
        self.endpoint = f"{self.server.url}/shop"

    @staticmethod
    def accepts(**payload: Any) -> bytes:
        return answer(json.dumps({"success": True, "payload": payload}).encode(), "Content-Type: application/json")

    @property
    def asked(self) -> list[tuple[str, Any]]:
        """First lines of the requests, with their bodies."""
        firsts = [head.split("\r\n")[0].rsplit(" ", 1)[0] for head in self.server.heads]
        return list(zip(firsts, [json.loads(body) for body in self.server.bodies], strict=True))

    def _script(self, server: Server, connection: socket.socket) -> None:
        if server.heads[-1].startswith("PATCH"):
            connection.sendall(answer(b""))
            return
        try:
            self.meanwhile()
        finally:
            database.close()
        connection.sendall(self.says)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with serving() as start:
        yield Shop(start)


class Crawl:
    def __init__(self, owner: Person, shop: Shop, **values: Any) -> None:
        self.owner, self.shop = owner, shop
        made = crawler_client.crawler(
            owner,
            crawler_client.external(owner, shop.endpoint, **values),
            {"query": "shoe", "secret": "canary-pin"},
            **({"credential": {"username": "u", "password": "canary-pw"}} if values.get("credential") else {}),
        )
        self.crawler, self.stream = made["crawler"], made["stream"]
        self.task = CrawlerTask.objects.get(fid=crawler_client.start(owner, self.crawler)["fid"])

    def carry(self) -> Run:
        """As a worker does."""
        self.task.refresh_from_db()
        assert self.task.run_id is not None
        return run_now(Run.objects.get(pk=self.task.run_id), crawler_calls.perform_task)

    def notices(self) -> list[Run]:
        return [
            run_now(run, crawler_calls.perform_notice) for run in Run.objects.filter(kind=kind_names.NOTICE, ready=True)
        ]

    def shown(self) -> dict[str, Any]:
        return crawler_client.task(self.owner, str(self.task.fid))

    def report(self, code: int, **more: Any) -> Any:
        return self.owner.post(f"/actions/tasks/{self.task.fid}/status", {"code": code, **more})

    def run(self) -> dict[str, Any]:
        return dict(self.owner.get(f"/runs/{self.shown()['run']}").json())


@pytest.fixture
def crawl(owner: Person, shop: Shop) -> Crawl:
    return Crawl(owner, shop, credential="basic", headers={"X-Token": "canary-header"})


def test_the_crawler_is_given_all_it_needs(crawl: Crawl, shop: Shop, settings: Any) -> None:
    run = crawl.carry()
    assert (run.state, run.worker) == ("PROGRESS", "")
    ((first, body),) = shop.asked
    assert first == "POST /shop/task?version=1"
    assert "x-token: canary-header" in shop.server.heads[0].lower()
    assert body == {
        "fid": str(crawl.task.fid),
        "params": {"query": "shoe", "count": 3, "secret": "canary-pin"},
        "credential": {"user": "u", "username": "u", "password": "canary-pw"},
        "endpoint": f"{settings.PUBLIC_URL}/c/{capability_of(crawl.task)}/actions/tasks/{crawl.task.fid}",
        "state": None,
    }
    shown = crawl.shown()
    assert shown["status"]["code"] == 102
    assert [call["status"] for call in shown["calls"]] == [200]
    assert CrawlerTask.objects.get().callback == f"{shop.endpoint}/tasks/7"
    told = json.dumps(shown) + json.dumps(crawl.run())
    assert "canary" not in told
    assert capability_of(crawl.task) not in told


def test_a_tasks_end_is_its_runs_end(crawl: Crawl) -> None:
    crawl.carry()
    ended = crawl.report(200, message="task done")
    assert ended.json()["payload"]["status"] == {"code": 200, "message": "task done", "detail": ""}
    run = crawl.run()
    assert (run["state"], run["result"]["task"]) == ("SUCCESS", str(crawl.task.fid))
    assert crawl.report(200).status_code == 200  # the final status again
    again = crawl.report(500)
    assert (again.status_code, again.json()["messages"]) == (409, ["The task has ended; its status is 200."])
    assert crawl.notices() == []  # it is the crawler's own word


@pytest.mark.parametrize("code", [300, 404, 408, 500, 599])
def test_no_failure_hides_behind_success(crawl: Crawl, code: int) -> None:
    crawl.carry()
    crawl.report(code, message="no luck", detail={"trace": 5})
    run = crawl.run()
    assert run["state"] == "FAILURE"
    assert run["error"]["message"] == f"{code}: no luck"
    assert crawl.shown()["status"] == {"code": code, "message": "no luck", "detail": '{"trace": 5}'}


def test_status_as_a_form_and_what_is_none(crawl: Crawl) -> None:
    path = f"/actions/tasks/{crawl.task.fid}/status"
    form = crawl.owner.post(path, "code=150&message=half", content_type="application/x-www-form-urlencoded")
    assert form.json()["payload"]["status"]["code"] == 150
    nul = crawl.owner.post(path, "code=150&message=%00", content_type="application/x-www-form-urlencoded")
    assert nul.status_code == 400
    wrongs: list[Any] = [{}, {"code": "x"}, {"code": -1}, {"code": 1000}, {"code": 200, "colour": 1}, [], "{"]
    for wrong in wrongs:
        assert crawl.owner.post(path, wrong).status_code == 400
    assert crawl.owner.post(f"/actions/tasks/{crawl.stream['fid']}/status", {"code": 200}).status_code == 404


MULTIPART = (
    '--b\r\nContent-Disposition: form-data; name="code"\r\n\r\n150\r\n'
    '--b\r\nContent-Disposition: form-data; name="message"\r\n\r\nhalf way\r\n--b--\r\n'
)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"code": 150, "message": "half way"}'),
        ("application/json; charset=utf-8", '{"code": 150.0, "message": "half way"}'),
        ("text/plain", '{"code": 150, "message": "half way"}'),
        ("text/plain;charset=UTF-8", "code=150&message=half+way"),
        ("application/x-ndjson", '{"code": 150, "message": "half way"}\n'),
        (" application/x-ndjson", '\n {"code": 150, "message": "half way"}'),
        ("application/octet-stream", '{"code": 150, "message": "half way"}'),
        ("application/x-www-form-urlencoded", '{"code": 150, "message": "half way"}'),
        ("application/x-www-form-urlencoded", "code=150&message=half%20way"),
        ("multipart/form-data; boundary=b", MULTIPART),
        ("no type at all", '{"code": 150, "message": "half way"}'),
        ("", '{"code": 150, "message": "half way"}'),
    ],
)
def test_a_status_may_have_any_content_type(crawl: Crawl, content_type: str, body: str) -> None:
    answer = crawl.owner.post(f"/actions/tasks/{crawl.task.fid}/status", body, content_type=content_type)
    assert answer.status_code == 200, answer.content
    assert answer.json()["payload"] == {
        "fid": str(crawl.task.fid),
        "attempt": 1,
        "status": {"code": 150, "message": "half way", "detail": ""},
    }


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(
    ("body", "status"),
    [("", 400), ("{", 400), ("[]", 400), ('{"code": 1e400}', 406), ('{"code": 1}{"code": 2}', 400), ("code: 200", 400)],
)
def test_what_is_no_status_is_refused_in_any_type(crawl: Crawl, content_type: str, body: str, status: int) -> None:
    answer = crawl.owner.post(f"/actions/tasks/{crawl.task.fid}/status", body, content_type=content_type)
    assert answer.status_code == status
    assert answer.json()["messages"]


def test_a_status_tells_progress_and_numbers(crawl: Crawl) -> None:
    crawl.carry()
    assert (crawl.shown()["progress"], crawl.shown()["stats"]) == (None, {})
    crawl.report(102, progress={"done": 3, "total": 10}, stats={"pages": 7, "mean": 0.5})
    assert crawl.run()["progress"] == {"done": 3, "total": 10, "message": "running"}
    crawl.report(102, progress={"done": 4})
    assert (crawl.shown()["progress"], crawl.shown()["stats"]) == ({"done": 4}, {"pages": 7, "mean": 0.5})
    path, form = (
        f"/actions/tasks/{crawl.task.fid}/status",
        'code=102&stats={"pages":8}&progress={"done":5,"total":null}',
    )
    assert crawl.owner.post(path, form, content_type="application/x-www-form-urlencoded").status_code == 200
    assert (crawl.shown()["progress"]["done"], crawl.shown()["stats"]) == (5, {"pages": 8})
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"progress": {"total": 3}}, "/progress/done"),
        ({"progress": {"done": -1}}, "/progress/done"),
        ({"progress": {"done": 1, "unit": "pages"}}, "/progress/unit"),
        ({"stats": {"pages": "7"}}, "/stats/pages"),
        ({"stats": {"of": {"pages": 7}}}, "/stats/of"),
        ({"stats": {str(n): n for n in range(101)}}, "/stats"),
    ]
    for wrong, pointer in wrongs:
        said = problem(crawl.report(102, **wrong), 400, pointer)
    assert said["errors"][0]["detail"] == "Must have at most 100 entries."
    assert crawl.shown()["stats"] == {"pages": 8}


def test_a_status_in_the_answer_may_end_the_task(crawl: Crawl, shop: Shop) -> None:
    shop.says = shop.accepts(status={"code": 200, "message": "nothing to do"})
    assert crawl.carry().state == "SUCCESS"
    assert crawl.shown()["status"]["message"] == "nothing to do"


def test_a_crawler_may_be_done_before_it_answers(crawl: Crawl, shop: Shop) -> None:
    done: list[int] = []

    def crawl_at_once() -> None:
        status_updates.change_status(task=crawl.task, code=200, message="done", detail="", by="crawler")
        done.append(1)

    shop.meanwhile = crawl_at_once
    assert crawl.carry().state == "SUCCESS"
    assert done == [1]
    assert [change["code"] for change in crawl.shown()["history"]] == [0, 200]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (answer(b"<html>"), "no JSON"),
        (answer(b"[1]"), "no object"),
        (answer(b'{"payload": {"status": "done"}}'), "no code"),
        (answer(b'{"payload": {"status": 5000}}'), "no code"),
        (answer(b'{"payload": {"callback": 5}}'), "no address"),
        (answer(b'{"payload": {"callback": "http://10.0.0.1/x"}}'), "cannot be called"),
        (answer(b"", status="404 Not Found"), "answered 404"),
        (redirect("http://127.0.0.1:1/", status="307 Temporary Redirect"), "answered 307"),
    ],
)
def test_an_answer_that_cannot_be_meant_fails_the_task_with_its_reason(
    crawl: Crawl, shop: Shop, says: bytes, words: str
) -> None:
    shop.says = says
    assert crawl.carry().state == "FAILURE"
    shown = crawl.shown()
    assert shown["status"]["code"] == 500
    assert words in shown["status"]["message"]
    assert words in crawl.run()["error"]["message"]
    assert len(shop.asked) == 1  # it is not followed, and not tried again


def test_a_call_that_fails_is_tried_again_with_each_attempt_on_record(crawl: Crawl, shop: Shop) -> None:
    shop.says = answer(b"", status="503 Service Unavailable")
    for attempt in (1, 2, 3):
        run = crawl.carry()
        assert run.attempt == attempt
        assert run.state == ("RETRY" if attempt < 3 else "FAILURE")
        Run.objects.filter(pk=run.pk, state="RETRY").update(ready=True)
    shown = crawl.shown()
    assert [(call["status"], call["error"]) for call in shown["calls"]] == [(503, "The crawler answered 503.")] * 3
    assert shown["status"] == {"code": 500, "message": "The crawler answered 503.", "detail": "Unavailable"}


def test_a_crawler_that_cannot_be_reached(owner: Person, shop: Shop) -> None:
    shop.endpoint = "http://127.0.0.1:1/shop"
    crawl = Crawl(owner, shop)
    run = crawl.carry()
    assert run.state == "RETRY"
    assert crawl.shown()["calls"][0]["status"] is None
    assert crawl.shown()["calls"][0]["error"]


def test_silence_is_a_time_out_of_which_the_crawler_is_told(crawl: Crawl, shop: Shop) -> None:
    run = crawl.carry()
    assert run.lease_until is not None
    assert run.lease_until > timezone.now() + timedelta(minutes=59)
    for code in (103, 103):  # signs of life, each of which gives it more time
        before = Run.objects.get(pk=run.pk).lease_until
        crawl.report(code)
        after = Run.objects.get(pk=run.pk).lease_until
        assert before is not None
        assert after is not None
        assert after > before
    past = timezone.now() - timedelta(hours=2)
    Run.objects.filter(pk=run.pk).update(lease_until=past)
    sweep()
    assert crawl.carry().state == "PROGRESS"  # it looked, and the crawler is alive
    CrawlerTask.objects.update(seen_at=past)
    Run.objects.filter(pk=run.pk).update(lease_until=past)
    sweep()
    assert crawl.carry().state == "FAILURE"
    assert crawl.shown()["status"] == {"code": 408, "message": "No sign of life for 3600 s.", "detail": ""}
    assert crawl.run()["error"]["type"] == "TimedOut"
    assert [notice.state for notice in crawl.notices()] == ["SUCCESS"]
    first, body = shop.asked[-1]
    assert first == "PATCH /shop/tasks/7/status?version=1"
    assert body == {"code": 408, "message": "No sign of life for 3600 s.", "detail": ""}
    assert crawl.report(200).status_code == 409


def test_an_absolute_callback_elsewhere_gets_no_headers_of_the_external(crawl: Crawl, shop: Shop) -> None:
    with serving() as start:
        elsewhere = start(answer(b""))
        shop.says = shop.accepts(callback=f"{elsewhere.url}/there")
        crawl.carry()
        crawl.owner.delete(f"/actions/tasks/{crawl.task.fid}")
        crawl.notices()
        assert elsewhere.heads[0].startswith("PATCH /there/status?version=1")
        assert "canary-header" not in elsewhere.heads[0]
        assert json.loads(elsewhere.bodies[0])["code"] == 410


def test_deletion_stops_the_run_and_is_told(crawl: Crawl, shop: Shop) -> None:
    crawl.carry()
    run_id = crawl.shown()["run"]
    assert crawl.owner.delete(f"/actions/tasks/{crawl.task.fid}").status_code == 200
    assert Run.objects.get(pk=run_id).state == "FAILURE"
    crawl.notices()
    assert shop.asked[-1][1] == {"code": 410, "message": "The task was deleted.", "detail": ""}
    assert crawl.owner.delete(f"/actions/tasks/{crawl.task.fid}").status_code == 404


def test_a_deletion_while_the_crawler_is_asked_is_told_when_it_has_answered(crawl: Crawl, shop: Shop) -> None:
    shop.meanwhile = lambda: status_updates.delete_task(task=crawl.task)
    crawl.carry()
    crawl.notices()
    assert [first for first, _ in shop.asked] == ["POST /shop/task?version=1", "PATCH /shop/tasks/7/status?version=1"]


def test_cancelling_the_run_ends_the_task(crawl: Crawl, shop: Shop) -> None:
    crawl.carry()
    cancelled = crawl.owner.post(f"/runs/{crawl.shown()['run']}/cancel")
    assert cancelled.json()["state"] == "REVOKED"
    assert crawl.shown()["status"]["code"] == 499
    crawl.notices()
    assert shop.asked[-1][1]["code"] == 499
    assert crawl.report(200).status_code == 409


def test_one_task_at_a_time(crawl: Crawl) -> None:
    path = f"/actions/crawlers/{crawl.crawler['fid']}/task"
    running = crawl.owner.post(path)
    assert (running.status_code, running.json()["payload"]["fid"]) == (208, str(crawl.task.fid))
    assert crawl.owner.post(f"{path}/{crawl.task.fid}").status_code == 409  # it runs
    crawl.report(500)
    other = crawl.owner.post(path)
    assert other.status_code == 201
    while_other = crawl.owner.post(f"{path}/{crawl.task.fid}")
    assert (while_other.status_code, while_other.json()["payload"]["fid"]) == (208, other.json()["payload"]["fid"])
    crawl.owner.post(f"/actions/tasks/{other.json()['payload']['fid']}/status", {"code": 200})
    retried = crawl.owner.post(f"{path}/{crawl.task.fid}")
    assert (retried.status_code, retried.json()["payload"]["attempt"]) == (201, 2)
    assert retried.json()["payload"]["status"]["code"] == 0
    assert crawl.run()["retry_of"] is not None
    assert crawl.carry().state == "PROGRESS"


def test_a_run_tried_again_is_an_attempt_of_its_task(crawl: Crawl) -> None:
    crawl.report(500)
    old = Run.objects.get(pk=crawl.shown()["run"])
    new = retry(run=old)
    shown = crawl.shown()
    assert (shown["run"], shown["attempt"], shown["status"]["code"]) == (str(new.pk), 2, 0)
    cancel(run=new)
    crawler_client.start(crawl.owner, crawl.crawler)
    answered = crawl.owner.post(f"/runs/{new.pk}/retry")
    assert answered.status_code == 409
    assert Run.objects.filter(retry_of=new).count() == 0


def test_params_of_a_task_lie_over_the_crawlers(crawl: Crawl) -> None:
    crawl.report(200)
    path = f"/actions/crawlers/{crawl.crawler['fid']}/task"
    task = crawl.owner.post(path, {"params": {"count": 9}}).json()["payload"]
    assert task["params"] == {"query": "shoe", "count": 9, "secret": "***"}
    assert crawl.owner.get(f"/crawlers/{crawl.crawler['fid']}").json()["payload"]["params"]["count"] == 3
    crawl.owner.post(f"/actions/tasks/{task['fid']}/status", {"code": 200})
    wrong = crawl.owner.post(path, {"params": {"count": -9}})
    assert wrong.json()["errors"] == [{"pointer": "/params/count", "detail": "Must be at least 0."}]


def test_the_same_key_starts_one_task(crawl: Crawl) -> None:
    crawl.report(200)
    path, key = f"/actions/crawlers/{crawl.crawler['fid']}/task", {"Idempotency-Key": "k1"}
    answers = [crawl.owner.post(path, headers=key) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotency-Replayed"] == "true"


def test_lists_of_tasks(crawl: Crawl) -> None:
    crawl.report(200)
    second = crawler_client.start(crawl.owner, crawl.crawler)

    def listed(query: str) -> list[str]:
        return [one["fid"] for one in crawl.owner.get(f"/tasks{query}").json()["payload"]["results"]]

    assert listed("") == [second["fid"], str(crawl.task.fid)]
    assert listed("?running=true") == [second["fid"]]
    assert listed("?running=false") == listed("?code=200") == [str(crawl.task.fid)]
    assert listed("?code=200&code=500") == listed("?code=500, 200") == [str(crawl.task.fid)]
    assert listed(f"?stream={crawl.stream['fid']}&limit=1") == [second["fid"]]
    of_crawler = crawl.owner.get(f"/crawlers/{crawl.crawler['fid']}/tasks").json()["payload"]["results"]
    assert [one["fid"] for one in of_crawler] == listed("")


# Schedules


@pytest.fixture
def scheduled(owner: Person, shop: Shop) -> tuple[dict[str, Any], Schedule]:
    every_hour = {"type": "interval", "conf": {"every": 1, "period": "hours"}}
    crawler = crawler_client.crawler(owner, crawler_client.external(owner, shop.endpoint), schedule=every_hour)[
        "crawler"
    ]
    return crawler, Schedule.objects.get()


def test_a_fire_is_a_task(owner: Person, scheduled: tuple[dict[str, Any], Schedule]) -> None:
    crawler, schedule = scheduled
    run = run_now(run_schedule_now(schedule=schedule), crawler_calls.perform_task)
    assert run.state == "PROGRESS"  # and so the next fire is left out: the last run goes on
    (task,) = owner.get(f"/crawlers/{crawler['fid']}/tasks").json()["payload"]["results"]
    assert (task["run"], task["status"]["code"]) == (str(run.pk), 102)


def test_a_fire_while_another_task_runs_is_skipped_on_record(
    owner: Person, scheduled: tuple[dict[str, Any], Schedule]
) -> None:
    crawler, schedule = scheduled
    crawler_client.start(owner, crawler)
    run = run_now(run_schedule_now(schedule=schedule), crawler_calls.perform_task)
    assert (run.state, (run.error or {})["type"]) == ("FAILURE", "Skipped")
    assert CrawlerTask.objects.count() == 1


def test_a_fire_whose_parameters_do_not_fit_any_more_says_so(
    owner: Person, scheduled: tuple[dict[str, Any], Schedule]
) -> None:
    crawler, schedule = scheduled
    change = {"parameters": [{"name": "query", "type": "integer"}]}
    owner.patch(f"/externals/{crawler['external']}", change)
    run = run_now(run_schedule_now(schedule=schedule), crawler_calls.perform_task)
    assert run.state == "FAILURE"
    assert "/params/query" in (run.error or {})["message"]


def test_a_status_is_answered_shortly_and_its_detail_is_limited(crawl: Crawl) -> None:
    most = 20_000
    details: list[Any] = ["x" * most, {"trace": "x" * (most - 13)}]
    for detail in details:
        assert crawl.report(150, detail=detail).status_code == 200
    details = ["x" * (most + 1), {"trace": "x" * most}, ["x"] * most]
    for detail in details:
        problem(crawl.report(150, detail=detail), 400, "/detail")
    for number in range(10, 70):
        answer = crawl.report(150, detail=f"{number}" * 5_000)
    assert answer.json()["payload"]["status"]["detail"] == "69" * 5_000
    assert set(answer.json()["payload"]) == {"fid", "attempt", "status"}
    assert len(answer.content) < most
    assert len(crawl.shown()["history"]) > 60
