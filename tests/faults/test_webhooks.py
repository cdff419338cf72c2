"""Webhooks whose worker is killed, and whose receivers hang: what was accepted is told, under one id."""

import pytest
from standardwebhooks.webhooks import Webhook

from tests.extraction_sites import Reply, serving
from tests.faults.disposable import Disposable, until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


def test_a_worker_killed_in_the_middle_of_a_delivery(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    with serving() as site:
        ids: list[str] = []

        def hook(path: str, before: int) -> Reply:
            ids.append(site.seen[path]["webhook-id"])
            if not before:
                broken.program("worker:threads").kill()
            return Reply("", 204)

        site.pages["/hook"] = hook
        sent = {"name": "echo", "is_async": True, "webhook": f"{site.url}/hook"}
        run = owner.post("/js/walker_run", sent).json()["task_id"]
        [delivery] = until(lambda: owner.get("/webhooks/deliveries", {"run": run}).json()["results"])
        assert set(broken.await_ended([delivery["id"]], 90).values()) == {"SUCCESS"}
        assert set(ids) == {delivery["message"]}
        headers = {name.lower(): value for name, value in site.seen["/hook"].items()}
        key = owner.get("/webhooks/secret").json()["current"]["secret"]
        assert Webhook(key).verify(site.bodies["/hook"], headers)["data"]["id"] == run
