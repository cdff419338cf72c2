"""A sequence as users of the described system schedule and run theirs: added by a call, fired, carried out."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sequences.services.sequence_execution import perform_sequence
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue.worker_process import work
from taskhub.runs.scheduler.fires import fire_due
from tests.conftest import Person
from tests.integration.outbound_servers import answer, serving
from tests.integration.walkers_shop import installed
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker

pytestmark = pytest.mark.django_db(transaction=True)
ADD = "/js/add_scheduled_sequence"
EVERY_MINUTE = {"type": "interval", "every": 1, "period": "minutes"}  # as they write it, without `conf`
TODO = {"userId": 5, "id": 100, "title": "a todo", "completed": False}


class SetValue(Walker):
    """Sets a value of the node, and reports it."""

    name = "scheduled_sequence"

    def visit(self, here: Place) -> None:
        here.context["val"] = False
        self.report(here.context["val"])


@pytest.fixture(autouse=True)
def shop() -> Iterator[None]:
    with installed(SetValue):
        yield


@pytest.fixture
def elsewhere() -> Iterator[str]:
    with serving() as start:
        body = b'{"userId": 5, "id": 100, "title": "a todo", "completed": false}'
        yield start(answer(body, "Content-Type: application/json; charset=utf-8")).url


def condition(**values: Any) -> dict[str, Any]:
    """A condition with every operator, null where there is no value."""
    return {**dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte", "regex")), **values}


def sequence(master: str, user: str, elsewhere: str) -> dict[str, Any]:
    """What the described system's own test schedules: calls in process, with headers, in a loop over its users."""
    call = {"method": "JAC", "master": "{{#.master}}", "header": {"Authorization": "token {{#.login.token}}"}}
    users = {"method": "JAC", "api": "master_allusers", "master": "{{#.master}}", "body": {"limit": 0, "offset": 0}}
    is_user = {"by": "$.user", "condition": condition(eq=user)}
    walk = {"name": "scheduled_sequence", "ctx": {}, "nd": "{{$.active_gph_id}}", "snt": "active:sentinel"}
    inner = [
        {**call, "api": "object_get", "body": {"obj": "{{$.jid}}", "depth": 0, "detailed": True},
         "ignore_error": True, "save_to": "object_get_{{!}}"},
        {**call, "api": "walker_run", "body": walk, "save_to": "response_{{@.jid}}", "save_req_to": "req_{{@.jid}}"},
    ]  # fmt: skip
    loop = {"by": "$.data", "filter": [{"or": [is_user, {"and": [is_user]}]}], "requests": inner}
    return {
        "persistence": {"additional_field": "can_be_call_via_#.additional_field", "master": master},
        "requests": [
            {**users, "ignore_error": True, "__def_loop__": loop},
            {"method": "GET", "api": f"{elsewhere}/todos/100", "save_to": "todo", "save_req_to": "todo_req"},
            {**users, "save_to": "all_users"},
        ],
    }


def fired() -> Run:
    Schedule.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert fire_due() == 1
    assert work("sequence", perform_sequence, node="sequences@here") == 1
    return Run.objects.get(kind="sequence")


def test_the_described_systems_own_sequence_runs(colleague: Person, owner: Person, elsewhere: str) -> None:
    body = sequence(colleague.user.jid, owner.user.email, elsewhere)
    added = colleague.post(ADD, {"name": "theirs", "schedule": EVERY_MINUTE, "body": body})
    assert (added.status_code, added.json()["schedule"]["conf"]) == (200, {"every": 1, "period": "minutes"})
    run = fired()
    assert run.state == "SUCCESS", run.error
    result: Any = run.result
    assert (result["master"], result["additional_field"]) == (
        colleague.user.jid,
        body["persistence"]["additional_field"],
    )
    people = [entry["user"] for entry in result["all_users"]["data"]]  # the newest first
    number = people.index(owner.user.email)
    shown = result[f"object_get_{number}"]
    assert (shown["jid"], shown["email"], shown["name"]) == (owner.user.jid, owner.user.email, owner.user.name)
    name = owner.user.jid.replace(":", "_").replace("-", "_")
    assert result[f"response_{name}"]["report"] == [False]
    assert result[f"req_{name}"]["body"]["nd"] == shown["active_gph_id"]
    assert result["todo"] == TODO
    assert result["todo_req"]["api"] == f"{elsewhere}/todos/100"


@pytest.mark.parametrize(("version", "result"), [({}, {"id": 100}), ({"version": 1}, {"title": "a todo"})])
def test_a_schedule_names_a_stored_sequence(
    colleague: Person, elsewhere: str, version: dict[str, int], result: dict[str, Any]
) -> None:
    stored = {
        "sequence": {"requests": [{"method": "GET", "url": f"{elsewhere}/{{{{#.inputs.id}}}}", "save_to": "todo"}]},
        "inputs": {"type": "object", "required": ["id"]},
    }
    arguments = {"sequence": "todo", "inputs": {"id": 100}, **version}
    body = {"name": "nightly", "kind": "sequence", "arguments": arguments, "when": {"crontab": "0 3 * * *"}}
    assert colleague.post("/schedules", body).status_code == 400  # there is none yet
    for outputs in ({"title": "#.todo.title"}, {"id": "#.todo.id"}):
        assert colleague.call("PUT", "/sequences/todo", {**stored, "outputs": outputs}).status_code == 201
        if "title" in outputs:
            assert colleague.post("/schedules", body).json()["arguments"] == arguments
    run = fired()
    assert (run.state, run.result, run.schedule) == ("SUCCESS", result, "nightly"), run.error
    assert colleague.call("DELETE", "/sequences/todo").status_code == 204
    Schedule.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert fire_due() == 1
    failed: Any = Run.objects.exclude(pk=run.pk).get(kind="sequence")
    key = "version" if version else "sequence"
    assert (failed.state, key in failed.error["message"], "todo" in failed.error["message"]) == ("FAILURE", True, True)


def test_it_is_refused_to_who_is_no_staff(owner: Person) -> None:
    body = {"persistence": {"master": owner.user.jid}, "requests": []}
    refused = owner.post(ADD, {"name": "theirs", "schedule": EVERY_MINUTE, "body": body})
    assert refused.status_code == 403
    assert refused.json()["detail"]
