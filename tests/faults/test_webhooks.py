"""Webhooks and e-mails whose worker is killed: what was accepted is told, and what happened is told once."""

import json
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from tests.extraction_sites import Reply, serving
from tests.faults.disposable import Disposable, frozen, submit, until

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


def test_failures_are_told_once_each_whoever_is_killed_before_that(broken: Disposable, tmp_path: Path) -> None:
    """The process of a run while its end is stored, and after that; and the worker of messages before it has any."""
    owner = broken.people.sign_up()
    with serving() as site:
        site.pages |= {path: Reply("", 204) for path in ("/rule", "/end")}
        rules = []
        for name, to in (("hook", {"webhook": f"{site.url}/rule"}), ("mail", {"email": [owner.email]})):
            made = owner.post("/notifications", {"name": name, "on": ["run.failed"], "to": to})
            rules.append(made.json()["id"])
        with frozen(broken.program("worker:threads")) as threads:
            runs = {submit(owner, "fail", {}, webhook=f"{site.url}/end")}
            for when in ("before the commit", "after the commit"):
                ctx = {"when": when, "flag": str(tmp_path / when)}
                runs.add(submit(owner, "fail_and_die", ctx, webhook=f"{site.url}/end"))
            assert set(broken.await_ended(runs, 90).values()) == {"FAILURE"}
            attempts = broken.rows("SELECT attempt FROM runs_run WHERE id = ANY(%s::uuid[]) ORDER BY id", list(runs))
            assert attempts == [(1,), (2,), (1,)]
            messages = [owner.get(f"/notifications/{rule}/messages").json()["results"] for rule in rules]
            messages.append(owner.get("/webhooks/deliveries", {"event": "run.finished"}).json()["results"])
            assert [{message["run"] for message in of_rule} for of_rule in messages] == [runs] * 3
            assert [len(of_rule) for of_rule in messages] == [3] * 3
            assert not site.hits
            threads.kill()
        ids = [message["id"] for of_rule in messages for message in of_rule]
        assert set(broken.await_ended(ids, 90).values()) == {"SUCCESS"}
        assert site.hits == {"/rule": 3, "/end": 3}
        until(lambda: broken.text.count(f"E-mail to {owner.email}: ") == 3)


def test_a_failure_is_told_once_though_the_worker_of_its_messages_is_killed(broken: Disposable) -> None:
    owner = broken.people.sign_up()
    with serving() as site:

        def hook(path: str, before: int) -> Reply:
            if not before:
                broken.program("worker:threads").kill()
            return Reply("", 204)

        site.pages["/hook"] = hook
        rules = []
        for name, to in (("hook", {"webhook": f"{site.url}/hook"}), ("mail", {"email": [owner.email]})):
            made = owner.post("/notifications", {"name": name, "on": ["run.failed"], "to": to})
            rules.append(made.json()["id"])
        run = owner.post("/js/walker_run", {"name": "fail", "is_async": True}).json()["task_id"]
        broken.await_ended([run], 60)
        messages = [owner.get(f"/notifications/{rule}/messages").json()["results"] for rule in rules]
        assert [[message["run"] for message in sent] for sent in messages] == [[run], [run]]
        assert set(broken.await_ended([message["id"] for [message] in messages], 90).values()) == {"SUCCESS"}
        assert json.loads(site.bodies["/hook"])["data"]["run"]["id"] == run
        until(lambda: f"E-mail to {owner.email}: [taskhub] walker fail failed:" in broken.text)
