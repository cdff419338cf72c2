"""Who may call what: every route for everybody, with every kind of credentials. A route that is not in here fails."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone
from knox.models import AuthToken

from taskhub.accounts import services as accounts
from taskhub.accounts.models import User
from taskhub.runs.models import Run
from taskhub.runs.services import accept, cancel
from tests.conftest import Person, make_person
from walkers.services.graphs import create_graph
from walkers.services.profiles import standing


class Row(NamedTuple):
    """What a call answers to its own user, to a stranger and to staff; nobody gets 401 unless it is open to all."""

    method: str
    path: str
    owner: int
    stranger: int
    staff: int
    body: dict[str, Any] = {}
    nobody: int = 401


RUN = "runs/<uuid:run_id>"
TABLE = {
    "": Row("GET", "/", 302, 302, 302, nobody=302),
    "healthz": Row("GET", "/healthz", 503, 503, 503, nobody=503),
    "openapi.json": Row("GET", "/openapi.json", 200, 200, 200, nobody=200),
    "docs/": Row("GET", "/docs/", 200, 200, 200, nobody=200),
    "runs": Row("GET", "/runs", 200, 200, 200),
    RUN: Row("GET", "/runs/{run}", 200, 404, 200),
    f"{RUN}/cancel": Row("POST", "/runs/{run}/cancel", 200, 404, 200),
    f"{RUN}/retry": Row("POST", "/runs/{ended}/retry", 202, 404, 202),
    f"{RUN}/events": Row("GET", "/runs/{ended}/events", 200, 404, 200),
    "user/create/": Row("POST", "/user/create/", 400, 400, 400, nobody=400),
    "user/token/": Row("POST", "/user/token/", 400, 400, 400, nobody=400),
    "user/logout/": Row("POST", "/user/logout/", 204, 204, 204),
    "user/logout_everyone/": Row("POST", "/user/logout_everyone/", 204, 204, 204),
    "user/manage/": Row("GET", "/user/manage/", 200, 200, 200),
    "user/apikey": Row("POST", "/user/apikey", 201, 201, 201),
    "user/apikey/<str:prefix>": Row("DELETE", "/user/apikey/{prefix}", 204, 404, 204),
    "js/object_get": Row("POST", "/js/object_get", 200, 404, 200, {"obj": "{graph}"}),
    "js/object_set": Row("POST", "/js/object_set", 200, 404, 200, {"obj": "{graph}", "ctx": {"a": 1}}),
    "js/alias_register": Row("POST", "/js/alias_register", 200, 404, 200, {"name": "mine", "value": "{graph}"}),
    "js/alias_list": Row("GET", "/js/alias_list", 200, 200, 200),
    "js/alias_delete": Row("POST", "/js/alias_delete", 404, 404, 404, {"name": "never made"}),
    "js/graph_create": Row("POST", "/js/graph_create", 200, 200, 200, {"name": "another"}),
    "js/graph_list": Row("GET", "/js/graph_list", 200, 200, 200),
    "js/graph_active_set": Row("POST", "/js/graph_active_set", 200, 404, 200, {"gph": "{graph}"}),
    "js/graph_active_get": Row("GET", "/js/graph_active_get", 200, 200, 200),
    "js/graph_delete": Row("POST", "/js/graph_delete", 200, 404, 200, {"gph": "{spare}"}),
    "js/graph_get": Row("POST", "/js/graph_get", 200, 404, 200, {"gph": "{graph}"}),
    "js/master_self": Row("GET", "/js/master_self", 200, 200, 200),
    "js_admin/master_allusers": Row("POST", "/js_admin/master_allusers", 403, 403, 200),
    "js/walker_queue_check": Row("POST", "/js/walker_queue_check", 200, 404, 200, {"task_id": "{run}"}),
    "js/walker_queue": Row("POST", "/js/walker_queue", 200, 404, 200, {"task_id": "{run}"}),
    "js/walker_queue_wait": Row("POST", "/js/walker_queue_wait", 200, 404, 200, {"task_id": "{run}", "timeout": 0}),
    "js/walker_queue_cancel": Row("POST", "/js/walker_queue_cancel", 200, 404, 200, {"task_id": "{run}"}),
    "js/walker_run": Row("POST", "/js/walker_run", 200, 404, 200, {"name": "run", "nd": "{graph}"}),
    "js/wapi/<str:walker>": Row("POST", "/js/wapi/get_botset", 200, 404, 200, {"nd": "{graph}"}),
    "js/walker_list": Row("GET", "/js/walker_list", 200, 200, 200),
    "js/walker_get": Row("POST", "/js/walker_get", 200, 200, 200, {"name": "echo"}),
    "js/sentinel_list": Row("GET", "/js/sentinel_list", 200, 200, 200),
    "js/sentinel_active_set": Row("POST", "/js/sentinel_active_set", 200, 200, 200, {"snt": "global"}),
    "js/sentinel_active_get": Row("GET", "/js/sentinel_active_get", 200, 200, 200),
}
CLOSED = sorted(route for route, row in TABLE.items() if row.nobody == 401)
KEYS_DIFFER = {"user/logout/": 400}  # a key is revoked, not signed out


@dataclass
class World:
    """Somebody's things, which the calls are about."""

    owner: Person
    things: dict[str, str] = field(default_factory=dict)

    def call(self, route: str, person: Person, client: Client | None = None, query: str = "") -> int:
        row = TABLE[route]
        path = row.path.format(**self.things) + query
        body = {name: self._filled(value) for name, value in row.body.items()}
        if client is None:
            status = person.call(row.method, path, None if row.method == "GET" else body).status_code
        elif row.method == "GET":
            status = client.get(path).status_code
        else:
            status = getattr(client, row.method.lower())(path, body, content_type="application/json").status_code
        return int(status)

    def _filled(self, value: Any) -> Any:
        return value.format(**self.things) if isinstance(value, str) else value


@pytest.fixture
def world(owner: Person) -> World:
    user = owner.user
    assert isinstance(user, User)
    run, ended = _run(user), _run(user)
    cancel(run=ended)
    key, _ = accounts.create_key(user=user)
    things = {"run": run.pk, "ended": ended.pk, "graph": standing(user=user).graph_id, "prefix": key.prefix}
    things["spare"] = create_graph(owner=user, name="spare").pk
    return World(owner, {name: str(thing) for name, thing in things.items()})


def _run(user: User) -> Run:
    arguments = {"name": "echo", "snt": "taskhub", "nd": str(standing(user=user).graph_id), "ctx": {}}
    return accept(kind="walker", owner=user, name="echo", arguments=arguments)


def routes(patterns: Any, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            yield from routes(pattern.url_patterns, f"{prefix}{pattern.pattern}")
        else:
            yield f"{prefix}{pattern.pattern}"


def test_the_table_has_every_route_and_no_other() -> None:
    found = {route for route in routes(get_resolver().url_patterns) if not route.startswith("admin/")}
    assert found == set(TABLE)


@pytest.mark.parametrize("route", TABLE)
def test_who_may_call_it(route: str, world: World, stranger: Person, colleague: Person, anonymous: Person) -> None:
    row = TABLE[route]
    assert world.call(route, anonymous) == row.nobody
    assert world.call(route, stranger) == row.stranger
    assert world.call(route, world.owner) == row.owner


@pytest.mark.parametrize("route", TABLE)
def test_staff_see_everybodys(route: str, world: World, colleague: Person) -> None:
    assert world.call(route, colleague) == TABLE[route].staff


@pytest.mark.parametrize("how", ["Bearer", "header", "query", "session"])
@pytest.mark.parametrize("route", CLOSED)
def test_each_kind_of_credentials_is_as_good(route: str, how: str, world: World) -> None:
    user = world.owner.user
    assert isinstance(user, User)
    expected = TABLE[route].owner
    if how in {"header", "query"}:
        expected = KEYS_DIFFER.get(route, expected)
    _, key = accounts.create_key(user=user)
    if how == "Bearer":
        assert world.call(route, Person(headers={"Authorization": f"bEARER {world.owner.token}"})) == expected
    elif how == "header":
        assert world.call(route, Person(headers={"X-API-Key": key})) == expected
    elif how == "query":
        assert world.call(route, Person(), query=f"?api_key={key}") == expected
    else:
        client = Client(raise_request_exception=False)
        client.force_login(user)
        assert world.call(route, Person(), client) == expected


@pytest.mark.parametrize("route", CLOSED)
def test_credentials_that_are_not_good_are_401(route: str, world: World) -> None:
    for headers in _bad_credentials(world.owner):
        assert world.call(route, Person(headers=headers)) == 401, headers


def _bad_credentials(person: Person) -> Iterator[dict[str, str]]:
    user = person.user
    assert isinstance(user, User)
    expired, token = AuthToken.objects.create(user)
    AuthToken.objects.filter(pk=expired.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    yield {"Authorization": f"token {token}"}
    revoked, token = AuthToken.objects.create(user)
    revoked.delete()
    yield {"Authorization": f"token {token}"}
    yield {"Authorization": "token"}
    yield {"Authorization": "token nonsense"}
    row, key = accounts.create_key(user=user)
    accounts.revoke_key(user=user, prefix=row.prefix)
    yield {"X-API-Key": key}
    row, key = accounts.create_key(user=user, expires_in=60)
    type(row).objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    yield {"X-API-Key": key}
    gone = make_person("gone@example.com", is_active=False)
    yield gone.headers
