"""Programs that walkers have started: they end with the walk that is stopped, and with the process that is killed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.disposable import Disposable, submit, until
from tests.faults.faulty.walkers import ORPHANS, SHELL
from tests.hub import Caller
from tests.session import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


def cancel(broken: Disposable, owner: Caller, run: str) -> None:
    assert owner.post("/js/walker_queue_cancel", {"task_id": run}).status_code == 200


def kill_worker(broken: Disposable, owner: Caller, run: str) -> None:
    [(worker,)] = broken.rows("SELECT worker FROM runs_run WHERE id = %s", run)
    psutil.Process(int(worker.rpartition(":")[2])).kill()


def wait(broken: Disposable, owner: Caller, run: str) -> None:
    assert set(broken.await_ended([run]).values()) == {"FAILURE"}


STOPS: dict[str, tuple[Callable[..., None], str, str]] = {
    "cancelled": (cancel, "start", "shell"),
    "cancelled where only the watchdog can end it": (cancel, "start", "sum"),
    "out of time": (wait, "start_limited", "shell"),
    "its process killed": (kill_worker, "start", "shell"),
}


@pytest.mark.parametrize("how", STOPS)
def test_what_a_stopped_walk_has_started_ends_with_it(broken: Disposable, tmp_path: Path, how: str) -> None:
    stop, walker, hang = STOPS[how]
    owner, other = broken.people.sign_up(), broken.people.sign_up()
    folder, beside = tmp_path / "it", tmp_path / "beside"
    neighbour, others = start(other, beside, "shell")
    run, programs = start(owner, folder, hang, walker)
    stop(broken, owner, run)
    if how == "its process killed":  # then the bare one does not say whose it is
        programs.pop(2).kill()
    until(lambda: not any(map(is_alive, programs)))
    assert all(map(is_alive, others))
    if how == "its process killed":  # else another attempt would start them again
        cancel(broken, owner, run)
    cancel(broken, other, neighbour)
    until(lambda: not any(map(is_alive, others)))


def test_a_walk_that_ends_leaves_its_daemons_to_its_process(broken: Disposable, tmp_path: Path) -> None:
    owner = broken.people.sign_up()
    run, programs = start(owner, tmp_path / "it", "end")
    assert set(broken.await_ended([run]).values()) == {"SUCCESS"}
    assert all(map(is_alive, programs))
    kill_worker(broken, owner, run)
    until(lambda: not any(map(is_alive, programs[:2])))  # the bare one does not say whose it is
    programs[2].kill()


def test_what_a_walk_in_a_web_process_has_started_ends_with_that(broken: Disposable, tmp_path: Path) -> None:
    owner, folder = broken.people.sign_up(), tmp_path / "it"
    folder.mkdir()
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(owner.post, "/js/walker_run", {"name": "start", "ctx": ctx(folder, "shell")})
        programs = started(folder, "shell")
        web = {process.pid for process in broken.children("web")}
        [process] = [parent for parent in programs[-1].parents() if parent.pid in web]
        process.kill()
        until(lambda: not any(map(is_alive, (programs[0], programs[1], programs[-1]))))
        programs[2].kill()
        assert call.exception() or call.result().status_code >= 500


def start(owner: Caller, folder: Path, how: str, walker: str = "start") -> tuple[str, list[psutil.Process]]:
    """A run, and the programs that it has started."""
    folder.mkdir()
    run = submit(owner, walker, ctx(folder, how))
    return run, started(folder, how)


def ctx(folder: Path, how: str) -> dict[str, Any]:
    return {"folder": str(folder), "how": how}


def started(folder: Path, how: str) -> list[psutil.Process]:
    files = [folder / name for name in (*ORPHANS, *[SHELL] * (how == "shell"))]
    until(lambda: all(file.exists() for file in files))
    return [psutil.Process(int(file.read_text())) for file in files]
