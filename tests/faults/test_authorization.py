"""Who may call what: every call for everybody, with every kind of credentials. A call that is not in here fails."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client
from rest_framework.settings import api_settings

from taskhub.console.urls import urlpatterns
from taskhub.runs.models import Run
from taskhub.runs.queue import cancel
from tests.faults.credentials import PAYLOAD, SESSION_COOKIE, Credentials, World, waiting_run
from tests.routes import routes, spelled_otherwise

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]


class Row(NamedTuple):
    """What a call answers to its own user, to a stranger, to staff, to nobody, and to credentials that are not good.

    `sent` is its query or body, in which `{names}` stand for things of the owner's. `writes`: a browser's session may
    not make the call by GET. `by_key`: what an API key gets, where that is something else.
    """

    owner: int
    stranger: int
    staff: int
    nobody: int = 401
    bad: int = 401
    sent: dict[str, Any] = {}
    writes: bool = False
    by_key: int | None = None


def own(status: int = 200, staff: int | None = None, **sent: Any) -> Row:
    """About an object: others get 404 for it, staff see all."""
    return Row(status, 404, staff or status, sent=sent)


def each(status: int = 200, **sent: Any) -> Row:
    """About the caller himself."""
    return Row(status, status, status, sent=sent)


def for_staff(status: int = 200, **sent: Any) -> Row:
    return Row(403, 403, status, sent=sent)


def everybody(status: int, **sent: Any) -> Row:
    """Nobody is asked who he is."""
    return Row(status, status, status, status, status, sent=sent)


def registered(reads: dict[str, Row], writes: dict[str, Row]) -> Iterator[tuple[str, Row]]:
    """The calls of the registry, each by GET and by POST."""
    for name, row in [*reads.items(), *((name, row._replace(writes=True)) for name, row in writes.items())]:
        yield from ((f"{method} {name}", row) for method in ("GET", "POST"))


PASSWORD = "correct horse battery"
RUN = "runs/<uuid:run_id>"
DELIVERY = "webhooks/deliveries/<uuid:id>"
EVERY_DAY = {"type": "interval", "conf": {"every": 1, "period": "days"}}
DAILY = {"interval": {"every": 1, "period": "days"}}
SCHEDULE = "schedules/<int:id>"
USER = "users/<uuid:id>"
NOTIFICATION = "notifications/<int:id>"
TASK, PROCESS = "v1/task/<ksuid:id>", "v1/process/<ksuid:id>"
EXTERNAL: dict[str, Any] = {"meta": {"name": "shop"}, "endpoint": "http://127.0.0.1:9/shop"}
STORED = "sequences/<str:name>"
TABLE: dict[str, Row] = {
    "GET livez": everybody(200),
    "GET readyz": everybody(200),
    "GET healthz": everybody(503),
    "GET version": everybody(200),
    "GET metrics": for_staff(),
    "GET openapi.json": everybody(200),
    "GET docs/": everybody(200),
    "GET runs": each(),
    "POST runs/cancel": each(202, all=True),
    "POST runs/retry": each(202, all=True),
    "POST runs/batch": each(202, runs=[{"name": "run"}]),
    "GET runs/stats": each(),
    "GET usage": each(),
    "GET queues": each(),
    "GET workers": for_staff(),
    f"GET {RUN}": own(),
    f"POST {RUN}/cancel": own(),
    f"POST {RUN}/retry": own(409),
    f"GET {RUN}/events": own(),
    f"GET {RUN}/logs": own(),
    f"PUT {RUN}/webhook": own(staff=403, url="http://127.0.0.1:9/hook"),  # the message has the result
    f"DELETE {RUN}/webhook": own(204),
    "GET webhooks/secret": each(),
    "POST webhooks/secret/rotate": each(),
    "POST webhooks/test": each(202, url="http://127.0.0.1:9/hook"),
    "GET webhooks/deliveries": each(),
    f"GET {DELIVERY}": own(),
    f"POST {DELIVERY}/send": own(409),
    "GET notifications": each(),
    "POST notifications": each(201, name="failures", on=["run.failed"], to={"webhook": "http://127.0.0.1:9/hook"}),
    f"GET {NOTIFICATION}": own(),
    f"PATCH {NOTIFICATION}": own(quiet=5),
    f"DELETE {NOTIFICATION}": own(204),
    f"POST {NOTIFICATION}/test": own(202),
    f"GET {NOTIFICATION}/messages": own(),
    "GET schedules": each(),
    "POST schedules": each(201, name="daily", kind="walker", arguments={"name": "run"}, when=DAILY),
    f"GET {SCHEDULE}": own(),
    f"PATCH {SCHEDULE}": own(overlap="wait"),
    f"DELETE {SCHEDULE}": own(204),
    f"POST {SCHEDULE}/run": own(202),
    f"POST {SCHEDULE}/pause": own(),
    f"POST {SCHEDULE}/resume": own(),
    f"GET {SCHEDULE}/fires": own(),
    "POST schedules/preview": each(when=DAILY),
    "GET schedules/calendar": each(),
    "POST user/create/": Row(403, 403, 201, nobody=403, sent={"email": "new@example.com", "password": PASSWORD}),
    "POST user/token/": everybody(200, email="owner@example.com", password=PASSWORD),
    "POST user/logout/": each(204)._replace(by_key=400),  # a key is revoked, not signed out
    "POST user/logout_everyone/": each(204),
    "GET audit": for_staff(),
    "GET users": for_staff(),
    f"GET {USER}": for_staff(),
    f"PATCH {USER}": for_staff(role="viewer"),
    f"POST {USER}/logout": for_staff(204),
    "GET user/manage/": each(),
    "PATCH user/manage/": each(name="Somebody Else"),
    "GET user/apikey": each(),
    "POST user/apikey": each(201),
    "DELETE user/apikey/<str:prefix>": own(204),
    "GET user/sessions": each(),
    "DELETE user/sessions": each(204),
    "DELETE user/sessions/<uuid:id>": own(204, staff=404),
    "POST sequences/validate": for_staff(requests=[]),
    "GET sequences/schema.json": for_staff(),
    "POST sequences/import": for_staff(format="curl", source="curl http://h/"),
    "POST sequences/dry-run": for_staff(sequence={"requests": []}),
    "GET sequences/runs": for_staff(),
    "POST sequences/runs": for_staff(202, requests=[]),
    "GET sequences/runs/<uuid:id>": for_staff(),
    "GET sequences/runs/<uuid:id>/steps": for_staff(),
    "GET sequences/runs/<uuid:id>/tree": for_staff(),
    "GET sequences/runs/<uuid:id>/files/<int:file_id>": for_staff(403),  # its owner's alone
    "POST sequences/runs/<uuid:id>/resume": for_staff(409),  # it has not failed
    "GET sequences": for_staff(),
    f"PUT {STORED}": for_staff(201, sequence={"requests": []}),
    f"GET {STORED}": for_staff(404),  # a name is its owner's alone
    f"DELETE {STORED}": for_staff(404),
    f"GET {STORED}/versions": for_staff(404),
    f"POST {STORED}/runs": for_staff(404, inputs={}),
    "GET secrets": each(),
    "PUT secrets/<str:name>": each(value="abcdef"),
    "DELETE secrets/<str:name>": own(204, staff=404),
    "GET externals": each(),
    "POST externals": each(201, **EXTERNAL),
    "GET externals/<uuid:fid>": own(),
    "PATCH externals/<uuid:fid>": own(timeout=60),
    "PUT externals/<uuid:fid>": own(**EXTERNAL),
    "DELETE externals/<uuid:fid>": own(409),  # a crawler uses it
    "GET streams": each(),
    "POST streams": each(201, name="boots"),
    "GET streams/<uuid:fid>": own(),
    "PATCH streams/<uuid:fid>": own(name="boots"),
    "PUT streams/<uuid:fid>": own(name="boots"),
    "DELETE streams/<uuid:fid>": own(),
    "GET streams/<uuid:fid>/docs": own(),
    "GET streams/<uuid:fid>/changes": own(),
    "GET streams/<uuid:fid>/stats": own(),
    "GET streams/<uuid:fid>/docs/<path:document_id>": own(),
    "GET crawlers": each(),
    "GET crawlers/<uuid:fid>": own(),
    "PATCH crawlers/<uuid:fid>": own(meta={"name": "boots"}),
    "PUT crawlers/<uuid:fid>": own(meta={"name": "boots"}),
    "DELETE crawlers/<uuid:fid>": own(),
    "GET crawlers/<uuid:fid>/tasks": own(),
    "GET crawlers/<uuid:fid>/state": own(),
    "PUT crawlers/<uuid:fid>/state": own(page=7),
    "GET tasks": each(),
    "GET tasks/<uuid:fid>": own(),
    "GET tasks/<uuid:fid>/rejected": own(),
    "POST actions/externals/<uuid:fid>/crawler": own(201),
    "POST actions/crawlers/<uuid:fid>/task": own(208),
    "POST actions/crawlers/<uuid:fid>/task/<uuid:task_fid>": own(409),
    "DELETE actions/tasks/<uuid:fid>": own(),
    "POST actions/tasks/<uuid:fid>/upload": own(sku="a1"),
    "POST actions/tasks/<uuid:fid>/status": own(code=102),
    "POST actions/tasks/<uuid:fid>/log": own(line="page 7"),
    "POST actions/tasks/<uuid:fid>/rejected": own(),
    "POST c/<str:capability>/actions/tasks/<uuid:fid>/upload": everybody(200, sku="a1"),
    "POST c/<str:capability>/actions/tasks/<uuid:fid>/status": everybody(200, code=102),
    "POST c/<str:capability>/actions/tasks/<uuid:fid>/log": everybody(200, line="page 7"),
    "GET c/<str:capability>/actions/tasks/<uuid:fid>/state": everybody(200),
    "PUT c/<str:capability>/actions/tasks/<uuid:fid>/state": everybody(200, page=7),
    "GET v1/tasks": each(),
    "POST v1/tasks": each(),
    "POST v1/task/create": each(201, **PAYLOAD),
    f"POST {TASK}/run": own(202),
    f"POST {TASK}/estimate": own(),
    f"GET {TASK}/info": own(),
    f"POST {TASK}/info": own(),
    f"GET {TASK}/results": own(),
    f"POST {TASK}/results": own(),
    f"POST {TASK}/update": own(name="boots"),
    f"DELETE {TASK}/delete": own(),
    f"POST {TASK}/delete": own(),
    f"GET {TASK}/delivery": own(),
    f"POST {TASK}/delivery/test": own(409),  # it has none
    f"GET {PROCESS}/deliveries": own(),
    f"GET {PROCESS}/info": own(),
    f"POST {PROCESS}/info": own(),
    f"POST {PROCESS}/cancel": own(),
    f"POST {PROCESS}/retry": own(409),
    f"GET {PROCESS}/pages": own(),
    f"GET {PROCESS}/warnings": own(),
    f"POST {PROCESS}/warnings": own(),
    f"GET {PROCESS}/export": own(),
    f"GET {PROCESS}/files/<str:name>": own(404),  # it downloaded none
    **{f"POST v1/{name}": each(202, **PAYLOAD) for name in ("parse", "extract", "serp")},
    "POST v1/preview": each(422, **PAYLOAD),  # nobody works on it here
    "POST v1/suggest": each(422, url="http://127.0.0.1:9/"),
    "POST v1/fetch": each(202, url="http://127.0.0.1:9/"),
    "POST v1/convert/url/screenshot": each(202, url="http://127.0.0.1:9/"),
    "POST v1/convert/url/pdf": each(202, url="http://127.0.0.1:9/"),
    "GET v1/getlink": own(name="{results}"),
    "POST v1/getlink": own(name="{results}"),
    "GET v1/files/<str:token>/<str:name>": everybody(200),
    "GET v1/credits": each(),
    "POST v1/credits": for_staff(user="owner@example.com", amount=5),
    **dict(
        registered(
            reads={
                "js/object_get": own(obj="{graph}"),
                "js/alias_list": each(),
                "js/graph_list": each(),
                "js/graph_active_get": each(),
                "js/graph_get": own(gph="{graph}"),
                "js/master_self": each(),
                "js_admin/master_allusers": for_staff(limit=0),
                "js/walker_queue_check": own(task_id="{run}"),
                "js/walker_queue": own(task_id="{run}"),
                "js/walker_queue_wait": own(task_id="{run}", timeout=0),
                "js/walker_list": each(),
                "js/walker_get": each(name="echo"),
                "js/sentinel_list": each(),
                "js/sentinel_active_get": each(),
                "js/get_scheduled_queues": each(),
            },
            writes={
                "js/object_set": own(obj="{graph}", ctx="{{}}"),
                "js/alias_register": own(name="mine", value="{graph}"),
                "js/alias_delete": own(staff=404, name="shop"),  # a name is its owner's alone
                "js/graph_create": each(name="another"),
                "js/graph_active_set": own(gph="{graph}"),
                "js/graph_delete": own(gph="{graph}"),
                "js/walker_queue_cancel": own(task_id="{run}"),
                "js/walker_run": own(name="run", nd="{graph}"),
                "js/wapi/<str:walker>": own(nd="{graph}"),
                "js/sentinel_active_set": each(snt="global"),
                "js/add_scheduled_walker": each(name="daily", schedule=EVERY_DAY, body={"name": "run"}),
                "js/add_scheduled_sequence": for_staff(name="daily", schedule=EVERY_DAY, body={"requests": []}),
                "js/delete_scheduled_queue": own(name="hourly"),
            },
        )
    ),
}
# What roles may do with what others own. A viewer may do none of it; nor do staff without a role, who see everything.
OF_OTHERS = {"POST sequences/runs/<uuid:id>/resume"}  # for staff; it is about what another owns
OPERATED = {
    "POST runs/cancel",
    "POST runs/retry",
    f"POST {RUN}/cancel",
    f"POST {RUN}/retry",
    f"POST {DELIVERY}/send",
    f"POST {NOTIFICATION}/test",
    f"POST {SCHEDULE}/run",
    f"POST {SCHEDULE}/pause",
    f"POST {SCHEDULE}/resume",
    "POST actions/crawlers/<uuid:fid>/task",
    "POST actions/crawlers/<uuid:fid>/task/<uuid:task_fid>",
    *OF_OTHERS,
    f"POST {TASK}/run",
    f"POST {TASK}/delivery/test",
    f"POST {PROCESS}/cancel",
    f"POST {PROCESS}/retry",
    *(
        f"{method} js/{name}"
        for name in ("walker_run", "wapi/<str:walker>", "walker_queue_cancel")
        for method in ("GET", "POST")
    ),
}
READ_BY_POST = {
    "POST schedules/preview",
    "POST sequences/validate",
    "POST sequences/import",
    "POST v1/tasks",
    f"POST {TASK}/estimate",
    f"POST {TASK}/info",
    f"POST {TASK}/results",
    f"POST {PROCESS}/info",
    f"POST {PROCESS}/warnings",
    "POST v1/getlink",
    *(
        f"POST {call.removeprefix('GET ')}"
        for call, row in TABLE.items()
        if call.startswith("GET js") and not row.writes
    ),
}
OWN_ACCOUNT = {
    "POST user/logout/",
    "POST user/logout_everyone/",
    "PATCH user/manage/",
    "POST user/apikey",
    "DELETE user/apikey/<str:prefix>",
    "DELETE user/sessions",
    "DELETE user/sessions/<uuid:id>",
}
FOR_ADMINS = {"POST user/create/", "POST v1/credits", f"PATCH {USER}", f"POST {USER}/logout"}  # of what is for staff
CONSOLE = {str(pattern.pattern) for pattern in urlpatterns}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def path_of(route: str, things: dict[str, str]) -> str:
    """A part may mean something else in each folder."""
    parts = route.split("/")
    found = [
        things.get(f"{folder}/{part}", things.get(part, part)) if part.startswith("<") else part
        for folder, part in pairwise(["", *parts])
    ]
    return "/" + "/".join(found)


def ask(call: str, things: dict[str, str], by: Credentials, *, csrf: bool = True) -> int:
    """The status of one call, whose effects are undone."""
    method, _, route = call.partition(" ")
    path = path_of(route, things)
    row = TABLE[f"GET {route}" if method == "HEAD" else call]
    sent = {name: text.format(**things) if isinstance(text, str) else text for name, text in row.sent.items()}
    in_query = method in {"GET", "HEAD"}
    if not in_query and "ctx" in sent:
        sent["ctx"] = {}
    if in_query:
        sent = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in sent.items()}
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    headers = dict(by.headers)
    if by.session:
        client.cookies[SESSION_COOKIE] = by.session
        if csrf:
            client.cookies["csrftoken"] = headers["X-CSRFToken"] = "c" * 32
    answer: Any
    with transaction.atomic():
        make = getattr(client, method.lower())
        if in_query:
            answer = make(path, {**sent, **by.query}, headers=headers)
        else:
            answer = make(path, sent, "application/json", headers=headers, query_params=by.query)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert method != "HEAD" or answer.streaming or not content
        transaction.set_rollback(True)
    return int(answer.status_code)


def calls() -> set[str]:
    """Every method of every route."""
    found = set()
    for route, view in routes():
        if route.startswith("admin/") or route in CONSOLE or route in spelled_otherwise():
            continue  # pages for people, which have tables of their own; other spellings have the same views
        kind: Any = getattr(view, "cls", None)
        allowed = [name.upper() for name in kind.http_method_names if hasattr(kind, name)] if kind else ["GET"]
        found |= {f"{method} {route}" for method in METHODS if method in allowed}
    return found


def test_the_table_has_every_call_and_no_other() -> None:
    assert calls() == set(TABLE)


def test_credentials_are_read_alike_by_all_calls() -> None:
    """Of whatever kind they are, a call learns whose they are in the same way; some calls read none."""
    classes = {tuple(view.cls.authentication_classes) for _, view in routes() if hasattr(view, "cls")}
    assert classes == {tuple(api_settings.DEFAULT_AUTHENTICATION_CLASSES), ()}


@pytest.mark.parametrize("call", TABLE)
def test_good_credentials(call: str, world: World) -> None:
    """All kinds by one who is served; by each of the others one kind, in turn, for credentials are read alike."""
    row = TABLE[call]
    statuses = {"owner": row.owner, "stranger": row.stranger, "staff": row.staff}
    served = "owner" if row.owner != 403 else "staff"
    expected, got = {}, {}
    for turn, (name, status) in enumerate(statuses.items(), start=list(TABLE).index(call)):
        kinds = list(world.good[name])
        for how in kinds if name == served else [kinds[turn % len(kinds)]]:
            cell = f"{name} by {how}"
            expected[cell] = row.by_key if row.by_key and how.startswith("key") else status
            if how == "session" and call.startswith("GET") and row.writes:
                expected[cell] = 403
            got[cell] = ask(call, world.things, world.good[name][how])
    assert got == expected


@pytest.mark.parametrize("call", TABLE)
def test_roles(call: str, world: World) -> None:
    """Staff see what all own; what they do with it depends on their roles, and so does what is for staff."""
    row = TABLE[call]
    is_read = call in READ_BY_POST or (call.startswith("GET ") and not row.writes and call != "GET webhooks/secret")
    is_open = row.nobody == row.owner == row.stranger and row.nobody != 403
    refused = (
        404 if call in OF_OTHERS else 403 if call in FOR_ADMINS else row.staff if row.stranger == 403 else row.stranger
    )
    expected = {
        "viewer": row.staff if is_read or is_open else refused if call in OWN_ACCOUNT else 403,
        "operator": row.staff if is_read or call in OPERATED else refused,
        "roleless": row.staff if is_read else refused,
    }
    assert {name: ask(call, world.things, world.good[name]["token"]) for name in expected} == expected


@pytest.mark.parametrize("call", [call for call in TABLE if call.startswith("GET ")])
def test_head_is_served_where_get_reads(call: str, world: World) -> None:
    """As it serves GET, and never what GET would do. By a session, and by one of the other kinds in turn."""
    row = TABLE[call]
    who, status = ("owner", row.owner) if row.owner != 403 else ("staff", row.staff)
    head = f"HEAD {call.removeprefix('GET ')}"
    others = [how for how in world.good[who] if how != "session"]
    kinds = ("session", others[list(TABLE).index(call) % len(others)])
    statuses = {how: ask(head, world.things, world.good[who][how]) for how in kinds}
    assert statuses == dict.fromkeys(statuses, 405 if row.writes else status)
    assert ask(head, world.things, Credentials()) == row.nobody


@pytest.mark.parametrize("call", TABLE)
def test_bad_credentials(call: str, world: World) -> None:
    row = TABLE[call]
    credentials = dict(world.bad)
    nobodys = {"none": Credentials(), "session of the inactive": credentials.pop("session of the inactive")}
    got = {how: ask(call, world.things, given) for how, given in {**credentials, **nobodys}.items()}
    assert got == dict.fromkeys(credentials, row.bad) | dict.fromkeys(nobodys, row.nobody)


@pytest.mark.parametrize("call", [call for call, row in TABLE.items() if row.bad == 401])
def test_a_session_needs_its_csrf_token_to_write(call: str, world: World) -> None:
    row = TABLE[call]
    got = ask(call, world.things, world.good["owner"]["session"], csrf=False)
    assert got == (row.owner if call.startswith("GET") and not row.writes else 403)


@pytest.mark.parametrize("route", sorted({call.partition(" ")[2] for call in TABLE}))
def test_other_methods_are_refused(route: str, world: World) -> None:
    path = path_of(route, world.things)
    others = [method for method in METHODS if f"{method} {route}" not in TABLE]
    assert others
    answers = {method: world.colleague.call(method, path) for method in others}
    assert {method: answer.status_code for method, answer in answers.items()} == dict.fromkeys(others, 405)
    assert all(answer["Content-Type"] == "application/problem+json" for answer in answers.values())
    assert world.colleague.call("OPTIONS", path).status_code in {200, 405}


def test_where_sign_up_is_open_nobody_is_asked(settings: Any, world: World) -> None:
    settings.OPEN_SIGNUP = True
    credentials = {"nobody": Credentials(), **world.good["owner"], **world.bad}
    got = {how: ask("POST user/create/", world.things, given) for how, given in credentials.items()}
    assert got == dict.fromkeys(credentials, 201)


def test_what_has_ended_is_still_its_owners_alone(world: World) -> None:
    owner, stranger, colleague = world.owner, world.stranger, world.colleague
    run = waiting_run(owner.user)
    cancel(run=run)
    path = f"/runs/{run.pk}/retry"
    assert [person.post(path).status_code for person in (stranger, owner, colleague)] == [404, 202, 202]
    assert not Run.objects.filter(owner=colleague.user).exists()  # a retry stays with its owner
