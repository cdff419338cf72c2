"""What a call does not know is refused by name: parameters of the query, bodies of calls that take none, formats."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver

from taskhub.runs.models import Run
from taskhub.web.views import CheckedView
from tests import crawler_client
from tests.conftest import Person
from tests.problems import problem

pytestmark = pytest.mark.django_db
# These check what they are sent by themselves, or take whatever a watcher of the hub sends.
OWN_CHECKS = ("js/", "js_admin/", "openapi.json", "docs/", "healthz", "livez", "readyz", "version")


def views() -> Iterator[tuple[str, Any]]:
    def within(patterns: Any, before: str = "") -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            place = before + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield place, getattr(pattern.callback, "cls", None)
            else:
                yield from within(pattern.url_patterns, place)

    yield from ((place, view) for place, view in within(get_resolver().url_patterns) if view)


PLAIN = sorted(
    (place, method)
    for place, view in views()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    if "<" not in place and issubclass(view, CheckedView) and hasattr(view, method.lower())
)


def test_every_call_refuses_what_it_does_not_know() -> None:
    assert [
        place for place, view in views() if not issubclass(view, CheckedView) and not place.startswith(OWN_CHECKS)
    ] == []


@pytest.mark.parametrize(("place", "method"), PLAIN)
def test_a_parameter_that_is_not_known_is_refused(colleague: Person, place: str, method: str) -> None:
    problem(colleague.call(method, f"/{place}?colour=red&api_key=", {} if method != "GET" else None), 400, "/colour")


def api_paths() -> Iterator[tuple[str, frozenset[str]]]:
    """A path of each route of the API, and its parameters that may be given several times."""
    values = {
        "uuid": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70",
        "ksuid": "1XtQA0Z15N3fqKZuzPKESUsTIW1",
        "str": "x",
        "int": "1",
        "path": "a/b",
    }
    for place, view in views():
        yield (
            re.sub(r"<(\w+):\w+>", lambda found: values[found[1]], place),
            getattr(view, "list_parameters", frozenset()),
        )


@pytest.mark.parametrize(
    ("place", "lists"), sorted(api_paths()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_parameter_that_is_given_twice_is_refused(anonymous: Person, place: str, lists: frozenset[str]) -> None:
    """Wherever the call is, and whoever makes it."""
    twice = sorted({"cursor", "api_key", "x", "state"} - lists)
    query = "&".join(f"{name}=1&{name}=1" for name in twice)
    answer = anonymous.get(f"/{place}?limit=1&is_async=&{query}&limit=2&is_async=")
    problem(answer, 400, *(f"/{name}" for name in sorted([*twice, "is_async", "limit"])))


@pytest.mark.parametrize(
    ("place", "states"),
    [
        ("/webhooks/deliveries", ("SUCCESS", "FAILURE")),
        ("/sequences/runs", ("SUCCESS", "FAILURE")),
        ("/v1/process/{process}/pages", ("failed", "done")),
    ],
)
def test_states_may_be_several(colleague: Person, place: str, states: tuple[str, str]) -> None:
    if "{" in place:
        payload = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
        task = colleague.post("/v1/task/create", payload).json()["id"]
        place = place.format(process=colleague.post(f"/v1/task/{task}/run").json()["id"])
    for query in ("state={0}&state={1}", "state={0},{1}", "state={0}"):
        assert colleague.get(f"{place}?{query.format(*states)}").status_code == 200
    problem(colleague.get(f"{place}?state={states[0]}&state=lost"), 400, "/state")


def test_a_field_of_a_form_that_is_given_twice_is_refused(owner: Person) -> None:
    stream = made(owner)["stream"]
    form = {"content_type": "application/x-www-form-urlencoded"}
    problem(owner.call("PUT", stream, "name=a&name=b", **form), 400, "/name")
    problem(owner.post("/js/alias_register", "name=a&value=b&name=a", **form), 400, "/name")
    problem(owner.post("/user/token/", "email=a&email=b&password=c", **form), 400, "/email")


def made(owner: Person) -> dict[str, str]:
    """Paths of things that exist."""
    made = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/shop"), start=True)
    paths = {kind: f"/{kind}s/{made[kind]['fid']}" for kind in ("external", "stream", "crawler", "task")}
    return paths | {"run": f"/runs/{made['task']['run']}"}


BODILESS = [
    ("POST", "{run}/cancel"),
    ("DELETE", "{external}"),
    ("DELETE", "{stream}"),
    ("DELETE", "{crawler}"),
    ("DELETE", "/actions{task}"),
    ("POST", "/actions{task}/rejected"),
    ("POST", "/actions{crawler}/task/{task_fid}"),
    ("POST", "/user/logout/"),
    ("POST", "/user/logout_everyone/"),
    ("DELETE", "/user/apikey/thk_000000000000"),
]
BODIES: list[tuple[Any, str, list[str]]] = [
    ({"arguments": {"value": 2}, "why": "a change"}, "application/json", ["/arguments", "/why"]),
    ("arguments=2", "application/x-www-form-urlencoded", ["/arguments"]),
    ("[1]", "application/json", []),
    ("something", "text/plain", []),
    ("{", "application/json", []),
]
SHOWN = [
    "{run}",
    "{external}",
    "{stream}",
    "{stream}/docs",
    "{crawler}",
    "{crawler}/tasks",
    "{task}",
    "{task}/rejected",
]


@pytest.mark.parametrize(("method", "place"), BODILESS)
def test_a_body_is_refused_where_none_is_taken(owner: Person, method: str, place: str) -> None:
    paths = made(owner)
    path = place.format(**paths, task_fid=paths["task"].rpartition("/")[2])
    before = [owner.get(shown).json() for shown in paths.values()]
    for body, content_type, pointers in BODIES:
        problem(owner.call(method, path, body, content_type=content_type), 400, *pointers)
    problem(owner.call(method, f"{path}?colour=red"), 400, "/colour")
    assert [owner.get(shown).json() for shown in paths.values()] == before
    assert Run.objects.count() == 1


def test_a_parameter_of_what_is_shown_is_refused(owner: Person) -> None:
    paths = made(owner)
    for path in [place.format(**paths) for place in SHOWN]:
        problem(owner.get(f"{path}?colour=red"), 400, "/colour")
        assert owner.get(path).status_code == 200, path


def test_an_empty_object_is_no_body(owner: Person) -> None:
    run = made(owner)["run"]
    assert owner.post(f"{run}/cancel", {}).status_code == 200
    assert owner.post(f"{run}/retry", "{}").status_code == 202


@pytest.mark.parametrize("place", ["{stream}/docs", "{task}/rejected"])
def test_a_format_that_is_not_known_is_not_answered_with_another(owner: Person, place: str) -> None:
    path = place.format(**made(owner))
    for accept in ("application/pdf", "application/xml;q=0.9, application/pdf"):
        answer = owner.get(path, headers={"Accept": accept})
        assert "application/x-ndjson" in problem(answer, 406)["detail"], accept
    for accept in ("application/json", "application/x-ndjson", "application/pdf, */*;q=0.1", "application/*"):
        assert owner.get(path, headers={"Accept": accept}).status_code == 200, accept
