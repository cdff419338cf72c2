"""The audit log: each change of the configuration and the accounts, by whichever door, and never a secret."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from sequences.in_process_client import InProcessClient
from taskhub.accounts.models import User
from taskhub.accounts.services import prune
from taskhub.audit.models import AuditEntry
from taskhub.audit.services import SECRETS_MAX, VALUE_MAX, record_change
from taskhub.runs.models import Run
from taskhub.telemetry.log_context import about
from tests import crawler_client
from tests.conftest import Person, make_person
from tests.faults.credentials import PAYLOAD, waiting_run
from tests.problems import problem

pytestmark = pytest.mark.django_db

CANARY = "canary-a7f3e2"
PASSWORD = "correct horse battery"
SCHEDULE = {
    "name": "daily",
    "kind": "walker",
    "arguments": {"name": "echo", "ctx": {"value": {"password": CANARY}}},
    "when": {"interval": {"every": 1, "period": "days"}},
    "webhook": f"http://127.0.0.1:9/{CANARY}",
}
RULE = {"name": "failures", "on": ["run.failed"], "to": {"webhook": f"http://127.0.0.1:9/{CANARY}"}}
EXTERNAL = {
    "meta": {"name": "shop"},
    "endpoint": f"http://127.0.0.1:9/shop?token={CANARY}",
    "headers": {"Authorization": f"Bearer {CANARY}"},
    "parameters": [{"name": "pin", "type": "password", "default": CANARY}],
}
TASK = {
    "name": "books",
    "payload": {**PAYLOAD, "request": {"url": "http://127.0.0.1:9/", "headers": {"Cookie": CANARY}}},
}
SENSITIVE = {
    "persistence": {},
    "requests": [
        {"method": "POST", "url": "http://127.0.0.1:9/", "sensitive": True, "body": {"patient": f"{CANARY}-body"}}
    ],
}
SEQUENCE = {"sequence": {"persistence": {"password": CANARY}, "requests": []}}


@pytest.fixture
def staff(db: None) -> Person:
    return make_person("staff@example.com", role="admin")


def entries() -> list[tuple[str, str, str]]:
    """Action, kind and name of each entry but those of how the people here were made, oldest first."""
    made = AuditEntry.objects.exclude(door="command").order_by("id")
    return list(made.values_list("action", "object_kind", "object_name"))


def newest() -> AuditEntry:
    return AuditEntry.objects.latest("id")


def schedule_of(person: Person) -> str:
    return f"/schedules/{person.post('/schedules', SCHEDULE).json()['id']}"


def rule_of(person: Person) -> str:
    return f"/notifications/{person.post('/notifications', RULE).json()['id']}"


def external_of(person: Person) -> str:
    return f"/externals/{person.post('/externals', EXTERNAL).json()['payload']['fid']}"


def stream_of(person: Person) -> str:
    return f"/streams/{person.post('/streams', {'name': 'boots'}).json()['payload']['fid']}"


def task_of(person: Person) -> str:
    return f"/v1/task/{person.post('/v1/task/create', TASK).json()['id']}"


def run_of(person: Person) -> str:
    return f"/runs/{waiting_run(person.user).pk}"


Make = Callable[[Person], str]
Change = tuple[str, str, dict[str, Any]]
# What is made, and each change of it: the call, and what is on record of it.
CHANGES: list[tuple[Make, list[tuple[Change, tuple[str, str, str]]]]] = [
    (
        schedule_of,
        [
            (("patch", "", {"overlap": "wait"}), ("change", "schedule", "daily")),
            (("post", "/pause", {}), ("pause", "schedule", "daily")),
            (("post", "/resume", {}), ("resume", "schedule", "daily")),
            (("post", "/run", {}), ("run", "schedule", "daily")),
            (("delete", "", {}), ("delete", "schedule", "daily")),
        ],
    ),
    (
        rule_of,
        [
            (("patch", "", {"quiet": 5}), ("change", "notification rule", "failures")),
            (("delete", "", {}), ("delete", "notification rule", "failures")),
        ],
    ),
    (
        external_of,
        [
            (("patch", "", {"timeout": 60}), ("change", "external", "shop")),
            (("delete", "", {}), ("delete", "external", "shop")),
        ],
    ),
    (
        stream_of,
        [
            (("patch", "", {"name": "shoes"}), ("change", "stream", "shoes")),
            (("delete", "", {}), ("delete", "stream", "shoes")),
        ],
    ),
    (
        task_of,
        [
            (("post", "/update", {"name": "boots"}), ("change", "extraction task", "boots")),
            (("post", "/delete", {}), ("delete", "extraction task", "boots")),
        ],
    ),
    (
        run_of,
        [
            (("post", "/cancel", {}), ("cancel", "run", "walker echo")),
            (("post", "/retry", {}), ("retry", "run", "walker echo")),
        ],
    ),
]


@pytest.mark.parametrize(("make", "changes"), CHANGES, ids=[make.__name__ for make, _ in CHANGES])
def test_each_change_is_on_record_once(make: Make, changes: Any, owner: Person) -> None:
    address = make(owner)
    count = AuditEntry.objects.count()
    for (method, path, body), expected in changes:
        answer = getattr(owner, method)(f"{address}{path}", body or None)
        assert answer.status_code in {200, 202, 204}, answer.content
        assert [entry for entry in entries() if entry == expected], (expected, entries())
        added = AuditEntry.objects.count() - count
        assert added == 1, entries()
        count += added


def test_what_is_made_and_given_is_on_record(owner: Person, staff: Person) -> None:
    owner.call("PUT", "/sequences/nightly", SEQUENCE)  # for staff
    staff.call("PUT", "/sequences/nightly", SEQUENCE)
    staff.call("PUT", "/sequences/nightly", {**SEQUENCE, "description": "Every night"})
    staff.delete("/sequences/nightly")
    owner.call("PUT", "/secrets/SHOP_KEY", {"value": CANARY})
    owner.call("PUT", "/secrets/SHOP_KEY", {"value": f"{CANARY}2"})
    owner.delete("/secrets/SHOP_KEY")
    key = owner.post("/user/apikey", {"name": "nightly"}).json()["prefix"]
    owner.delete(f"/user/apikey/{key}")
    owner.post("/webhooks/secret/rotate")
    staff.post("/v1/credits", {"user": "owner@example.com", "amount": 5})
    owner.post("/runs/cancel", {"all": True})
    owner.patch("/user/manage/", {"name": "Olga"})
    owner.patch("/user/manage/", {"password": "battery horse correct", "current_password": PASSWORD})
    assert entries() == [
        ("create", "sequence", "nightly"),
        ("change", "sequence", "nightly"),
        ("delete", "sequence", "nightly"),
        ("create", "secret", "SHOP_KEY"),
        ("change", "secret", "SHOP_KEY"),
        ("delete", "secret", "SHOP_KEY"),
        ("create", "API key", "nightly"),
        ("revoke", "API key", "nightly"),
        ("rotate", "webhook secret", ""),
        ("top up", "credits", ""),
        ("cancel all", "run", "bulk cancel"),
        ("change", "user", "owner@example.com"),
        ("set password", "user", "owner@example.com"),
    ]


def test_no_entry_has_a_secret(owner: Person, staff: Person) -> None:
    for make in (schedule_of, rule_of, external_of, task_of):
        make(owner)
    external = owner.post("/externals", EXTERNAL).json()["payload"]
    made = crawler_client.crawler(owner, external, {})
    owner.patch(f"/crawlers/{made['crawler']['fid']}", {"params": {"pin": f"{CANARY}-other"}})
    changed = {"headers": {"Authorization": f"Bearer {CANARY}-other", "X-Shop": f"{CANARY}-shop"}}
    owner.patch(f"/externals/{external['fid']}", changed)
    assert (newest().before, newest().after) == ({"secrets": "***"}, {"secrets": "***"})
    staff.call("PUT", "/sequences/nightly", SEQUENCE)
    staff.call("PUT", "/sequences/intake", {"sequence": SENSITIVE})
    made = staff.post("/schedules", SCHEDULE | {"kind": "sequence", "arguments": SENSITIVE})
    assert made.status_code == 201, made.content
    shown = make_person("viewer@example.com", role="viewer").get(f"/schedules/{made.json()['id']}").json()
    assert "127.0.0.1:9" in str(shown["arguments"])
    assert CANARY not in str(shown)
    owner.call("PUT", "/secrets/SHOP_KEY", {"value": CANARY})
    owner.patch("/user/manage/", {"password": f"{CANARY} horse", "current_password": PASSWORD})
    key = staff.post("/user/apikey", {"name": "nightly"}).json()["key"]
    staff.post("/webhooks/secret/rotate")
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(audit_auditentry::text, ' ') FROM audit_auditentry")
        (text,) = cursor.fetchone()
    assert "shop" in text
    assert CANARY not in text
    assert key.rpartition("_")[2] not in text
    assert staff.token not in text
    assert "whsec_" not in text


def test_an_entry_says_who_did_it_how_and_what_was_before(owner: Person, staff: Person) -> None:
    address = schedule_of(owner)
    key = staff.post("/user/apikey").json()
    headers = {"X-API-Key": key["key"]}
    answer = Client().patch(address, {"overlap": "wait"}, "application/json", headers=headers, REMOTE_ADDR="192.0.2.7")
    assert answer.status_code == 200
    entry = newest()
    assert (entry.actor, entry.actor_id, entry.owner_id) == ("staff@example.com", staff.user.pk, owner.user.pk)
    assert (entry.door, entry.credential, entry.address) == ("api", key["prefix"], "192.0.2.7")
    assert (entry.before, entry.after) == ({"overlap": "skip"}, {"overlap": "wait"})
    assert timezone.now() - entry.at < timedelta(minutes=1)


def test_what_changes_nothing_is_no_entry(owner: Person) -> None:
    address = schedule_of(owner)
    count = AuditEntry.objects.count()
    assert owner.patch(address, {"overlap": "skip"}).status_code == 200
    owner.post("/js/walker_run", {"name": "run", "is_async": True})
    assert owner.get("/runs").status_code == 200
    assert AuditEntry.objects.count() == count


def test_each_door_is_told_apart(browser: Client, owner: Person, staff: Person) -> None:
    number = schedule_of(owner).rpartition("/")[2]
    browser.post(f"/console/schedules/{number}/action", {"action": "pause"})
    assert (newest().door, newest().actor, newest().credential) == ("console", "owner@example.com", "session")
    root = Client()
    root.force_login(make_person("root@example.com", role="admin", is_superuser=True).user)
    root.post("/admin/django_celery_beat/periodictask/", {"action": "enable", "_selected_action": number})
    assert (newest().door, newest().actor, newest().action) == ("admin", "root@example.com", "resume")
    call_command("createsuperuser", "--noinput", "--email", "boss@example.com", stdout=io.StringIO())
    assert (newest().door, newest().actor, newest().object_name) == ("command", "", "boss@example.com")
    run = Run.objects.get(pk=waiting_run(owner.user).pk)
    with about(run_id=run.pk):
        arguments = {"name": "hourly", "schedule": {"type": "interval", "conf": {"every": 1, "period": "hours"}}}
        body = {"name": "run"}
        client = InProcessClient(staff.user, run)
        answer = client.call("add_scheduled_walker", {**arguments, "body": body}, str(staff.user.pk))
    assert answer.status == 200, answer
    assert (newest().door, newest().actor, newest().run_id) == ("run", "staff@example.com", run.pk)
    with about(run_id=run.pk):  # and as another: it is he who answers for it
        answer = client.call("add_scheduled_walker", {**arguments, "name": "often", "body": body}, str(owner.user.pk))
    assert answer.status == 200, answer
    assert (newest().actor, newest().owner_id) == ("staff@example.com", owner.user.pk)


def test_the_address_behind_a_proxy_is_the_callers(owner: Person, settings: Any) -> None:
    settings.PROXIES = 1
    owner.post("/streams", {"name": "boots"}, headers={"X-Forwarded-For": "198.51.100.1, 192.0.2.7"})
    assert newest().address == "192.0.2.7"


@pytest.mark.parametrize(
    ("path", "form", "expected"),
    [
        ("auth/group/add/", {"name": "clerks"}, ("create", "group", "clerks")),
        (
            "django_celery_beat/intervalschedule/add/",
            {"every": "7", "period": "days"},
            ("create", "interval", "every 7 days"),
        ),
    ],
)
def test_what_only_the_admin_changes_is_on_record(path: str, form: Any, expected: Any) -> None:
    root = Client()
    root.force_login(make_person("root@example.com", is_staff=True, is_superuser=True).user)
    assert root.post(f"/admin/{path}", form).status_code == 302
    assert entries() == [expected]
    assert newest().after is not None


def test_a_user_in_the_admin(owner: Person) -> None:
    root = Client()
    root.force_login(make_person("root@example.com", is_staff=True, is_superuser=True).user)
    form = {"email": "owner@example.com", "name": "Olga", "is_staff": "on", "is_active": "on"}
    assert root.post(f"/admin/accounts/user/{owner.user.pk}/change/", form).status_code == 302
    entry = AuditEntry.objects.get(door="admin", action="change")
    assert (entry.before, entry.after) == (
        {"name": "Olga Owner", "is_staff": False},
        {"name": "Olga", "is_staff": True},
    )
    assert root.post(f"/admin/accounts/user/{owner.user.pk}/delete/", {"post": "yes"}).status_code == 302
    assert entries()[-1] == ("delete", "user", "owner@example.com")


def test_an_entry_goes_with_its_change(owner: Person) -> None:
    count = AuditEntry.objects.count()
    with transaction.atomic():
        schedule_of(owner)
        transaction.set_rollback(True)
    assert AuditEntry.objects.count() == count


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("x" * 5000, "x" * 1000 + "... (5000 characters)"),
        (["x"] * VALUE_MAX, None),
        ({"deep": [{"token": CANARY}]}, {"deep": [{"token": "***"}]}),
        (timedelta(days=1), "P1DT00H00M00S"),
        ("a\\u0000b", "a\\u0000b"),
    ],
)
def test_values_are_kept_short_and_without_secrets(value: Any, kept: Any) -> None:
    record_change("change", "thing", 1, after={"value": value})
    shown = (newest().after or {})["value"]
    assert shown == kept if kept is not None else "SHA-256" in shown


def test_thousands_of_secrets_are_looked_for_in_no_text() -> None:
    """Which would take minutes, in the transaction of the change; nor in what is too long to be kept."""
    secrets = [f"{CANARY}{number}" for number in range(SECRETS_MAX + 1)]
    record_change("change", "thing", 1, after={"value": {"passwords": secrets}, "note": secrets[0]})
    record_change("change", "thing", 2, after={"value": {"passwords": secrets[1:], "text": "x" * VALUE_MAX}})
    texts = [str(entry.after) for entry in AuditEntry.objects.order_by("id")]
    assert [("SHA-256" in text, CANARY in text) for text in texts] == [(True, False)] * 2


def test_entries_are_deleted_after_their_time(settings: Any) -> None:
    settings.AUDIT_DAYS = 7
    for days in (1, 6, 8, 400):
        record_change("change", "thing", days)
        AuditEntry.objects.filter(object_id=days).update(at=timezone.now() - timedelta(days=days))
    prune(timezone.now())
    assert set(AuditEntry.objects.values_list("object_id", flat=True)) == {"1", "6"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"who": "OWNER@example.com"}, {"create daily", "create boots"}),
        ({"who": "staff@example.com", "kind": "schedule"}, {"pause daily"}),
        ({"object": "daily"}, {"create daily", "pause daily"}),
        ({"action": "create", "door": "api"}, {"create daily", "create boots"}),
        ({"since": "2100-01-01"}, set()),
        ({"until": "2000-01-01T00:00:00Z"}, set()),
    ],
)
def test_it_is_read_over_http(query: dict[str, str], expected: set[str], owner: Person, staff: Person) -> None:
    staff.post(f"{schedule_of(owner)}/pause")
    stream_of(owner)
    found = staff.get("/audit", query).json()["results"]
    assert {f"{entry['action']} {entry['object_name']}" for entry in found} == expected


def test_it_comes_in_pages_and_refuses_what_it_does_not_know(staff: Person, owner: Person) -> None:
    for number in range(3):
        record_change("change", "thing", number)
    page = staff.get("/audit?limit=2&kind=thing").json()
    assert [entry["object_id"] for entry in page["results"]] == ["2", "1"]
    rest = staff.get(page["next"].partition("://")[2].partition("/")[2].join(["/", ""])).json()
    assert [entry["object_id"] for entry in rest["results"]] == ["0"]
    problem(staff.get("/audit?door=window"), 400, "/door")
    problem(staff.get("/audit?colour=red"), 400, "/colour")
    problem(owner.get("/audit"), 403)


def test_the_page_shows_filters_and_links(browser: Client, staff: Person, owner: Person) -> None:
    address = schedule_of(owner)
    staff.post(f"{address}/pause")
    browser.force_login(staff.user)
    page = browser.get(f"/console/audit?kind=schedule&object={address.rpartition('/')[2]}").text
    assert f'href="/console{address}"' in page
    assert f'href="/console/users/{staff.user.pk}"' in page
    assert "<del>true</del>" in page
    assert "<ins>false</ins>" in page
    assert "No change is like that." in browser.get("/console/audit?action=bake").text
    assert 'role="alert"' in browser.get("/console/audit?since=yesterday").text
    for number in range(60):
        record_change("change", "thing", number)
    first = browser.get("/console/audit?kind=thing").text
    assert "after=" in first
    assert "kind=thing" in first


def test_who_is_gone_stays_named(owner: Person, staff: Person) -> None:
    stream_of(owner)
    User.with_deleted.filter(pk=owner.user.pk).update(deleted_at=timezone.now(), email="gone")
    found = staff.get("/audit", {"who": "owner@example.com"}).json()["results"]
    assert [entry["actor"] for entry in found] == ["owner@example.com"]
