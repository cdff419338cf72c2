"""What walkers log and print, and what failed in them, is the log of their run."""

import asyncio
import json
import logging
import sys
import threading
import warnings
from typing import Any

import pytest
from django.db import connection

from taskhub.runs.models import LogLine, Run
from taskhub.runs.queue import broker, ends, run_log
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.integration.walkers_shop import installed
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker
from walkers.walks.walk_execution import perform_walk

pytestmark = pytest.mark.django_db(transaction=True)
RUN = "/js/walker_run"
log = logging.getLogger("shop.walkers")


@pytest.fixture(autouse=True)
def worker_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: queue == "walkers")
    monkeypatch.setattr(broker, "send", lambda kind, run_id: True)


def logs_of(owner: Person, walker: type[Walker], **ctx: Any) -> tuple[str, list[Any]]:
    """The id of a run of the walker, and the lines of its log."""
    with installed(walker):
        body = {"name": walker.__name__.lower(), "ctx": ctx, "is_async": True}
        run_id = owner.post(RUN, body).json()["task_id"]
        assert work("walker", perform_walk, node="walkers@here") == 1
    return run_id, owner.get(f"/runs/{run_id}/logs", {"limit": 1000}).json()["results"]


def brief(lines: list[Any]) -> list[tuple[str, str, str]]:
    return [(line["level"], line["logger"], line["message"]) for line in lines]


class Talk(Walker):
    def visit(self, here: Place) -> None:
        log.info("%d shelves are empty", 12, extra={"shelves": 12, "shop": here})
        print("printed", 1, end="\ntwice\n")
        print("half a ", end="")
        print("line", file=sys.stdout, flush=True)
        print("to stderr", file=sys.stderr)
        logging.getLogger("some.library").warning("careful")
        logging.getLogger("taskhub.runs").warning("The hub's own line.")
        log.debug("not at this level")
        try:
            raise KeyError("customer")
        except KeyError:
            log.exception("Not found")
        print("no end", end="")


def test_what_is_logged_and_printed_is_in_the_log(owner: Person) -> None:
    _, lines = logs_of(owner, Talk)
    assert brief(lines)[:7] == [
        ("INFO", "shop.walkers", "12 shelves are empty"),
        ("INFO", "stdout", "printed 1"),
        ("INFO", "stdout", "twice"),
        ("INFO", "stdout", "half a line"),
        ("WARNING", "stderr", "to stderr"),
        ("WARNING", "some.library", "careful"),
        ("ERROR", "shop.walkers", lines[6]["message"]),
    ]
    assert lines[6]["message"].startswith("Not found\nTraceback")
    assert lines[6]["message"].endswith("KeyError: 'customer'")
    assert brief(lines)[7:] == [("INFO", "stdout", "no end")]
    assert lines[0].keys() == {"at", "level", "logger", "message", "attempt", "fields"}
    assert lines[0]["fields"].keys() == {"shelves", "shop"}
    assert (lines[0]["fields"]["shelves"], lines[0]["attempt"], lines[1]["fields"]) == (12, 1, {})
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


class Ask(Walker):
    async def visit(self, here: Place) -> None:
        log.info("before")
        await asyncio.gather(self.ask(1), asyncio.to_thread(log.info, "in a thread"))
        thread = threading.Thread(target=print, args=("in a thread of its own",))
        thread.start()
        thread.join()
        warnings.warn("odd", UserWarning, stacklevel=1)

    async def ask(self, n: int) -> None:
        await asyncio.sleep(0)
        log.info("in a task")


@pytest.mark.filterwarnings("default::UserWarning")
def test_tasks_and_threads_of_the_walk_log_too(owner: Person) -> None:
    for _ in range(2):
        _, lines = logs_of(owner, Ask)
        messages = [line["message"] for line in lines]
        assert {"before", "in a task", "in a thread", "in a thread of its own"} <= set(messages)


class Broken(Walker):
    password: str = ""
    times: int = 0

    def visit(self, here: Place) -> None:
        here.spawn("leaf")
        for n in range(self.times):
            log.info("line %d", n)
        log.info("signs in with %s", self.password)
        self.look_up()

    def look_up(self) -> None:
        raise ValueError(f"{self.password} \x00\ud800 is wrong")


def test_the_traceback_of_a_failure_begins_with_the_authors_line(owner: Person) -> None:
    run_id, lines = logs_of(owner, Broken)
    last = lines[-1]
    assert (last["level"], last["logger"]) == ("ERROR", "shop.walkers")
    assert "self.look_up()" in last["message"].splitlines()[2]
    assert "walk_execution" not in last["message"]
    error = owner.get(f"/runs/{run_id}").json()["error"]
    assert error["type"] == "ValueError"
    assert error["where"].startswith("tests.integration.test_run_logs:")
    assert error["where"].endswith(" in Broken.look_up")
    with installed(Broken):
        assert owner.post(RUN, {"name": "broken"}).json()["error"]["where"] == error["where"]


def test_secrets_are_masked_and_texts_can_be_stored(owner: Person) -> None:
    _, lines = logs_of(owner, Broken, password="pw-4711-canary")
    assert lines[0]["message"] == "signs in with ***"
    assert "*** \ufffd\ufffd is wrong" in lines[-1]["message"]
    assert "canary" not in json.dumps(list(LogLine.objects.values_list("message", "fields")))


@pytest.mark.parametrize("walker", [Talk, Broken, "not atomic"])
def test_the_end_of_a_run_is_committed_after_its_last_line(
    owner: Person, monkeypatch: pytest.MonkeyPatch, walker: Any
) -> None:
    """However late the thread is that stores lines: who sees the end sees them, too."""
    if walker == "not atomic":
        walker = type("Loose", (Talk,), {"atomic": False})
    ended, states, end, commit = threading.Event(), list[str](), ends.end, run_log._commit

    def end_and_tell(**given: Any) -> None:
        end(**given)
        ended.set()

    def commit_late(rows: Any) -> None:
        assert ended.wait(60)
        states.append(Run.objects.get().state)
        commit(rows)

    monkeypatch.setattr(ends, "end", end_and_tell)
    monkeypatch.setattr(run_log, "_commit", commit_late)
    _, lines = logs_of(owner, walker)
    assert states == ["STARTED"]
    assert lines


class Unreadable:
    def __str__(self) -> str:
        raise ValueError("not now")


class Odd(Walker):
    def visit(self, here: Place) -> None:
        log.info("first", extra={"odd": Unreadable(), "many": 10**5000, "few": 2**40, "long": "x" * 999})
        log.info("second")


def test_a_field_that_cannot_be_read_keeps_no_line_from_being_stored(owner: Person) -> None:
    _, lines = logs_of(owner, Odd)
    assert [line["message"] for line in lines] == ["first", "second"]
    assert lines[0]["fields"] == {"odd": "<Unreadable>", "many": "<int>", "few": 2**40, "long": "x" * 200}


def test_fields_count_for_the_limit(owner: Person, settings: Any) -> None:
    settings.RUN_LOG_BYTES_MAX = 100
    _, lines = logs_of(owner, Odd)
    assert ["full" in line["message"] for line in lines] == [True]


@pytest.mark.parametrize(("setting", "most"), [("RUN_LOG_LINES_MAX", 10), ("RUN_LOG_BYTES_MAX", 60)])
def test_a_log_has_a_limit_and_the_failure_is_told_all_the_same(
    owner: Person, settings: Any, setting: str, most: int
) -> None:
    setattr(settings, setting, most)
    _, lines = logs_of(owner, Broken, times=100)
    assert len(lines) == 12
    assert lines[9]["message"] == "line 9"
    assert "full" in lines[10]["message"]
    assert lines[11]["level"] == "ERROR"


def test_the_limit_is_of_all_attempts(owner: Person, settings: Any) -> None:
    settings.RUN_LOG_LINES_MAX = 3
    _, lines = logs_of(owner, Broken, times=1)
    run = Run.objects.get()
    run.attempt = 2
    again = run_log.RunLog(run)
    again.add(logging.INFO, "again", "one")
    again.add(logging.INFO, "again", "two")
    again.flush()
    messages = list(LogLine.objects.filter(attempt=2).values_list("message", flat=True))
    assert len(lines) == 3
    assert [message.partition(" ")[0] for message in messages] == ["The"]


def test_a_line_is_cut(owner: Person) -> None:
    class Long(Walker):
        def visit(self, here: Place) -> None:
            print("x" * 100_000)

    _, lines = logs_of(owner, Long)
    assert len(lines[0]["message"]) < 33_000


def test_lines_are_read_page_by_page_by_level_and_as_ndjson(owner: Person) -> None:
    run_id, lines = logs_of(owner, Broken, times=5)
    path = f"/runs/{run_id}/logs"
    first = owner.get(path, {"limit": 3}).json()
    assert first["results"] == lines[:3]
    assert owner.get(first["next"].partition("8000")[2]).json()["results"] == lines[3:6]
    assert brief(owner.get(path, {"level": "warning"}).json()["results"]) == brief(lines[-1:])
    whole = owner.get(path, headers={"Accept": "application/x-ndjson"})
    assert whole["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in b"".join(whole.streaming_content).splitlines()] == lines
    assert owner.get(path, {"level": "loud"}).status_code == 400
    assert owner.get(path, {"lines": 3}).status_code == 400
    assert owner.get(path, headers={"Accept": "text/csv"}).status_code == 406


def events_of(answer: Any) -> list[tuple[str, str, Any]]:
    """Id, name and data of each event of a stream."""
    texts = b"".join(answer.streaming_content).decode().split("\n\n")
    parts = [dict(line.split(": ", 1) for line in text.splitlines()) for text in texts if text and text[0] != ":"]
    return [(part["id"], part["event"], json.loads(part["data"])) for part in parts]


def test_a_log_that_has_ended_is_followed_to_its_end(owner: Person) -> None:
    run_id, lines = logs_of(owner, Broken, times=2)
    path = f"/runs/{run_id}/logs?follow=true"
    seen = events_of(owner.get(path))
    assert [data for _, name, data in seen if name == "log"] == lines
    assert seen[-1][1:] == ("end", {"state": "FAILURE"})
    assert events_of(owner.get(path, headers={"Last-Event-ID": seen[1][0]})) == seen[2:]
    assert owner.get(path, headers={"Last-Event-ID": seen[-1][0]}).status_code == 204
    assert [name for _, name, _ in events_of(owner.get(f"{path}&level=error"))] == ["log", "end"]
    quiet = owner.post(RUN, {"name": "echo", "is_async": True}).json()["task_id"]
    assert work("walker", perform_walk, node="walkers@here") == 1
    assert events_of(owner.get(f"/runs/{quiet}/logs", headers={"Accept": "text/event-stream"})) == [
        ("0", "end", {"state": "SUCCESS"})
    ]
    assert owner.get(f"/runs/{quiet}/logs?follow=true", headers={"Last-Event-ID": "0"}).status_code == 204


def test_one_stream_tells_the_log_and_the_moves_of_a_run(owner: Person) -> None:
    run_id, lines = logs_of(owner, Broken, times=2)
    path = f"/runs/{run_id}/logs?follow=true&moves=true"
    seen = events_of(owner.get(path))
    assert [name for _, name, _ in seen] == ["log", "log", "log", "log", "run", "end"]
    shown = owner.get(f"/runs/{run_id}").json()
    assert seen[-2][2].items() <= shown.items()
    assert seen[-2][2]["state"] == "FAILURE"
    third = seen[1][0]
    assert events_of(owner.get(f"{path}&after={third}")) == seen[2:]
    assert events_of(owner.get(f"{path}&after={third}", headers={"Last-Event-ID": seen[2][0]})) == seen[3:]
    assert owner.get(f"/runs/{run_id}/logs?after={third}").json()["results"] == lines[2:]
    for nonsense in ("x", "-1", str(2**63)):
        assert owner.get(f"{path}&after={nonsense}").status_code == 400


def test_a_log_is_followed_while_the_run_goes_on(owner: Person) -> None:
    """Each line is there to be read while the walk, whose transaction is open, waits for somebody to have read it."""
    followed: list[str] = []
    read = threading.Event()

    class Slow(Walker):
        def visit(self, here: Place) -> None:
            log.info("first")
            assert read.wait(60)
            log.info("second")

    def follow(run_id: str) -> None:
        for piece in owner.get(f"/runs/{run_id}/logs?follow=true").streaming_content:
            followed.append(piece.decode())
            if "first" in piece.decode():
                read.set()
        connection.close()

    with installed(Slow):
        run_id = owner.post(RUN, {"name": "slow", "is_async": True}).json()["task_id"]
        follower = threading.Thread(target=follow, args=(run_id,))
        follower.start()
        assert work("walker", perform_walk, node="walkers@here") == 1
        follower.join()
    assert Run.objects.get().state == "SUCCESS"
    assert "second" in "".join(followed)


def test_a_log_is_its_owners_and_goes_with_its_run(owner: Person, stranger: Person, colleague: Person) -> None:
    run_id, lines = logs_of(owner, Broken)
    assert stranger.get(f"/runs/{run_id}/logs").status_code == 404
    assert colleague.get(f"/runs/{run_id}/logs").json()["results"] == lines
    Run.objects.all().delete()
    assert not LogLine.objects.exists()


def test_a_run_that_logs_nothing_costs_no_query_more(owner: Person, django_assert_max_num_queries: Any) -> None:
    owner.post(RUN, {"name": "echo", "is_async": True})
    assert work("walker", perform_walk, node="walkers@here") == 1  # a session plans its statements first
    owner.post(RUN, {"name": "echo", "is_async": True})
    with django_assert_max_num_queries(7):
        assert work("walker", perform_walk, node="walkers@here") == 1
    assert not LogLine.objects.exists()
