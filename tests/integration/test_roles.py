"""Roles of staff: their groups, who gives them, what staff of older hubs keep, and what outlives a role."""

from importlib import import_module
from typing import Any

import lxml.html
import pytest
from django.apps import AppConfig, apps
from django.contrib.auth.models import Group, Permission
from django.core.management.sql import emit_post_migrate_signal
from django.db.models.signals import post_migrate
from django.test import Client

from taskhub.accounts import roles
from taskhub.accounts.models import User
from taskhub.accounts.roles import Role, keep_groups, reaches_all, role_of
from taskhub.accounts.user_administration import change_activity, change_role, find_users
from taskhub.errors import Conflict, Forbidden
from taskhub.runs.models import Schedule
from taskhub.runs.scheduler.schedules import run_schedule_now
from taskhub.security.scopes import KeyScope
from tests.conftest import Person, make_person
from walkers.services.graphs import create_graph

pytestmark = pytest.mark.django_db
migration = import_module("taskhub.accounts.migrations.0006_roles")


def names(permissions: Any) -> set[str]:
    return {f"{label}.{name}" for label, name in permissions.values_list("content_type__app_label", "codename")}


def test_groups_have_the_permissions_of_their_roles() -> None:
    viewer, operator, admin = (names(Group.objects.get(name=role).permissions) for role in Role)
    assert all(name.partition(".")[2].startswith("view_") for name in viewer)
    assert operator - viewer == roles.OPERATED
    assert admin == names(Permission.objects)


def test_groups_are_kept_as_they_are_to_be() -> None:
    group = Group.objects.get(name="operator")
    kept = names(group.permissions)
    group.permissions.clear()
    Group.objects.get(name="viewer").permissions.set(Permission.objects.all())
    keep_groups()
    assert names(group.permissions) == kept
    assert "accounts.manage_all" not in names(Group.objects.get(name="viewer").permissions)


@pytest.mark.parametrize(
    ("fields", "groups", "expected"),
    [
        ({}, ["admin"], None),
        ({"is_staff": True}, [], None),
        ({"is_staff": True}, ["viewer", "operator"], Role.OPERATOR),
        ({"is_staff": True, "is_superuser": True}, [], Role.ADMIN),
    ],
)
def test_the_role_of_a_user(fields: Any, groups: list[str], expected: Role | None) -> None:
    user = User.objects.create_user("a@example.com", **fields)
    user.groups.set(Group.objects.filter(name__in=groups))
    assert role_of(user) is expected


def test_staff_of_older_hubs_keep_what_they_could_do() -> None:
    clerk = User.objects.create_user("clerk@example.com", is_staff=True)
    owner = User.objects.create_user("owner@example.com")
    migration.keep_what_staff_had(apps, None)
    assert names(User.objects.get(pk=clerk.pk).user_permissions) == {"accounts.operate_all", "accounts.manage_all"}
    assert roles.reaches_all(User.objects.get(pk=clerk.pk), KeyScope.MANAGE)
    assert not owner.user_permissions.exists()
    roles.assign_role(clerk, Role.VIEWER)  # which is all that he is from now on
    assert not roles.reaches_all(User.objects.get(pk=clerk.pk), KeyScope.MANAGE)


def test_a_group_with_the_name_of_a_role_makes_room() -> None:
    group = Group.objects.get(name="admin")
    migration.make_room_for_groups(apps, None)
    group.refresh_from_db()
    assert group.name == "admin (before there were roles)"


def test_the_migration_can_be_made_once_more() -> None:
    for name in ("viewer", "admin"):
        Group.objects.create(name=f"{name} (before there were roles)")
    migration.make_room_for_groups(apps, None)
    assert not Group.objects.filter(name__in=list(Role)).exists()


def test_groups_are_kept_whatever_app_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django tells after migrations of no app without models, such as one that has walkers alone."""
    all_apps = [*apps.get_app_configs(), AppConfig.create("taskhub.jsontools")]
    monkeypatch.setattr(apps, "get_app_configs", lambda: all_apps)
    told: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(post_migrate, "send", lambda sender, **_: told.append(sender))
        emit_post_migrate_signal(verbosity=0, interactive=False, db="default")
    assert roles.last_app() is told[-1]


ADMIN, OPERATOR, SUPERUSER = "admin", "operator", "superuser"


def person(name: str) -> User:
    if name == SUPERUSER:
        return make_person("root@example.com", is_staff=True, is_superuser=True).user
    return make_person(f"{name}@example.com", role=name).user


@pytest.mark.parametrize(
    ("by", "whose", "refusal"),
    [
        (ADMIN, OPERATOR, None),
        (SUPERUSER, ADMIN, None),
        (OPERATOR, ADMIN, Forbidden),
        (ADMIN, SUPERUSER, Forbidden),
        (ADMIN, ADMIN, Forbidden),  # the own
    ],
)
def test_who_gives_roles(by: str, whose: str, refusal: Any) -> None:
    actor = person(by)
    user = actor if by == whose else person(whose)
    if refusal is None:
        change_role(user=user, role=Role.VIEWER, by=actor)
        assert role_of(User.objects.get(pk=user.pk)) is Role.VIEWER
        change_role(user=user, role=None, by=actor)
        assert not User.objects.get(pk=user.pk).is_staff
        change_activity(user=user, is_active=False, by=actor)
        return
    with pytest.raises(refusal):
        change_role(user=user, role=Role.VIEWER, by=actor)
    with pytest.raises(refusal):
        change_activity(user=user, is_active=False, by=actor)
    assert User.objects.get(pk=user.pk).is_active


@pytest.mark.parametrize("by", [ADMIN, SUPERUSER])
@pytest.mark.parametrize(("before", "after"), [([], ["viewer"]), (["admin"], []), (["admin"], ["operator"])])
def test_a_group_given_or_taken_in_the_admin_counts_alone(
    browser: Client, by: str, before: list[str], after: list[str]
) -> None:
    """Also of staff who have the permissions of roles by themselves, from before there were roles."""
    user = make_person("old@example.com", is_staff=True).user
    user.groups.set(Group.objects.filter(name__in=before))
    user.user_permissions.set(Permission.objects.filter(codename__in=["operate_all", "manage_all", "view_run"]))
    assert reaches_all(User.objects.get(pk=user.pk), KeyScope.MANAGE)
    browser.force_login(person(by))
    address = f"/admin/accounts/user/{user.pk}/change/"
    (form,) = lxml.html.fromstring(browser.get(address).text).xpath("//form[@id='user_form']")
    sent: dict[str, Any] = {}
    for name, text in form.form_values():
        sent.setdefault(name, []).append(text)
    sent["groups"] = [str(group.pk) for group in Group.objects.filter(name__in=after)]
    assert browser.post(address, sent).status_code == 302
    changed = User.objects.get(pk=user.pk)
    assert reaches_all(changed, KeyScope.RUN) == ("operator" in after)
    assert not reaches_all(changed, KeyScope.MANAGE)
    assert changed.user_permissions.filter(codename="view_run").exists()


@pytest.mark.parametrize("change", ["set", "clear", "members", "no more members"])
def test_a_role_counts_alone_however_a_group_is_given_or_taken(change: str) -> None:
    user, group = make_person("old@example.com", role="operator").user, Group.objects.get(name="operator")
    user.user_permissions.set(Permission.objects.filter(codename="manage_all"))
    match change:
        case "set":
            user.groups.set(Group.objects.filter(name="viewer"))
        case "clear":
            user.groups.clear()
        case "members":
            Group.objects.get(name="viewer").user_set.add(user)
        case "no more members":
            group.user_set.clear()
    assert not reaches_all(User.objects.get(pk=user.pk), KeyScope.MANAGE)


def test_superusers_are_above_roles() -> None:
    one, other = person(SUPERUSER), User.objects.create_superuser("other@example.com")
    with pytest.raises(Conflict):
        change_role(user=other, role=Role.VIEWER, by=one)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"part": "EXAMPLE"}, {"olga", "viewer", "admin", "root", "gone"}),
        ({"role": "viewer"}, {"viewer"}),
        ({"role": "superuser"}, {"root"}),
        ({"role": "none"}, {"olga", "gone"}),
        ({"is_active": False}, {"gone"}),
        ({"part": "Olga Owner", "role": "none", "is_active": True}, {"olga"}),
    ],
)
def test_users_are_found(asked: dict[str, Any], found: set[str]) -> None:
    make_person("olga@example.com", name="Olga Owner")
    make_person("gone@example.com", is_active=False)
    for name in ("viewer", "admin", SUPERUSER):
        person(name)
    assert {user.email.partition("@")[0] for user in find_users(**asked)} == found


def test_a_schedule_reaches_what_its_owner_reaches_by_now(owner: Person) -> None:
    """A walk on another's graph, which an admin has planned who is a viewer now."""
    planner = make_person("planner@example.com", role="admin")
    graph = create_graph(owner=owner.user, name="shop")
    arguments = {"name": "run", "nd": str(graph.pk)}
    when = {"interval": {"every": 1, "period": "days"}}
    sent = {"name": "daily", "kind": "walker", "arguments": arguments, "when": when}
    made = planner.post("/schedules", sent)
    assert made.status_code == 201, made.content
    pk = made.json()["id"]
    run_schedule_now(schedule=Schedule.objects.select_related("owner", "periodic").get(pk=pk))
    roles.assign_role(planner.user, Role.VIEWER)
    with pytest.raises(Exception, match="not yours"):
        run_schedule_now(schedule=Schedule.objects.select_related("owner", "periodic").get(pk=pk))


BUTTONS = {
    "/console/runs": ["bar-of-tools", 'name="run"'],
    "/console/runs/{run}": ["ask-cancel"],
    "/console/schedules/{schedule}": ["ask-run", 'value="pause"'],
}


@pytest.mark.parametrize("role", [*Role, "roleless"])
def test_a_role_sees_the_buttons_that_it_may_press(role: str, owner: Person, browser: Client) -> None:
    sent = {
        "name": "daily",
        "kind": "walker",
        "arguments": {"name": "run"},
        "when": {"interval": {"every": 1, "period": "days"}},
    }
    schedule = owner.post("/schedules", sent).json()["id"]
    run = owner.post(f"/schedules/{schedule}/run").json()["id"]
    given: dict[str, Any] = {"is_staff": True} if role == "roleless" else {"role": role}
    browser.force_login(make_person("staff@example.com", **given).user)
    pages = {page: browser.get(page.format(run=run, schedule=schedule)).text for page in BUTTONS}
    shown = {page: all(mark in pages[page] for mark in marks) for page, marks in BUTTONS.items()}
    hidden = {page: all(mark not in pages[page] for mark in marks) for page, marks in BUTTONS.items()}
    may_operate = role in {"operator", "admin"}
    of_lists = {"/console/runs": role != "viewer"}  # which have the own, too
    expected = {page: of_lists.get(page, may_operate) for page in BUTTONS}
    assert shown == expected
    assert hidden == {page: not is_shown for page, is_shown in expected.items()}
    assert ("/console/start" in pages["/console/runs"]) == (role != "viewer")
