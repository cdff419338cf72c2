"""Sequences: servers that hang, break and lie; workers that are killed; runs that are cancelled in a request."""

import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Queue
from threading import Barrier, Event
from typing import Any

import pytest

from tests.faults.disposable import Disposable, until
from tests.hub import Caller
from tests.integration.outbound_servers import Serve, Server, answer, redirect, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

ENDED = {"SUCCESS", "FAILURE", "REVOKED"}


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


def start(staff: Caller, *requests: dict[str, Any], **more: Any) -> str:
    answer = staff.post("/sequences/runs", {"requests": list(requests), **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(staff: Caller, run: str, seconds: float = 60) -> dict[str, Any]:
    until(lambda: staff.get(f"/runs/{run}").json()["state"] in ENDED, seconds)
    shown: dict[str, Any] = staff.get(f"/sequences/runs/{run}").json()
    return shown


def hang(server: Server, connection: socket.socket) -> None:
    server.over.wait()


def reset(server: Server, connection: socket.socket) -> None:
    """`close` would wait for the reader of the same connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)


def trickle(server: Server, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while server.pace(0.1):
        connection.sendall(b"x")


def flood(server: Server, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while server.pace(0):
        connection.sendall(b"x" * 65536)


def cut_off(server: Server, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    connection.shutdown(socket.SHUT_RDWR)


def circle(server: Server, connection: socket.socket) -> None:
    connection.sendall(redirect("/"))


WRONG: dict[str, tuple[Any, str]] = {
    "hangs": (hang, "sent nothing for 2 seconds"),
    "resets": (reset, "closed the connection without an answer"),
    "garbage": (b"\x00\xff\x13garbage\r\n\r\n", "does not answer in HTTP"),
    "large": (answer(b"x" * 2_000_000), "more than 1000000 bytes"),
    "flood": (flood, "more than"),
    "trickle": (trickle, "took longer than 4 seconds"),
    "cut_off": (cut_off, "ended its answer early"),
    "circle": (circle, "redirects more than 10 times"),
    "private": (redirect("http://10.0.0.1/"), "is not called"),
}


def test_what_is_wrong_with_a_server_is_its_steps_error(broken: Disposable, serve: Serve) -> None:
    staff = broken.people.admin
    steps: list[dict[str, Any]] = [
        {"method": "GET", "url": serve(script).url, "save_to": name, "ignore_error": True}
        for name, (script, _) in WRONG.items()
    ]
    good = {"method": "GET", "url": serve(answer(b'{"a": "{{#.hangs}}"}')).url, "save_to": "good"}
    echo = {"method": "POST", "url": serve(answer(b"[]")).url, "body": "{{$.a}}", "save_req_to": "sent"}
    shown = ended(staff, start(staff, *steps, good, echo))
    assert shown["state"] == "SUCCESS", shown["error"]
    for (name, (_, words)), step in zip(WRONG.items(), shown["steps"], strict=False):
        assert words in shown["result"][name]["worker_error"]
        assert words in step["error"]
        assert step["status"] is None
    assert shown["result"]["good"] == {"a": "{{#.hangs}}"}
    assert shown["result"]["sent"]["body"] == "{{#.hangs}}"  # what came from a server is never read as a template


def test_a_step_that_fails_stops_the_sequence_with_what_was_saved(broken: Disposable, serve: Serve) -> None:
    staff = broken.people.admin
    good = {"method": "GET", "url": serve(answer(b'{"a": 1}')).url, "save_to": "good"}
    bad = {"method": "GET", "url": serve(answer(b'{"why": 7}', status="503 Resting")).url, "save_to": "bad"}
    shown = ended(staff, start(staff, good, bad, good))
    assert (shown["state"], shown["result"]) == ("FAILURE", {"good": {"a": 1}})
    assert shown["error"]["message"] == "requests[1]: The answer was 503: Resting"
    assert [(step["path"], step["status"]) for step in shown["steps"]] == [("requests[0]", 200), ("requests[1]", 503)]
    told = staff.get(f"/sequences/runs/{shown['id']}/steps").json()["results"]
    assert told[1]["answer"] == '{"why": 7}'


LIES = [
    answer(b"text", "Content-Type: text/plain; charset=undefined"),
    answer(b"text", "Content-Type: text/plain; charset=rot13"),
    answer(b"text", f"Content-Type: text/plain; charset={'x' * 20_000}"),
    answer(b"text", "Content-Type: ;;;="),
]


def test_what_a_server_says_of_its_text_may_be_a_lie(broken: Disposable, serve: Serve) -> None:
    staff = broken.people.admin
    steps = [{"method": "GET", "url": serve(lie).url, "save_to": f"lie{n}"} for n, lie in enumerate(LIES)]
    json = serve(answer(b"access_token=hidden", "Content-Type: application/json")).url
    odd = serve(answer(b"access_token=hidden&more=1", status="500 odd\x00\xff")).url
    ignored = [
        {"method": "GET", "url": url, "ignore_error": True, "save_to": name}
        for name, url in (("json", json), ("odd", odd))
    ]
    shown = ended(staff, start(staff, *steps, *ignored))
    assert shown["state"] == "SUCCESS", shown["error"]
    assert [shown["result"][f"lie{n}"] for n in range(len(LIES))] == ["text"] * len(LIES)
    assert "application/json. The JSON cannot be read" in shown["result"]["json"]["message"]
    assert shown["result"]["odd"]["status"] == 500
    told = [step["answer"] for step in staff.get(f"/sequences/runs/{shown['id']}/steps").json()["results"][-2:]]
    assert told == ['"access_token=***"', '"access_token=***&more=1"']


def test_a_worker_that_is_killed_at_the_first_step_leaves_it_in_doubt(broken: Disposable, serve: Serve) -> None:
    staff, asked, go_on = broken.people.admin, Queue[str](), Event()

    def script(server: Server, connection: socket.socket) -> None:
        asked.put(server.heads[-1].split()[1])
        if not go_on.is_set():
            kill_worker(broken)
            go_on.set()
        connection.sendall(answer(b"{}"))

    place = serve(script).url
    run = start(staff, *({"method": "POST", "url": f"{place}/{n}"} for n in range(2)))
    assert asked.get(timeout=30) == "/0"
    assert go_on.wait(30)
    shown = ended(staff, run)
    assert shown["state"] == "SUCCESS", shown["error"]
    assert [asked.get(timeout=5) for _ in range(2)] == ["/0", "/1"]
    assert [step["again"] for step in shown["steps"]] == [True, False]


def kill_worker(broken: Disposable) -> None:
    """A server does so at once when it is asked: two seconds without an answer would be the end of the step."""
    broken.program("worker:threads").kill()


def test_a_killed_worker_is_followed_by_one_that_goes_on(broken: Disposable, serve: Serve) -> None:
    staff, asked, go_on = broken.people.admin, Queue[str](), Event()

    def script(server: Server, connection: socket.socket) -> None:
        what = server.heads[-1].split()[1]
        asked.put(what)
        if what == "/changes" and not go_on.is_set():
            kill_worker(broken)
            go_on.set()
        connection.sendall(answer(b'{"n": 1}'))

    place = serve(script).url
    steps: list[dict[str, Any]] = [
        {"method": "POST", "url": f"{place}/first", "save_to": "first"},
        {"method": "GET", "url": f"{place}/safe", "save_to": "safe"},
        {"method": "POST", "url": f"{place}/changes", "body": {"first": "{{#.first.n}}"}, "save_to": "changes"},
        {"method": "POST", "url": f"{place}/last", "body": "{{#.safe}}", "save_to": "last"},
    ]
    run = start(staff, *steps, persistence={"kept": True})
    assert [asked.get(timeout=30) for _ in range(3)] == ["/first", "/safe", "/changes"]
    assert go_on.wait(30)
    shown = ended(staff, run)
    assert shown["state"] == "SUCCESS", shown["error"]
    assert [asked.get(timeout=5) for _ in range(2)] == ["/changes", "/last"]
    assert asked.empty()
    assert shown["result"] == {"kept": True} | {name: {"n": 1} for name in ("first", "safe", "changes", "last")}
    assert [step["again"] for step in shown["steps"]] == [False, False, True, False]
    assert broken.rows("SELECT count(*) FROM sequences_checkpoint WHERE run_id = %s", run) == [(0,)]
    assert broken.rows("SELECT count(*) FROM sequences_checkpointvalue WHERE run_id = %s", run) == [(0,)]


@pytest.mark.parametrize("sends", [False, True], ids=["silent", "trickling"])
def test_a_cancel_ends_a_request_that_goes_on(broken: Disposable, serve: Serve, sends: bool) -> None:
    staff, begun, over = broken.people.admin, Event(), Event()

    def until_it_is_gone(server: Server, connection: socket.socket) -> None:
        begun.set()
        connection.settimeout(30)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" if sends else b"")
        with suppress(OSError):
            while sends and server.pace(0.05):
                connection.sendall(b"x")
            connection.recv(1)
        over.set()

    run = start(staff, {"method": "GET", "url": serve(until_it_is_gone).url})
    assert begun.wait(30)
    assert staff.post(f"/runs/{run}/cancel").json()["state"] == "REVOKED"
    assert over.wait(30)
    assert staff.get(f"/sequences/runs/{run}").json()["state"] == "REVOKED"


def test_a_cancel_ends_all_that_waits_at_once(broken: Disposable, serve: Serve) -> None:
    staff, told = broken.people.admin, Queue[str]()

    def until_it_is_gone(server: Server, connection: socket.socket) -> None:
        told.put("begun")
        connection.settimeout(30)
        with suppress(OSError):
            connection.recv(1)
        told.put("over")

    places = [serve(until_it_is_gone).url for _ in range(4)]
    loop = {"by": "#.places", "parallel": 4, "requests": [{"method": "GET", "url": "{{@}}"}]}
    first = {"method": "GET", "url": serve(answer(b"[]")).url, "__def_loop__": loop}
    run = start(staff, {"parallel": {"branches": [[first], [{"sleep": 600}]]}}, persistence={"places": places})
    assert [told.get(timeout=30) for _ in places] == ["begun"] * 4
    assert staff.post(f"/runs/{run}/cancel").json()["state"] == "REVOKED"
    assert [told.get(timeout=30) for _ in places] == ["over"] * 4
    assert staff.get(f"/sequences/runs/{run}").json()["state"] == "REVOKED"


def test_a_killed_worker_leaves_one_request_of_each_branch_in_doubt(broken: Disposable, serve: Serve) -> None:
    staff, asked, go_on, both = broken.people.admin, Queue[str](), Event(), Barrier(2)

    def script(server: Server, connection: socket.socket) -> None:
        what = server.heads[-1].split()[1]
        asked.put(what)
        if "slow" in what and not go_on.is_set():
            if both.wait(60) == 0:
                kill_worker(broken)
                go_on.set()
            go_on.wait(60)
        connection.sendall(answer(b'{"n": 1}'))

    branches = [
        [{"method": "POST", "url": f"{place}/{name}/{number}{'slow' if number == 1 else ''}"} for number in range(3)]
        for name, place in (("a", serve(script).url), ("b", serve(script).url))
    ]
    run = start(staff, {"parallel": {"branches": branches}, "save_to": "both"})
    before = {asked.get(timeout=30) for _ in range(4)}
    assert before == {"/a/0", "/b/0", "/a/1slow", "/b/1slow"}
    assert go_on.wait(30)
    shown = ended(staff, run)
    assert (shown["state"], shown["result"]) == ("SUCCESS", {"both": [{"n": 1}, {"n": 1}]})
    assert {asked.get(timeout=5) for _ in range(4)} == {"/a/1slow", "/b/1slow", "/a/2", "/b/2"}
    assert asked.empty()
    again = {step["path"] for step in shown["steps"] if step["again"]}
    assert again == {"requests[0].parallel.branches[0][1]", "requests[0].parallel.branches[1][1]"}


def test_more_sequences_than_slots_each_waiting_for_a_walker(broken: Disposable) -> None:
    staff, url = broken.people.admin, broken.people.url
    bearer = {"Authorization": f"token {staff.token}"}
    body = {"name": "mark", "ctx": {"tag": "{{#.tag}}"}, "is_async": True}
    steps: list[dict[str, Any]] = [
        {"method": "POST", "url": f"{url}/js/walker_run", "headers": bearer, "body": body},
        {"method": "GET", "url": f"{url}/js/walker_queue_wait?task_id={{{{$.task_id}}}}&timeout=1", "headers": bearer,
         "until": {"filter": [{"by": "$.state", "condition": {"eq": "SUCCESS"}}], "delay": 0.1},
         "retry": {"attempts": 5}, "save_to": "end"},
    ]  # fmt: skip
    tags = [f"{number} of sequences {staff.token[-8:]}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda tag: start(staff, *steps, persistence={"tag": tag}), tags))
    results = [ended(staff, run) for run in runs]
    assert [shown["result"]["end"]["state"] for shown in results] == ["SUCCESS"] * 8
    assert broken.marks(tags) == dict.fromkeys(tags, 1)
