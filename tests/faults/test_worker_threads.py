"""Runs that wait, many at once in threads: what hangs, is cancelled or killed holds up nobody, and each ends once.

Their worker is frozen while many are submitted, so that they begin together: what is asked in vain gives up after 2 s.
"""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition, Event
from typing import Any
from uuid import UUID

import pytest

from crawlers.domain.kind_names import DOCUMENT_REMOVAL
from tests import crawler_client
from tests.faults.disposable import CAP, Disposable, frozen, until
from tests.hub import Caller
from tests.integration.outbound_servers import Serve, Server, answer, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

AT_ONCE = 32
GREEDY = 3  # users


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


def staff(broken: Disposable, count: int) -> list[Caller]:
    """So many users who may start sequences."""
    found = [broken.people.sign_up() for _ in range(count)]
    promoted = "UPDATE accounts_user SET is_staff = true WHERE id = ANY(%s::uuid[]) RETURNING id"
    assert len(broken.rows(promoted, [user.id for user in found])) == count
    return found


def start(caller: Caller, *requests: dict[str, Any]) -> str:
    reply = caller.post("/sequences/runs", {"requests": list(requests)})
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def walk(caller: Caller, name: str, **ctx: Any) -> dict[str, Any]:
    """The request of a sequence that makes a walk in the sequence's own thread."""
    return {"method": "JAC", "api": "walker_run", "master": caller.id, "body": {"name": name, "ctx": ctx}}


class Hold:
    """A script of a server that holds its requests until the hub has enough, and knows how many it has held at once.

    With `enough` it answers each in a second. Once it holds so many, `then` is called, and it holds none any more.
    """

    def __init__(self, enough: int = 0, then: Callable[[], None] = lambda: None) -> None:
        self.most = 0
        self._enough, self._then, self._over = enough, then, False
        self._held: set[socket.socket] = set()
        self._change = Condition()

    def __call__(self, server: Server, connection: socket.socket) -> None:
        with self._change:
            self._held.add(connection)
            # Whoever has left has done so before he asked again, though his thread here may not have seen it yet.
            self.most = max(self.most, sum(not has_left(each) for each in self._held))
            if self._enough and self.most >= self._enough and not self._over:
                self._over = True
                self._then()
                self._change.notify_all()
            if self._enough:
                self._change.wait_for(lambda: self._over, 1)
        try:
            if self._enough:
                connection.sendall(answer(b"{}"))
            else:
                connection.recv(1)
        finally:
            with self._change:
                self._held.remove(connection)


def has_left(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_worker_killed_with_32_sequences_at_work(broken: Disposable, serve: Serve) -> None:
    """Each of them goes on, and ends once."""
    runs, killed = dict[str, str](), Event()

    def kill() -> None:
        broken.program("worker:threads").kill()
        killed.set()

    url = serve(Hold(AT_ONCE - 4, kill)).url  # some may just not ask
    with frozen(broken.program("worker:threads")):
        for user in staff(broken, AT_ONCE // CAP):
            for number in range(CAP):
                tag = f"{number} of {user.id}"
                runs[start(user, *[{"method": "GET", "url": url}] * 25, walk(user, "mark", tag=tag))] = tag
    assert killed.wait(60)
    assert set(broken.await_ended(runs, 120).values()) == {"SUCCESS"}
    broken.assert_balanced(runs)


@pytest.mark.parametrize("how", ["loop", "statement", "sleep"])
def test_a_cancelled_sequence_lets_go_wherever_its_walk_hangs(broken: Disposable, tmp_path: Path, how: str) -> None:
    """Its walk, which would be a commit of its own, has no effect; the sequence beside it goes on."""
    [user, other], flag, end = staff(broken, 2), tmp_path / "hangs", tmp_path / "end"
    neighbour = start(other, walk(other, "linger", tag=f"neighbour of {flag}", flag=str(end)))
    stuck = start(user, walk(user, "stuck", tag=str(flag), flag=str(flag), how=how))
    until(flag.exists)
    assert user.post(f"/runs/{stuck}/cancel").json()["state"] == "REVOKED"
    told = f"Run {stuck} cannot be interrupted" if how == "sleep" else f"Run {stuck} stopped"
    until(lambda: told in broken.text)
    end.touch()
    assert broken.await_ended([neighbour]) == {neighbour: "SUCCESS"}
    assert broken.rows("SELECT attempt FROM runs_run WHERE id = %s", neighbour) == [(1,)]
    assert broken.marks([str(flag)]) == {str(flag): 0}


def test_a_walk_that_keeps_the_interpreter_to_itself(broken: Disposable, tmp_path: Path) -> None:
    """Nobody in its process can end it: the process ends once all its leases are lost, and the others go on."""
    [user, other], flag, end = staff(broken, 2), tmp_path / "hangs", tmp_path / "end"
    neighbour = start(other, walk(other, "linger", tag=f"neighbour of {flag}", flag=str(end)))
    until(lambda: broken.states([neighbour]) != {neighbour: "PENDING"})
    before = broken.program("worker:threads").pid
    stuck = start(user, walk(user, "stuck", tag=str(flag), flag=str(flag), how="sum"))
    until(flag.exists)
    assert user.post(f"/runs/{stuck}/cancel").json()["state"] == "REVOKED"
    end.touch()
    assert broken.await_ended([neighbour], 90) == {neighbour: "SUCCESS"}
    assert broken.program("worker:threads").pid != before
    assert broken.marks([str(flag)]) == {str(flag): 0}


def test_a_schedule_whose_runs_go_beside_each_other(broken: Disposable, serve: Serve) -> None:
    admin, hold = broken.people.admin, Hold()
    often = {"type": "interval", "conf": {"every": 1, "period": "seconds"}}
    body = {"requests": [{"method": "GET", "url": serve(hold).url}]}
    made = admin.post("/js/add_scheduled_sequence", {"name": "beside", "schedule": often, "body": body})
    assert made.status_code == 200, made.text
    try:
        overlaps = "UPDATE runs_schedule SET overlap = 'beside' WHERE periodic_id = %s RETURNING overlap"
        [(id,)] = broken.rows("SELECT id FROM django_celery_beat_periodictask WHERE name = 'beside'")
        assert broken.rows(overlaps, id) == [("beside",)]
        until(lambda: hold.most >= 2)
    finally:
        broken.rows("UPDATE django_celery_beat_periodictask SET enabled = false WHERE name = 'beside' RETURNING id")


def test_sequences_that_hang_delay_no_other(broken: Disposable, serve: Serve) -> None:
    *greedy, other = staff(broken, GREEDY + 1)
    hold = Hold()
    hangs = {"method": "GET", "url": serve(hold).url}
    with frozen(broken.program("worker:threads")):
        for user in greedy:
            for _ in range(2 * CAP):
                start(user, hangs)
    until(lambda: hold.most >= GREEDY * CAP)
    run = start(other, {"method": "GET", "url": serve(answer(b"{}")).url})
    assert broken.await_ended([run]) == {run: "SUCCESS"}
    assert hold.most == GREEDY * CAP


def test_two_greedy_users_leave_a_slot_for_a_third_whose_documents_are_removed(
    broken: Disposable, serve: Serve
) -> None:
    """Of four slots the first has two, the second one."""
    endpoint = serve(answer(b'{"payload": {"status": 102}}')).url
    greedy, third = [broken.people.sign_up() for _ in range(2)], broken.people.sign_up()
    held = [(user, crawl_document(user, endpoint)) for user in greedy for _ in range(3)]
    own = crawl_document(third, endpoint)
    documents = "SELECT FROM crawlers_document JOIN crawlers_task ON crawlers_task.id = task_id WHERE fid = ANY(%s)"
    going_on = "SELECT id FROM runs_run WHERE kind = %s AND lease_until IS NOT NULL"
    with broken.locked(f"{documents} FOR UPDATE OF crawlers_document", [UUID(task) for _, task in held]):
        for user, task in held:
            assert user.delete(f"/actions/tasks/{task}").status_code == 200
        until(lambda: len(broken.rows(going_on, DOCUMENT_REMOVAL)) == 3)
        assert third.delete(f"/actions/tasks/{own}").status_code == 200
        until(lambda: not broken.rows("SELECT id FROM crawlers_task WHERE fid = %s", UUID(own)))
        assert len(broken.rows(going_on, DOCUMENT_REMOVAL)) == 3
    tasks = "SELECT id FROM crawlers_task WHERE fid = ANY(%s)"
    until(lambda: not broken.rows(tasks, [UUID(task) for _, task in held]))


def crawl_document(caller: Caller, endpoint: str) -> str:
    """The id of a task that has a document."""
    task = str(crawl(caller, endpoint)["fid"])
    sent = caller.call("POST", f"/actions/tasks/{task}/upload", data=b'{"sku": "a"}')
    assert sent.status_code == 200, sent.text
    return task


def test_crawlers_that_hang_are_asked_at_once_and_delay_no_other(broken: Disposable, serve: Serve) -> None:
    hold, asked = Hold(), Event()
    hangs = serve(hold)
    with frozen(broken.program("worker:threads")):
        for _ in range(GREEDY):
            greedy = broken.people.sign_up()
            for _ in range(CAP):
                crawl(greedy, hangs.url)
    until(lambda: hold.most >= GREEDY * CAP - 1)

    def take(server: Server, connection: socket.socket) -> None:
        asked.set()
        connection.sendall(answer(b'{"payload": {"status": 200}}'))

    caller = broken.people.sign_up()
    task = crawl(caller, serve(take).url)
    assert asked.wait(60)
    until(lambda: crawler_client.task(caller, task["fid"])["status"]["code"] == 200)


def crawl(caller: Caller, endpoint: str) -> dict[str, Any]:
    made = crawler_client.crawler(caller, crawler_client.external(caller, endpoint))
    return crawler_client.start(caller, made["crawler"], count=1)


def test_receivers_that_hang_are_told_at_once_and_delay_no_other(broken: Disposable, serve: Serve) -> None:
    hold, told = Hold(), Event()
    hangs = serve(hold)
    with frozen(broken.program("worker:threads")):
        for number in range(GREEDY):
            greedy = broken.people.sign_up()
            for path in (f"/{number}/a", f"/{number}/b", f"/{number}/a", f"/{number}/b"):
                assert greedy.post("/webhooks/test", {"url": f"{hangs.url}{path}"}).status_code == 202
    until(lambda: hold.most >= GREEDY * CAP - 1)

    def take(server: Server, connection: socket.socket) -> None:
        told.set()
        connection.sendall(answer(b"", status="204 No Content"))

    third = broken.people.sign_up()
    sent = third.post("/webhooks/test", {"url": f"{serve(take).url}/hook"}).json()["id"]
    assert told.wait(60)
    assert broken.await_ended([sent]) == {sent: "SUCCESS"}
