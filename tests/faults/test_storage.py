"""When the disk is full or away: a clear error, and nothing acknowledged that is not stored."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.faults.disposable import Disposable
from tests.hub import Caller

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

ROOM = 1024 * 1024
# The first is held in memory until it is stored; the other waits in a file of the system's temporary folder.
SIZES = [2 * ROOM, 3 * ROOM]


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
