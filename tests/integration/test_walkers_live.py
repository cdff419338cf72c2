"""Walkers on a running hub: real web, workers, PostgreSQL and Redis."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest

from tests.hub import Caller, Hub

pytestmark = pytest.mark.slow


def submit(person: Caller, name: str, ctx: Any = None, **more: Any) -> str:
    answer = person.post("/js/walker_run", {"name": name, "ctx": ctx or {}, "is_async": True, **more})
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


def wait(person: Caller, task_id: str, timeout: float = 50) -> Any:
    return person.get("/js/walker_queue_wait", {"task_id": task_id, "timeout": timeout}).json()


@pytest.fixture
def person(hub: Hub) -> Caller:
    return hub.sign_up()


def until_running(person: Caller, task_id: str) -> None:
    """Waits for an event of the run, not for a time."""
    with person.session.get(f"{person.url}/runs/{task_id}/events", stream=True, timeout=60) as events:
        for line in events.iter_lines():
            if b'"state":"STARTED"' in line or b'"state":"PROGRESS"' in line:
                return
    raise AssertionError("The run ended before it was seen running.")


def test_a_call_runs_at_once(person: Caller) -> None:
    answer = person.post("/js/walker_run", {"name": "echo", "ctx": {"value": "hello"}})
    assert (answer.status_code, answer.json()["report"]) == (200, ["hello"])


def test_a_call_runs_in_the_background_and_is_waited_for(person: Caller) -> None:
    answer = person.get("/js/walker_run", {"name": "echo", "ctx": '{"value": 1}', "is_async": "true"})
    assert answer.status_code == 202
    assert answer.headers["Location"].startswith(person.url)
    shown = wait(person, answer.json()["task_id"])
    assert (shown["state"], shown["result"]["report"]) == ("SUCCESS", [1])
    assert person.get(answer.headers["Location"].removeprefix(person.url)).json() == shown


def test_a_wait_ends_when_the_run_ends(person: Caller) -> None:
    task_id = submit(person, "pause", {"seconds": 0.5, "steps": 2})
    assert wait(person, task_id)["state"] == "SUCCESS"


def test_files_reach_the_worker(person: Caller) -> None:
    files = {"photo": ("cup.png", b"x" * 100_000, "image/png")}
    answer = person.session.post(
        f"{person.url}/js/wapi/echo", data={"is_async": "yes", "ctx": '{"value": 2}'}, files=files, timeout=30
    )
    assert answer.status_code == 202, answer.text
    assert wait(person, answer.json()["task_id"])["result"]["report"] == [2]


def test_a_failing_walker_fails(person: Caller) -> None:
    shown = wait(person, submit(person, "fail", {"message": "No."}))
    assert shown["state"] == "FAILURE"
    assert shown["error"].items() >= {"type": "RuntimeError", "message": "No."}.items()


def test_what_failed_is_in_the_log_of_its_run(person: Caller) -> None:
    """Stored by a thread of the worker process, followed through the front."""
    run_id = submit(person, "fail", {"message": "No tea."})
    with person.session.get(f"{person.url}/runs/{run_id}/logs?follow=true", stream=True, timeout=30) as events:
        assert events.headers["Content-Type"] == "text/event-stream"
        followed = b"\n".join(events.iter_lines()).decode()
    assert [line for line in followed.splitlines() if line.startswith("event: ")] == ["event: log", "event: end"]
    (line,) = person.get(f"/runs/{run_id}/logs").json()["results"]
    assert (line["level"], line["logger"]) == ("ERROR", "walkers.walkers")
    assert line["message"].endswith("RuntimeError: No tea.")
    assert wait(person, run_id)["error"]["where"].endswith("in Fail.visit")


def test_progress_shows_and_the_worker_is_named(person: Caller) -> None:
    task_id = submit(person, "pause", {"seconds": 60, "steps": 600})
    until_running(person, task_id)
    queue = person.get("/js/walker_queue").json()
    ((host, entries),) = [(host, entries) for host, entries in queue["active"].items() if entries]
    assert host.startswith("celery@")
    assert [entry["id"] for entry in entries] == [task_id]
    assert host in queue["scheduled"]
    assert host in queue["reserved"]
    shown = person.get("/js/walker_queue_check", {"task_id": task_id}).json()
    assert shown["state"] in {"STARTED", "PROGRESS"}
    assert person.post("/js/walker_queue_cancel", {"task_id": task_id}).json()["state"] == "REVOKED"


def test_a_cancelled_walk_stops_in_its_sleep(person: Caller) -> None:
    task_id = submit(person, "pause", {"seconds": 600, "steps": 1})
    until_running(person, task_id)
    waiting = threading.Thread(target=wait, args=(person, task_id))
    waiting.start()
    assert person.post("/js/walker_queue_cancel", {"task_id": task_id}).json()["state"] == "REVOKED"
    waiting.join(60)
    assert not waiting.is_alive()
    assert wait(person, submit(person, "echo"))["state"] == "SUCCESS"


def test_run_at_delays(person: Caller) -> None:
    later, much_later = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds)) for seconds in (2, 3600)
    )
    task_id = submit(person, "echo", run_at=much_later)
    (entry,) = [one for entries in person.get("/js/walker_queue").json()["scheduled"].values() for one in entries]
    assert (entry["id"], entry["eta"]) == (task_id, much_later)
    assert wait(person, submit(person, "echo", run_at=later))["started_at"] >= later.removesuffix("Z")


def test_the_same_submission_again_is_the_same_task(person: Caller) -> None:
    body = {"name": "echo", "is_async": True}
    headers = {"Idempotency-Key": "once"}
    first, again = (person.post("/js/walker_run", body, headers=headers).json() for _ in range(2))
    assert first == again
    assert wait(person, first["task_id"])["state"] == "SUCCESS"
    assert len(person.get("/runs").json()["results"]) == 1


def test_long_walks_of_one_leave_the_hub_to_the_others(hub: Hub, person: Caller) -> None:
    """They last longer than a call waits for a database connection."""
    other, calls = hub.sign_up(), 32
    walks = [Caller(hub.url, token=person.token) for _ in range(calls)]
    pause = {"name": "pause", "ctx": {"seconds": 6, "steps": 1}}
    with ThreadPoolExecutor(calls) as threads:
        answers = [threads.submit(walk.post, "/js/walker_run", pause) for walk in walks]
        next(answer for answer in as_completed(answers) if answer.result().status_code == 503)
        served = 0
        while served < 10 and not all(answer.done() for answer in answers):
            assert other.post("/js/walker_run", {"name": "echo"}).status_code == 200
            assert other.get("/runs").status_code == 200
            served += 1
        assert served
    for walk in walks:
        walk.session.close()
    assert {answer.result().status_code for answer in answers} == {200, 503}


BODIES = {
    "application/json": b'{"ctx": {"value": 1}, "is_async": %s}',
    "application/x-www-form-urlencoded": b"ctx=%%7B%%22value%%22:1%%7D&is_async=%s",
    "multipart/form-data; boundary=b": (
        b'--b\r\nContent-Disposition: form-data; name="is_async"\r\n\r\n%s\r\n'
        b'--b\r\nContent-Disposition: form-data; name="photo"; filename="cup.png"\r\n\r\ncup\r\n--b--\r\n'
    ),
}


@pytest.mark.parametrize("content_type", BODIES)
@pytest.mark.parametrize("is_async", [b"true", b"false"])
def test_a_body_in_chunks_is_taken_as_one_with_its_length(person: Caller, content_type: str, is_async: bytes) -> None:
    body = BODIES[content_type] % is_async
    headers = {"Content-Type": content_type}
    in_chunks = person.post("/js/wapi/echo", data=iter([body[:9], body[9:]]), headers=headers)
    with_length = person.post("/js/wapi/echo", data=body, headers=headers)
    assert in_chunks.status_code == with_length.status_code == (202 if is_async == b"true" else 200)
