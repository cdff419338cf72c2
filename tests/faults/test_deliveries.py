"""Deliveries of a hub whose destination goes on and on: they end when they are cancelled, and with their worker."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
import pytest

from tests.faults.disposable import Disposable, until
from tests.faults.slow_servers import slow_server
from tests.hub import Caller

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

PAYLOAD = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}], "format": "CSV"}


@contextmanager
def delivery(broken: Disposable, owner: Caller, behaviour: str) -> Iterator[str]:
    """The run of a delivery to a server that behaves so."""
    with slow_server(behaviour) as server:
        destination = {"type": "s3", "bucket": "results", "endpoint": f"http://{server.authority}"}
        destination |= {"accessKeyId": "testing", "secretAccessKey": "s3cr3t-key"}
        made = owner.post("/v1/task/create", {"payload": PAYLOAD, "delivery": destination})
        [delivery] = owner.post(f"/v1/task/{made.json()['id']}/delivery/test").json()
        yield delivery["run"]


def upload_programs(broken: Disposable) -> list[psutil.Process]:
    descendants = psutil.Process(broken.up.pid).children(recursive=True)
    return [process for process in descendants if "extraction.delivery.upload_program" in command_of(process)]


def command_of(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def shown(owner: Caller, run: str) -> dict[str, Any]:
    return dict(owner.get(f"/runs/{run}").json())


def test_a_silent_destination_is_left_and_tried_again(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    with delivery(broken, owner, "silent") as run:
        until(lambda: shown(owner, run)["state"] == "RETRY")
        assert "stalled for 2 seconds" in shown(owner, run)["error"]["message"]
        assert upload_programs(broken) == []
        owner.post(f"/runs/{run}/cancel")


def test_a_cancelled_delivery_ends_whatever_its_server_does(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    with delivery(broken, owner, "dribble_body") as run:
        until(lambda: upload_programs(broken))
        assert owner.post(f"/runs/{run}/cancel").json()["state"] == "REVOKED"
        until(lambda: not upload_programs(broken))


def test_a_delivery_ends_with_its_worker(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    with delivery(broken, owner, "dribble_body") as run:
        [program] = until(lambda: upload_programs(broken))
        program.parent().kill()
        until(lambda: not program.is_running())
        owner.post(f"/runs/{run}/cancel")


def test_two_greedy_users_leave_a_slot_for_a_third(broken: Disposable) -> None:
    """Of four slots the first has two, the second one."""
    with ExitStack() as going_on:
        for owner in (broken.people.sign_up(), broken.people.sign_up()):
            for _ in range(3):
                run = going_on.enter_context(delivery(broken, owner, "dribble_body"))
                going_on.callback(owner.post, f"/runs/{run}/cancel")
        until(lambda: len(upload_programs(broken)) == 3)
        third = broken.people.sign_up()
        with delivery(broken, third, "silent") as run:
            until(lambda: shown(third, run)["attempt"] == 1)
            third.post(f"/runs/{run}/cancel")
