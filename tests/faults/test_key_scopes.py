"""Which scope of an API key each call needs. A call that is not in here fails."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from sequences.services.sequence_runs import submit_sequence
from taskhub.accounts import services as accounts
from taskhub.runs.queue import cancel
from taskhub.security.scopes import ALL_SCOPES
from tests.faults.credentials import Credentials, World
from tests.faults.test_authorization import TABLE, ask
from tests.problems import problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]

RUN, TASK, PROCESS, DELIVERY = (
    "runs/<uuid:run_id>",
    "v1/task/<ksuid:id>",
    "v1/process/<ksuid:id>",
    "webhooks/deliveries",
)
ACTIONS = "actions/crawlers/<uuid:fid>/task"
BOTH = ("GET", "POST")
# Reading needs `read`, whatever else is not named here needs `manage`; of nobody's calls the key is not looked at.
NEEDS: dict[str, set[str]] = {
    "read": {
        "POST sequences/validate",
        "POST sequences/import",
        "POST schedules/preview",
        "POST v1/tasks",
        f"POST {TASK}/estimate",
        f"POST {TASK}/info",
        f"POST {TASK}/results",
        f"POST {PROCESS}/info",
        f"POST {PROCESS}/warnings",
        "POST v1/getlink",
        *(
            f"POST js/{name}"
            for name in (
                *("object_get", "alias_list", "graph_list", "graph_active_get", "graph_get", "master_self"),
                *("walker_queue_check", "walker_queue", "walker_queue_wait", "walker_list", "walker_get"),
                *("sentinel_list", "sentinel_active_get", "get_scheduled_queues"),
            )
        ),
        "POST js_admin/master_allusers",
    },
    "run": {
        f"POST {RUN}/cancel",
        f"POST {RUN}/retry",
        "POST runs/batch",
        "POST runs/cancel",
        "POST runs/retry",
        f"POST {DELIVERY}/<uuid:id>/send",
        "POST sequences/runs",
        "POST sequences/dry-run",
        "POST sequences/runs/<uuid:id>/resume",
        "POST sequences/<str:name>/runs",
        "POST schedules/<int:id>/run",
        f"POST {ACTIONS}",
        f"POST {ACTIONS}/<uuid:task_fid>",
        f"POST {TASK}/run",
        f"POST {TASK}/delivery/test",
        f"POST {PROCESS}/cancel",
        f"POST {PROCESS}/retry",
        *(
            f"POST v1/{name}"
            for name in (
                *("fetch", "convert/url/screenshot", "convert/url/pdf", "parse", "extract", "serp"),
                *("preview", "suggest"),
            )
        ),
        *(f"{m} js/{name}" for m in BOTH for name in ("walker_run", "wapi/<str:walker>", "walker_queue_cancel")),
    },
    "upload": {f"POST actions/tasks/<uuid:fid>/{name}" for name in ("upload", "status", "log", "rejected")},
    "manage": {
        "GET webhooks/secret",
        *(
            f"GET js/{name}"
            for name in (
                *("object_set", "alias_register", "alias_delete", "graph_create", "graph_active_set", "graph_delete"),
                *("sentinel_active_set", "add_scheduled_walker", "add_scheduled_sequence", "delete_scheduled_queue"),
            )
        ),
    },
}
OPEN = {call for call, row in TABLE.items() if row.bad != 401}


def scope_of(call: str) -> str:
    named = [scope for scope, calls in NEEDS.items() if call in calls]
    assert len(named) < 2
    return named[0] if named else "read" if call.startswith("GET") else "manage"


@pytest.fixture(scope="module")
def keys(world: World, django_db_blocker: Any) -> Iterator[dict[str, dict[str, Credentials]]]:
    """By whose they are: a key with each scope alone, and one with all others."""
    with django_db_blocker.unblock():
        people = {"owner": world.owner.user, "staff": world.colleague.user}
        made = {}
        for name, user in people.items():
            for scope in ALL_SCOPES:
                for label, scopes in ((scope, [scope]), (f"not {scope}", [s for s in ALL_SCOPES if s != scope])):
                    _, text = accounts.create_key(user=user, scopes=scopes)
                    made[name, label] = Credentials({"X-API-Key": text})
        yield {name: {label: key for (who, label), key in made.items() if who == name} for name in people}


def test_every_call_is_named_that_is_there() -> None:
    assert set().union(*NEEDS.values()) <= set(TABLE)


@pytest.mark.parametrize("call", [call for call in TABLE if call not in OPEN])
def test_a_key_makes_the_calls_of_its_scopes(
    call: str,
    world: World,
    keys: dict[str, dict[str, Credentials]],
) -> None:
    row, scope = TABLE[call], scope_of(call)
    who, status = ("owner", row.owner) if row.owner != 403 else ("staff", row.staff)
    assert ask(call, world.things, keys[who][scope]) == (row.by_key or status)
    assert ask(call, world.things, keys[who][f"not {scope}"]) == 403


def test_the_problem_names_the_scope(world: World) -> None:
    owner = world.owner
    _, text = accounts.create_key(user=owner.user, scopes=["read"])
    key = {"X-API-Key": text}
    body = problem(owner.call("POST", "/js/walker_run", {"name": "echo"}, headers={**key, "Authorization": ""}), 403)
    assert (body["type"], body["scope"]) == ("missing-scope", "run")
    assert body["detail"] == "The API key lacks the scope 'run'."


JAC: list[tuple[list[dict[str, Any]], set[str]]] = [
    ([{"method": "GET", "url": "http://127.0.0.1:9/"}], {"run"}),
    ([{"method": "JAC", "api": "walker_run", "body": {"name": "echo"}}], {"run"}),
    ([{"method": "JAC", "api": "wapi/echo"}], {"run"}),
    ([{"method": "JAC", "api": "object_get"}], {"run", "read"}),
    ([{"method": "jac", "url": "graph_delete"}], {"run", "manage"}),
    ([{"method": "JAC", "api": "{{#.name}}"}], {"run", "manage"}),
    ([{"method": "JAC", "api": "walker_{{#.name}}"}], {"run", "manage"}),
    ([{"method": "{{#.method}}", "api": "graph_delete"}], {"run", "manage"}),
    ([{"method": "{{#.method}}", "api": "object_get"}], {"run", "read"}),
    (
        [
            {
                "method": "GET",
                "url": "http://127.0.0.1:9/",
                "__def_loop__": {"by": "$", "requests": [{"method": "JAC", "api": "add_scheduled_walker"}]},
            }
        ],
        {"run", "manage"},
    ),
]


@pytest.mark.parametrize(("steps", "needed"), JAC, ids=range(len(JAC)))
def test_a_sequence_needs_the_scopes_of_what_it_calls(steps: Any, needed: set[str], world: World) -> None:
    colleague = world.colleague
    sequence = {"requests": steps}
    run = submit_sequence(arguments=sequence, owner=colleague.user)
    cancel(run=run)
    for lacking in (None, *sorted(needed)):
        _, text = accounts.create_key(user=colleague.user, scopes=sorted(needed - {lacking}) or ["upload"])
        key = {"X-API-Key": text, "Authorization": ""}
        for path, body in (("/sequences/runs", sequence), (f"/runs/{run.pk}/retry", {})):
            with transaction.atomic():
                answer = colleague.call("POST", path, body, headers=key)
                transaction.set_rollback(True)
            assert answer.status_code == (403 if lacking else 202), (path, lacking)
            if lacking:
                assert answer.json()["scope"] == lacking
