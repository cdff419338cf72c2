"""When the disk is full or away: a clear error, and nothing acknowledged that is not stored."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import requests

from taskhub.embedded import Home, ProcessRegister, Servers
from tests.faults.disposable import Disposable, until
from tests.hub import Caller
from tests.session import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

ROOM = 1024 * 1024
# The first is a body that the front keeps in a file; the second is held in memory until it is stored; the last waits in
# a file of the system's temporary folder.
SIZES = [3 * ROOM // 2, 2 * ROOM, 3 * ROOM]


@contextmanager
def full(hub: Disposable) -> Iterator[None]:
    """No file of the web server can grow further than `ROOM`: its writes fail as they do on a full disk."""
    processes = hub.children("web")
    before = [process.rlimit(resource.RLIMIT_FSIZE) for process in processes]
    for process, (_, hard) in zip(processes, before, strict=True):
        process.rlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        for process, limits in zip(processes, before, strict=True):
            process.rlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def away(hub: Disposable) -> Iterator[None]:
    """A file stands where the folder of the stored files was."""
    folder, aside = hub.home / "files", hub.home / "aside"
    folder.mkdir(exist_ok=True)
    folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


def upload(caller: Caller, tag: str, *files: bytes, **headers: str) -> requests.Response:
    return caller.post(
        "/js/walker_run",
        data={"name": "mark", "ctx": f'{{"tag": "{tag}"}}', "is_async": "true"},
        files=[("files", (f"file{n}", content)) for n, content in enumerate(files)],
        headers=headers,
    )


def held(hub: Disposable, owner: Caller) -> tuple[int, set[Path]]:
    """The runs of an owner, and all files that are stored."""
    [(runs,)] = hub.rows("SELECT count(*) FROM runs_run WHERE owner_id = %s", owner.id)
    return runs, {path for path in (hub.home / "files").rglob("*") if path.is_file()}


def assert_refused(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    body: dict[str, Any] = answer.json()
    assert "cannot be stored" in body["detail"]
    return body


@pytest.mark.parametrize("fault", [full, away])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_that_cannot_be_stored_is_told_and_leaves_nothing(broken: Disposable, fault: Any, size: int) -> None:
    owner = broken.people.sign_up()
    key, content, tag = {"Idempotency-Key": f"of {owner.id}"}, b"x" * size, f"{fault.__name__} {owner.id}"
    before = held(broken, owner)
    with fault(broken):
        assert_refused(upload(owner, tag, b"small", content))
        assert_refused(upload(owner, tag, b"small", content, **key))
        accepted = owner.post("/js/walker_run", {"name": "mark", "ctx": {"tag": tag}, "is_async": True})
        assert accepted.status_code == 202  # what needs no storage goes on
    runs, files = before
    assert held(broken, owner) == (runs + 1, files)
    # The refusal was not kept: the same call again is accepted, once there is room.
    later = upload(owner, f"{tag} later", b"small", content, **key)
    assert later.status_code == 202, later.text
    assert upload(owner, f"{tag} later", b"small", content, **key).json() == later.json()
    ids = {accepted.json()["task_id"]: tag, later.json()["task_id"]: f"{tag} later"}
    assert set(broken.await_ended(ids).values()) == {"SUCCESS"}
    broken.assert_balanced(ids)


# What refuses to write as a full disk makes it, by the statements that the fault leaves out


FULL_DATABASE = """
BEGIN;
-- Or a heartbeat waits for a row, and its trigger for the heartbeat.
LOCK TABLE runs_run, runs_worker IN SHARE ROW EXCLUSIVE MODE;
UPDATE runs_worker SET seen_at = seen_at - interval '1 minute';
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON runs_run FOR EACH ROW EXECUTE FUNCTION no_room();
CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON runs_worker FOR EACH ROW EXECUTE FUNCTION no_room();
COMMIT
"""


@contextmanager
def full_database(hub: Disposable) -> Iterator[None]:
    """PostgreSQL gives the errors of a full disk, and workers have given no heartbeat for a while."""
    hub.execute(FULL_DATABASE)
    try:
        yield
    finally:
        hub.execute("DROP FUNCTION no_room CASCADE")


@contextmanager
def full_redis(hub: Disposable) -> Iterator[None]:
    """Redis takes nothing more, for it has as much as it may."""
    server = Servers.of(Home(hub.home), hub.environment).redis
    assert server is not None
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)


def health(hub: Disposable) -> dict[str, str]:
    return dict(hub.people.anonymous.get("/healthz").json()["checks"])


def test_a_full_database_is_told_as_such(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    with full_database(broken):
        answer = owner.post("/js/walker_run", {"name": "echo", "is_async": True})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
        assert answer.json()["detail"] == "The database has no room: its disk is full."
        assert owner.get("/runs").status_code == 200  # what is there can be read
        assert health(broken) == {"database": "has no room: its disk is full", "broker": "ok"}
    assert owner.post("/js/walker_run", {"name": "echo", "is_async": True}).status_code in {200, 202}


def test_a_full_redis_is_told_as_such_and_nothing_is_lost(broken: Disposable) -> None:
    owner, tag = broken.people.sign_up(), "beside a full Redis"
    with full_redis(broken):
        assert health(broken)["broker"].startswith("takes nothing: command not allowed when used memory")
        answer = owner.post("/js/walker_run", {"name": "mark", "ctx": {"tag": tag}, "is_async": True})
        assert answer.json()["is_queued"] is False
    assert broken.marks([tag]) == {tag: 1}


def test_programs_that_fall_while_the_home_is_full_are_started_once(broken: Disposable) -> None:
    obstacle = broken.home / "processes.draft"
    before = programs(broken)
    victims = [broken.program("worker:walkers"), broken.program("beat")]
    obstacle.mkdir()  # the list of processes cannot be written
    try:
        for victim in victims:
            victim.kill()
        until(lambda: len(programs(broken) - before) == len(victims))
        broken.await_health()
        again = programs(broken) - before
        for process in again:
            process.kill()
        until(lambda: len(programs(broken) - before - again) == len(victims))
    finally:
        obstacle.rmdir()
    broken.await_health()
    assert len(programs(broken)) == len(before)
    broken.program("web").kill()  # with this the list is whole again
    broken.await_health()
    listed = {entry.pid for entry in ProcessRegister(broken.home).read()}
    assert listed == {process.pid for process in programs(broken)}


def programs(hub: Disposable) -> set[psutil.Process]:
    """The living programs of the supervisor: each leads a session, as PostgreSQL's own processes do, too."""
    up, living = hub.up.pid, [process for process in psutil.process_iter(["ppid", "name"]) if is_alive(process)]
    starters = {up, *(each.pid for each in living if each.info["ppid"] == up and each.info["name"] != "postgres")}
    return {process for process in living if process.info["ppid"] in starters and session_leader(process)}


def session_leader(process: psutil.Process) -> bool:
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False
