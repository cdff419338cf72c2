"""The operator's pages of accounts: they open, they work, and they show no secret."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.models import ApiKey, User
from taskhub.accounts.roles import Role, role_of
from tests.conftest import Person, make_person

PASSWORD = "correct horse battery"
USERS, KEYS, TOKENS = "/admin/accounts/user/", "/admin/accounts/apikey/", "/admin/knox/authtoken/"


@pytest.fixture
def root(db: None) -> Client:
    browser = Client()
    browser.force_login(User.objects.create_superuser("Root@example.com", PASSWORD))
    return browser


def text_of(browser: Client, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, path
    return str(answer.content.decode())


def test_the_way_to_the_admin_leads_through_the_consoles_sign_in(db: None) -> None:
    User.objects.create_superuser("Root@example.com", PASSWORD)
    browser = Client()
    form = browser.get("/admin/", follow=True)
    assert form.redirect_chain[-1] == ("/sign-in?next=/admin/", 302)
    sent = {"username": "ROOT@example.com", "next": form.context["next"]}
    assert browser.post("/sign-in", sent | {"password": "wrong"}).status_code == 200
    assert browser.post("/sign-in", sent | {"password": PASSWORD})["Location"] == "/admin/"
    assert browser.get("/admin/").status_code == 200
    assert browser.get("/admin/login/")["Location"] == "/admin/"
    assert browser.get("/admin/password_change/")["Location"] == "/console/password"


def test_no_page_shows_a_secret(root: Client, owner: Person) -> None:
    key, text = services.create_key(user=owner.user)
    pages = [USERS, f"{USERS}add/", f"{USERS}{owner.user.pk}/change/", f"{USERS}{owner.user.pk}/password/"]
    pages += [f"{USERS}{owner.user.pk}/delete/", KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/delete/", TOKENS]
    token = AuthToken.objects.get(user=owner.user)
    secrets = [text.removeprefix(key.prefix), key.hash, owner.token, token.digest, token.token_key]
    stored = User.objects.get(pk=owner.user.pk).password
    for page in pages:
        shown = text_of(root, page)
        assert not [secret for secret in [*secrets, stored, stored.rpartition("$")[2]] if secret in shown], page


def test_users_are_found_by_address(root: Client, owner: Person, stranger: Person) -> None:
    shown = text_of(root, f"{USERS}?q=OWNER@")
    assert "owner@example.com" in shown
    assert "stranger@example.com" not in shown


def test_user_is_added_by_address(root: Client) -> None:
    form = {"email": "New@Example.com", "name": "Nina", "password1": "battery horse", "password2": "battery horse"}
    assert root.post(f"{USERS}add/", form).status_code == 302
    user = User.objects.get(email="New@example.com")
    assert user.check_password("battery horse")
    assert not user.is_staff


def test_taken_address_is_told_in_the_form(root: Client, owner: Person) -> None:
    form = {"email": "OWNER@example.com", "password1": "battery horse", "password2": "battery horse"}
    answer = root.post(f"{USERS}add/", form)
    assert answer.status_code == 200
    assert "This e-mail address is already in use." in answer.content.decode()


def test_user_is_changed(root: Client, owner: Person) -> None:
    form = {"email": "owner@example.com", "name": "Renamed", "is_staff": "on"}
    assert root.post(f"{USERS}{owner.user.pk}/change/", form).status_code == 302
    user = User.objects.get(pk=owner.user.pk)
    assert (user.name, user.is_staff, user.is_active) == ("Renamed", True, False)
    assert user.check_password(PASSWORD)


def test_password_set_by_the_operator_ends_tokens(root: Client, owner: Person) -> None:
    form = {"usable_password": "true", "password1": "battery horse", "password2": "battery horse", "set-password": "1"}
    assert root.post(f"{USERS}{owner.user.pk}/password/", form).status_code == 302
    assert User.objects.get(pk=owner.user.pk).check_password("battery horse")
    assert owner.get("/user/manage/").status_code == 401


def test_password_can_be_taken_away(root: Client, owner: Person) -> None:
    form = {"usable_password": "false", "unset-password": "1"}
    assert root.post(f"{USERS}{owner.user.pk}/password/", form).status_code == 302
    assert not User.objects.get(pk=owner.user.pk).has_usable_password()


def act(browser: Client, path: str, action: str, *ids: Any) -> None:
    form = {"action": action, "_selected_action": [str(one) for one in ids], "post": "yes"}
    assert browser.post(path, form).status_code == 302


def test_tokens_of_a_user_are_ended(root: Client, owner: Person, stranger: Person) -> None:
    act(root, USERS, "end_tokens", owner.user.pk)
    assert owner.get("/user/manage/").status_code == 401
    assert stranger.get("/user/manage/").status_code == 200


def test_user_is_deleted_with_all(root: Client, owner: Person) -> None:
    services.create_key(user=owner.user)
    act(root, USERS, "delete_selected", owner.user.pk)
    assert not User.objects.filter(pk=owner.user.pk).exists()
    assert not ApiKey.objects.exists()


def test_key_is_revoked(root: Client, owner: Person) -> None:
    first, second, third = (services.create_key(user=owner.user)[0] for _ in range(3))
    act(root, KEYS, "revoke", first.pk)
    assert set(ApiKey.objects.all()) == {second, third}
    assert root.post(f"{KEYS}{second.pk}/delete/", {"post": "yes"}).status_code == 302
    assert set(ApiKey.objects.all()) == {third}
    assert root.get(f"{KEYS}add/").status_code == 403


def test_one_token_is_ended(root: Client, owner: Person, stranger: Person) -> None:
    shown = text_of(root, f"{TOKENS}?q=owner@example.com")
    (handle,) = re.findall(r'name="end" value="(\w+)"', shown)
    asked = root.post(TOKENS, {"end": handle})
    assert "owner@example.com" in asked.content.decode()
    assert f'name="end" value="{handle}"' in asked.content.decode()
    assert owner.get("/user/manage/").status_code == 200
    assert root.post(TOKENS, {"end": handle, "post": "yes"}).status_code == 302
    assert owner.get("/user/manage/").status_code == 401
    assert stranger.get("/user/manage/").status_code == 200


def test_pages_that_name_a_digest_are_closed(root: Client, owner: Person) -> None:
    digest = AuthToken.objects.get(user=owner.user).digest
    assert root.get(f"{TOKENS}{digest}/change/").status_code in {302, 403}
    assert root.get(f"{TOKENS}add/").status_code == 403


def test_lists_do_not_grow_in_queries(root: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(30):
        user = User.objects.create_user(f"user{number}@example.com")
        services.create_key(user=user)
        AuthToken.objects.create(user)
    for page in (USERS, KEYS, TOKENS):
        with django_assert_max_num_queries(6):
            root.get(page)


@pytest.fixture
def clerk(db: None) -> Client:
    """Staff with every right over users, but no superuser."""
    user = User.objects.create_user("clerk@example.com", PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    browser = Client()
    browser.force_login(user)
    return browser


def test_clerk_makes_nobody_a_superuser(clerk: Client, owner: Person) -> None:
    form = {"email": "owner@example.com", "is_active": "on", "is_superuser": "on"}
    assert clerk.post(f"{USERS}{owner.user.pk}/change/", form).status_code == 302
    assert not User.objects.get(pk=owner.user.pk).is_superuser


def test_clerk_does_not_touch_a_superuser(clerk: Client, root: Client) -> None:
    boss = User.objects.get(email="Root@example.com")
    AuthToken.objects.create(boss)
    assert clerk.post(f"{USERS}{boss.pk}/password/", {"password1": "x", "password2": "x"}).status_code == 403
    assert clerk.post(f"{USERS}{boss.pk}/change/", {"email": "mine@example.com"}).status_code == 403
    assert clerk.post(f"{USERS}{boss.pk}/delete/", {"post": "yes"}).status_code == 403
    act(clerk, USERS, "end_tokens", boss.pk)
    clerk.post(USERS, {"action": "delete_selected", "_selected_action": [str(boss.pk)], "post": "yes"})
    assert User.objects.filter(pk=boss.pk, email="Root@example.com").exists()
    assert AuthToken.objects.filter(user=boss).exists()


@pytest.mark.parametrize(("role", "is_let"), [("admin", False), ("operator", True)])
def test_clerk_does_not_become_an_admin_by_the_account_of_one(clerk: Client, role: str, is_let: bool) -> None:
    user = make_person("other@example.com", role=role).user
    form = {"usable_password": "true", "password1": "battery horse", "password2": "battery horse", "set-password": "1"}
    assert clerk.post(f"{USERS}{user.pk}/password/", form).status_code == (302 if is_let else 403)
    assert User.objects.get(pk=user.pk).check_password("battery horse") == is_let


def test_the_own_password_and_address_take_the_current_password(root: Client) -> None:
    me = User.objects.get(email="Root@example.com")
    form = {"usable_password": "true", "password1": "battery horse", "password2": "battery horse", "set-password": "1"}
    for spelled in (me.pk, str(me.pk).upper(), me.pk.hex):
        assert root.post(f"{USERS}{spelled}/password/", form)["Location"] == "/console/password"
    changed = {"email": "mine@example.com", "name": "Ruth", "is_staff": "on", "is_active": "on", "is_superuser": "on"}
    assert root.post(f"{USERS}{me.pk}/change/", changed).status_code == 302
    me.refresh_from_db()
    assert (me.email, me.name, me.check_password(PASSWORD)) == ("Root@example.com", "Ruth", True)


def test_owner_has_no_business_there(owner: Person, client: Client) -> None:
    client.force_login(owner.user)
    assert client.get(USERS).status_code == 302


def test_admins_give_roles_to_others_alone(owner: Person) -> None:
    admin = make_person("admin@example.com", role="admin").user
    browser = Client()
    browser.force_login(admin)
    viewers = Group.objects.get(name="viewer")
    for user in (owner.user, admin):
        form = {"email": user.email, "is_active": "on", "is_staff": "on", "is_superuser": "on", "groups": [viewers.pk]}
        assert browser.post(f"{USERS}{user.pk}/change/", form).status_code == 302
    roles = {user.email: role_of(user) for user in User.objects.all()}
    assert roles == {"owner@example.com": Role.VIEWER, "admin@example.com": Role.ADMIN}
    assert not User.objects.filter(is_superuser=True).exists()
