"""Who may open which page of the admin: every page for everybody. A page that is not in here fails."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.models import Model, QuerySet
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import TaskResult
from knox.models import AuthToken

from extraction.domain.pages_payload import PagesPayload
from extraction.services.process_lifecycle import add_first_pages
from extraction.services.processes import run_task
from extraction.services.tasks import create_task
from sequences.models import SequenceStep
from sequences.services.secrets import save_secret
from sequences.services.sequence_runs import submit_sequence
from sequences.services.stored_sequences import save_sequence
from taskhub.accounts import services as accounts
from taskhub.runs.models import Leadership, Schedule, Worker
from taskhub.runs.notifications import services as notifications
from taskhub.runs.queue import submit
from taskhub.runs.webhooks.models import DeliveryAttempt
from taskhub.runs.webhooks.services import send_test
from tests import crawler_client
from tests.conftest import Person, make_person, undone_in_the_end
from tests.routes import routes
from walkers.models import RunFile
from walkers.services.aliases import register_alias
from walkers.services.graphs import create_graph, spawn
from walkers.walks.principal import activate_graph

pytestmark = pytest.mark.django_db

ROLES = ("viewer", "operator", "admin")
# What a superuser may do with the rows of a table. Most are written by the hub, and only looked at here.
TABLE = {
    "accounts/apikey": {"list", "change", "history", "delete"},
    "audit/auditentry": {"list", "change", "history"},
    "accounts/user": {"list", "add", "change", "history", "delete", "password"},
    "auth/group": {"list", "add", "change", "history", "delete"},
    **{
        f"django_celery_beat/{name}": {"list", "add", "change", "history", "delete"}
        for name in ("clockedschedule", "crontabschedule", "intervalschedule", "periodictask", "solarschedule")
    },
    **{
        f"crawlers/{name}": {"list", "change", "history"}
        for name in ("crawler", "crawlertask", "document", "external", "rejectedline", "stream")
    },
    **{
        f"extraction/{name}": {"list", "change", "history"}
        for name in ("creditaccount", "creditentry", "extractionpage", "extractiontask", "process")
    },
    "django_celery_results/taskresult": {"list", "change", "history", "delete"},
    "knox/authtoken": {"list", "delete"},  # a token's page would have its digest in the address
    "runs/leadership": {"list", "change", "history", "delete"},
    "runs/notificationmessage": {"list", "change", "history"},
    "runs/notificationrule": {"list", "change", "history", "delete"},
    "runs/run": {"list", "change", "history"},
    "runs/worker": {"list", "change", "history", "delete"},
    "webhooks/deliveryattempt": {"list", "change", "history"},
    **{f"sequences/{name}": {"list", "change", "history"} for name in ("sequencestep", "sequenceversion")},
    "sequences/storedsecret": {"list", "change", "history", "delete"},
    "walkers/alias": {"list", "change", "history", "delete"},
    "walkers/edge": {"list", "change", "history", "delete"},
    "walkers/graph": {"list", "change", "history", "delete"},
    "walkers/node": {"list", "change", "history"},  # the root, which goes with its graph
    "walkers/profile": {"list", "change", "history"},
    "walkers/runfile": {"list", "change", "history"},
}
# Pages of no table: what nobody, staff without a right and a superuser get.
OWN = {
    "": (302, 200, 200),
    "login/": (302, 302, 302),  # to the console's, or back
    "logout/": (302, 405, 405),  # by POST
    "password_change/": (302, 302, 302),  # to the console's
    "password_change/done/": (302, 200, 200),
    "jsi18n/": (302, 200, 200),
    "autocomplete/": (302, 403, 403),
    "r/<path:content_type_id>/<path:object_id>/": (302, 404, 404),
    "nowhere": (302, 404, 404),
    "runs/": (302, 404, 200),  # an app of which one may see nothing is not there
}
# The actions of each list: the permission that each needs, and whether it asks first.
OPERATE = "accounts.operate_all"
ALSO_OPERATE = ("change_periodictask", "change_extractiontask")  # each lets do at its table what OPERATE lets do
ACTIONS: dict[str, dict[str, tuple[str, bool]]] = {
    "accounts/apikey": {"revoke": ("accounts.delete_apikey", True)},
    "accounts/user": {
        "end_tokens": ("accounts.change_user", True),
        "remove_second_factors": ("accounts.change_user", True),
    },
    "crawlers/crawler": {
        "start_tasks": ("crawlers.add_crawlertask", True),
        "delete_crawlers": ("crawlers.delete_crawler", True),
    },
    "crawlers/crawlertask": {
        "retry_tasks": ("crawlers.change_crawlertask", True),
        "stop_tasks": ("crawlers.change_crawlertask", False),
        "time_out_tasks": ("crawlers.change_crawlertask", False),
        "delete_tasks": ("crawlers.delete_crawlertask", True),
    },
    "crawlers/external": {"delete_externals": ("crawlers.delete_external", True)},
    "crawlers/stream": {"delete_streams": ("crawlers.delete_stream", True)},
    "django_celery_beat/periodictask": {
        "enable": (OPERATE, False),
        "disable": (OPERATE, False),
        "take_over": ("django_celery_beat.change_periodictask", False),
        "run_now": (OPERATE, True),
    },
    "extraction/extractiontask": {
        "run_tasks": ("extraction.add_process", True),
        "test_deliveries": (OPERATE, True),
        "delete_tasks": ("extraction.delete_extractiontask", True),
    },
    "extraction/process": {
        "cancel_processes": ("extraction.change_process", False),
        "retry_processes": ("extraction.change_process", True),
    },
    "runs/notificationrule": {
        "enable": ("runs.change_notificationrule", False),
        "disable": ("runs.change_notificationrule", False),
        "send_test": ("runs.add_notificationmessage", True),
    },
    "runs/run": {"cancel_runs": ("runs.change_run", False), "retry_runs": ("runs.add_run", True)},
    "webhooks/deliveryattempt": {"send_again": ("webhooks.add_deliveryattempt", True)},
}
# Buttons of our own: where they are, the permission that each needs, and whether it asks first.
BUTTONS: dict[str, tuple[str, str, bool]] = {
    "end": ("knox/authtoken/", "knox.delete_authtoken", True),
    "run_now": (
        "django_celery_beat/periodictask/{pk}/change/",
        OPERATE,
        True,
    ),
}
DJANGOS_BUTTONS = {
    "index",
    "_save",
    "_addanother",
    "_continue",
    "_saveasnew",
    "_preview",  # ours, which writes nothing
    "_popup",
    "set-password",
    "unset-password",
}
EACH_ACTION = [(table, action) for table, actions in ACTIONS.items() for action in actions]
RUN_NOW = "django_celery_beat/periodictask/run"
STEP_TREE = "sequences/sequencestep/tree"  # of a run of a sequence
ROUTES = {route.removeprefix("admin/"): view for route, view in routes() if route.startswith("admin/")}
PAGES = {f"{table}/{page}" for table in TABLE for page in ("list", "add", "change", "history", "delete")}


def page_of(route: str) -> str:
    """`runs/run/<path:object_id>/change/` is `runs/run/change`; empty for the address that leads to it."""
    app, model, *rest = route.strip("/").split("/")
    named = {"": "list", "add": "add"}.get("/".join(rest), rest[-1] if rest else "list")
    return "" if named.startswith("<") else f"{app}/{model}/{named}"


def fill(owner: Person) -> None:
    """Every table has a row."""
    graph, now = create_graph(owner=owner.user, name="shop"), timezone.now()
    spawn(source=graph.nodes.get(), kind="shelf", context={}, edge="holds", edge_context={})
    register_alias(owner=owner.user, name="shop", target=graph.pk)
    activate_graph(user=owner.user, graph=graph)
    accounts.create_key(user=owner.user)
    arguments = {"name": "echo", "snt": "taskhub", "nd": str(graph.pk), "ctx": {}}
    run = submit(kind="walker", owner=owner.user, name="echo", arguments=arguments)
    RunFile.objects.create(run=run, field="file", name="a.txt", size=1, sha256="0" * 64, path="a")
    TaskResult.objects.create(task_id="elsewhere")
    Worker.objects.create(name="walkers@here", queues=["walkers"], pid=1, seen_at=now)
    DeliveryAttempt.objects.create(
        delivery=send_test(owner=owner.user, url="http://127.0.0.1:9/"), number=1, duration_ms=1
    )
    rule = {"name": "failures", "on": ["run.failed"], "to": {"webhook": "http://127.0.0.1:9/"}}
    notifications.send_test(rule=notifications.create_rule(owner=owner.user, values=rule))
    Leadership.objects.create(name="beat", holder="here", until=now)
    Group.objects.create(name="operators")
    sequence = submit_sequence(arguments={"requests": []}, owner=owner.user)
    SequenceStep.objects.create(
        run=sequence, number=1, path="requests[0]", method="GET", url="http://h/", duration_ms=1
    )
    save_secret(user=owner.user, name="key", value="opensesame", is_global=False)
    save_sequence(user=owner.user, name="nightly", sequence={"requests": []})
    made = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/shop"))
    task = crawler_client.start(owner, made["crawler"])
    body = b'{"sku": "a1"}\n{"sku": 2}'
    sent = owner.post(f"/actions/tasks/{task['fid']}/upload?on_invalid=skip", body, content_type="application/x-ndjson")
    assert sent.status_code == 200, sent.content
    payload = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
    process = run_task(task=create_task(owner=owner.user, body=payload))
    add_first_pages(process=process, payload=PagesPayload.parse(payload))
    interval = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name="hourly", task="sequences.tasks.ScheduledSequence", interval=interval)
    CrontabSchedule.objects.create()
    SolarSchedule.objects.create(event="sunrise", latitude=52, longitude=21)
    ClockedSchedule.objects.create(clocked_time=now)


def row_of(table: str) -> Model:
    app, name = table.split("/")
    rows = apps.get_model(app, name)._default_manager.order_by("pk")
    if name == "user":
        rows = rows.filter(email="owner@example.com")  # and none of those who ask
    if name == "group":
        rows = rows.exclude(name__in=ROLES)  # which stay as they are
    row: Model | None = rows.filter(kind="root").first() if name == "node" else rows.first()
    assert row is not None, f"{table} is empty"
    return row


class World(NamedTuple):
    """Clients of staff by what they may do, and people who are none."""

    staff: dict[str, Client]
    owner: Person
    stranger: Person


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once, for what a test changes is undone after it."""
    with django_db_blocker.unblock(), undone_in_the_end():
        owner = make_person("owner@example.com")
        yield World(staff_of(owner), owner, make_person("stranger@example.com"))


def staff_of(owner: Person) -> dict[str, Client]:
    fill(owner)
    people: dict[str, Person] = {role: make_person(f"{role}@example.com", role=role) for role in ROLES}
    people |= {
        "root": make_person("root@example.com", is_staff=True, is_superuser=True),
        "some": make_person("some@example.com", is_staff=True),
        "seer": make_person("seer@example.com", is_staff=True),
    }
    people["seer"].user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    clients = {name: Client(raise_request_exception=False) for name in people}
    for name, client in clients.items():
        client.force_login(people[name].user)
    return clients


def test_the_table_has_every_page_and_no_other() -> None:
    named = {"^(?P<app_label>": "runs/", "(?P<url>": "nowhere"}
    own = {next((name for start, name in named.items() if route.startswith(start)), route) for route in ROUTES}
    of_tables = {route for route in own if route.count("/") > 1 and route not in OWN}
    assert own - of_tables == set(OWN)
    pages = {page_of(route) for route in of_tables} - {""}
    assert pages == PAGES | {"accounts/user/password", RUN_NOW, STEP_TREE}


@pytest.mark.parametrize("path", OWN)
def test_pages_of_no_table(path: str, world: World) -> None:
    staff = world.staff
    clients = (Client(), staff["some"], staff["root"])
    assert tuple(client.get(f"/admin/{path}").status_code for client in clients) == OWN[path]


@pytest.mark.parametrize("table", TABLE)
def test_pages_of_tables(table: str, world: World) -> None:
    """Staff open what they have a right to, and nobody else even learns what there is."""
    staff, owner, stranger = world
    outside = Client(raise_request_exception=False)
    outside.force_login(stranger.user)
    for route in (route for route in ROUTES if route.startswith(f"{table}/")):
        page = page_of(route).removeprefix(f"{table}/")
        row = row_of(table)
        key = getattr(row, "run_id", "") if "<uuid:run_id>" in route else row.pk
        address = f"/admin/{re.sub(r'<[^>]+>', str(key), route)}"
        for answer in (Client().get(address), outside.get(address), owner.get(address)):
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/admin/login/"), address
        if not page:
            continue  # leads to the row's own page
        if f"{table}/{page}" == RUN_NOW:
            assert {client.get(address).status_code for client in staff.values()} == {405}  # by POST
            continue
        may_see = table != "knox/authtoken" and page in {"list", "change", "history", "tree"}
        expected = {
            "root": 200 if page in {*TABLE[table], "tree"} else 403,
            "seer": 200 if may_see or (table, page) == ("knox/authtoken", "list") else 403,
            "some": 403,
        }
        expected |= {"viewer": expected["seer"], "operator": expected["seer"], "admin": expected["root"]}
        assert {name: client.get(address).status_code for name, client in staff.items()} == expected, address


@pytest.mark.parametrize("table", [table for table, pages in TABLE.items() if "delete" in pages])
def test_only_who_may_deletes(table: str, world: World) -> None:
    staff, _, stranger = world
    row = row_of(table)
    outside = Client()
    outside.force_login(stranger.user)
    address = f"/admin/{table}/{row.pk}/delete/"
    for client in (Client(), outside, staff["some"], staff["seer"], staff["viewer"], staff["operator"]):
        assert client.post(address, {"post": "yes"}).status_code in {302, 403}
        assert type(row)._default_manager.filter(pk=row.pk).exists()
    assert Client(enforce_csrf_checks=True).post(address, {"post": "yes"}).status_code == 403
    assert staff["root"].post(address, {"post": "yes"}).status_code == 302
    assert not type(row)._default_manager.filter(pk=row.pk).exists()


# The actions of the lists that an operator has; a viewer has none, and an admin all.
OPERATED = {
    "crawlers/crawler": {"start_tasks"},
    "crawlers/crawlertask": {"retry_tasks", "stop_tasks", "time_out_tasks"},
    "django_celery_beat/periodictask": {"enable", "disable", "run_now"},
    "extraction/extractiontask": {"run_tasks", "test_deliveries"},
    "extraction/process": {"cancel_processes", "retry_processes"},
    "runs/notificationrule": {"send_test"},
    "runs/run": {"cancel_runs", "retry_runs"},
    "webhooks/deliveryattempt": {"send_again"},
}


@pytest.mark.parametrize("table", TABLE)
def test_roles_have_their_actions(table: str, world: World) -> None:
    expected = {"viewer": set(), "operator": OPERATED.get(table, set()), "admin": {*ACTIONS.get(table, ())}}
    assert {role: offered(world.staff[role], table) for role in ROLES} == expected


def page_class(table: str) -> Any:
    app, name = table.split("/")
    return admin.site._registry[apps.get_model(app, name)]


def offered(client: Client, table: str) -> set[str]:
    """The actions that a list offers; `delete_selected` is Django's, which needs the right to delete, and asks."""
    request = RequestFactory().get("/")
    request.user = get_user(client)
    page = page_class(table)
    return {*page.get_actions(request)} - {"delete_selected"}


@pytest.mark.parametrize("table", TABLE)
def test_the_table_has_every_action_and_no_other(table: str, world: World) -> None:
    assert offered(world.staff["root"], table) == {*ACTIONS.get(table, ())}
    assert offered(world.staff["seer"], table) == set()
    may_delete = "delete" in TABLE[table] or table == "walkers/node"
    page = page_class(table)
    request = RequestFactory().get("/")
    request.user = get_user(world.staff["seer"])
    assert "delete_selected" not in page.get_actions(request)
    request.user = get_user(world.staff["root"])
    assert ("delete_selected" in page.get_actions(request)) <= may_delete


def permissions_for(name: str) -> tuple[Permission, QuerySet[Permission]]:
    """A permission, and all others that do not let do the same."""
    app, codename = name.split(".")
    own = Permission.objects.get(content_type__app_label=app, codename=codename)
    others = Permission.objects.exclude(pk=own.pk)
    return own, others.exclude(codename__in=ALSO_OPERATE) if name == OPERATE else others


def choose(client: Client, table: str, action: str, **more: str) -> tuple[int, str, list[str]]:
    """Status and text of what comes of an action on one row, and what it wrote. Sessions and messages do not count."""
    form = {"action": action, "_selected_action": str(row_of(table).pk), **more}
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(f"/admin/{table}/", form)
    written = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "(?!accounts_browsersession)')
    return (
        answer.status_code,
        answer.content.decode(),
        [query["sql"] for query in queries if written.match(query["sql"])],
    )


@pytest.mark.parametrize(("table", "action"), EACH_ACTION)
def test_an_action_needs_its_permission_and_asks(table: str, action: str, world: World) -> None:
    permission, asks = ACTIONS[table][action]
    clerk = make_person("clerk@example.com", is_staff=True)
    client = Client()
    client.force_login(clerk.user)
    own, others = permissions_for(permission)
    clerk.user.user_permissions.set(others)
    assert action not in offered(client, table)
    assert choose(client, table, action, post="yes")[2] == []
    clerk.user.user_permissions.set([own, *Permission.objects.filter(codename__startswith="view_")])
    assert action in offered(client, table)
    if asks:
        status, page, written = choose(client, table, action)
        assert (status, written) == (200, [])
        assert "Are you sure?" in page
        assert f'name="action" value="{action}"' in page
        assert f'name="_selected_action" value="{row_of(table).pk}"' in page
    assert choose(client, table, action, post="yes")[0] == 302


def buttons_of(page: str) -> set[str]:
    """The names of a page's buttons."""
    tags = re.findall(r"<(?:button|input)\b[^>]*>", page)
    buttons = [tag for tag in tags if tag.startswith("<button") or 'type="submit"' in tag]
    return {name for tag in buttons for name in re.findall(r'name="([^"]+)"', tag)}


def test_the_table_has_every_button_and_no_other(world: World) -> None:
    """On the lists and the pages of rows, of which those that Django brings need what their page needs."""
    root = world.staff["root"]
    AuthToken.objects.create(world.owner.user)
    pages = [f"{table}/" for table in TABLE] + [
        f"{table}/{row_of(table).pk}/change/" for table in TABLE if "change" in TABLE[table]
    ]
    found = {page: buttons_of(root.get(f"/admin/{page}").content.decode()) - DJANGOS_BUTTONS for page in pages}
    named = {
        where.format(pk=row_of("django_celery_beat/periodictask").pk): {name} for name, (where, _, _) in BUTTONS.items()
    }
    assert {page: names for page, names in found.items() if names} == named


def press(client: Client, button: str, **more: str) -> tuple[int, str, list[str]]:
    """Status and text of what comes of a button of ours, and what it wrote."""
    address = f"/admin/{BUTTONS[button][0]}"
    if button == "end":
        more |= {"end": re.findall(r'name="end" value="(\w+)"', client.get(address).content.decode())[0]}
    else:
        row = row_of("django_celery_beat/periodictask")
        address = f"/admin/django_celery_beat/periodictask/{row.pk}/run/"
    with CaptureQueriesContext(connection) as queries:
        answer = client.post(address, more)
    written = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "?(?!accounts_browsersession)')
    return (
        answer.status_code,
        answer.content.decode(),
        [query["sql"] for query in queries if written.match(query["sql"])],
    )


@pytest.mark.parametrize("button", BUTTONS)
def test_a_button_needs_its_permission_and_asks(button: str, world: World) -> None:
    _, permission, asks = BUTTONS[button]
    clerk = make_person("clerk@example.com", is_staff=True)
    client = Client()
    client.force_login(clerk.user)
    Schedule.objects.get_or_create(periodic=row_of("django_celery_beat/periodictask"))
    own, others = permissions_for(permission)
    clerk.user.user_permissions.set(others)
    assert press(client, button, post="yes")[2] == []
    clerk.user.user_permissions.set([own, *Permission.objects.filter(codename__startswith="view_")])
    status, page, written = press(client, button)
    assert (status, written, "Are you sure?" in page) == (200, [], asks)
    assert press(client, button, post="yes")[0] == 302
