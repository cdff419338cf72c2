"""The console's pages of users: found by staff, administered by admins."""

from typing import Any

import pytest
from django.test import Client

from taskhub.accounts import services
from taskhub.accounts.models import User
from taskhub.accounts.roles import Role, role_of
from tests.conftest import Person, make_person

pytestmark = pytest.mark.django_db
NEW = {"email": "new@example.com", "name": "Nora", "password": "correct horse battery", "role": "operator"}


@pytest.fixture
def admin(browser: Client) -> Client:
    browser.force_login(make_person("admin@example.com", role="admin").user)
    return browser


def act(browser: Client, user: User, action: str, **more: str) -> Any:
    return browser.post(f"/console/users/{user.pk}/action", {"action": action, **more}, follow=True)


def test_users_are_listed_and_found(admin: Client, owner: Person) -> None:
    page = admin.get("/console/users?q=OWNER&role=none&active=yes").text
    assert f"/console/users/{owner.user.pk}" in page
    assert "admin@example.com</a>" not in page.partition("<main")[2]
    assert "No user is like that." in admin.get("/console/users?q=nobody").text


def test_lists_have_pages_and_do_not_grow_in_queries(admin: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(60):
        User.objects.create_user(f"user{number:02}@example.com")
    with django_assert_max_num_queries(12):
        page = admin.get("/console/users?role=none").text
    assert "after=user48%40example.com" in page  # of the owner it is the first
    rest = admin.get("/console/users?role=none&after=user48@example.com").text
    assert "user49@example.com" in rest
    assert "never" in rest


def test_one_user_is_shown_with_keys_and_no_secret(admin: Client, owner: Person) -> None:
    key, text = services.create_key(user=owner.user, name="nightly")
    page = admin.get(f"/console/users/{owner.user.pk}").text
    assert key.prefix in page
    assert text not in page
    assert f"owner={owner.user.pk}" in page
    assert admin.get("/console/users/7b0c9a52-5d35-4a1c-9a5e-0f6a3f1f2c11").status_code == 404


def test_an_account_is_made_with_a_role(admin: Client) -> None:
    assert "can sign in now" in admin.post("/console/users/new", NEW, follow=True).text
    user = User.objects.get(email="new@example.com")
    assert (role_of(user), user.email_unconfirmed) == (Role.OPERATOR, False)
    refused = admin.post("/console/users/new", NEW)
    assert refused.status_code == 400
    assert "already in use" in refused.text
    weak = admin.post("/console/users/new", {**NEW, "email": "other@example.com", "password": "12345678"})
    assert weak.status_code == 400
    assert not User.objects.filter(email="other@example.com").exists()
    assert admin.post("/console/users/new", {**NEW, "role": "emperor"}).status_code == 400


def test_a_role_is_given_and_taken(admin: Client, owner: Person) -> None:
    assert "The role is viewer now." in act(admin, owner.user, "role", role="viewer").text
    assert owner.get("/workers").status_code == 200
    assert owner.post("/streams", {"name": "boots"}).status_code == 403
    assert "The role is taken away." in act(admin, owner.user, "role", role="none").text
    assert owner.get("/workers").status_code == 403
    assert act(admin, owner.user, "role", role="emperor").status_code == 400
    assert act(admin, owner.user, "promote").status_code == 400


def test_an_account_is_deactivated_and_active_again(admin: Client, owner: Person) -> None:
    assert "not active any more" in act(admin, owner.user, "deactivate").text
    assert owner.get("/user/manage/").status_code == 401
    assert "active again" in act(admin, owner.user, "activate").text
    assert User.objects.get(pk=owner.user.pk).is_active


def test_who_is_signed_in_is_signed_out(admin: Client, owner: Person) -> None:
    assert "have ended" in act(admin, owner.user, "end").text
    assert owner.get("/user/manage/").status_code == 401


@pytest.mark.parametrize("action", ["role", "deactivate", "end"])
def test_admins_do_not_touch_superusers_nor_themselves(action: str, admin: Client) -> None:
    boss = User.objects.create_superuser("boss@example.com")
    me = User.objects.get(email="admin@example.com")
    for user in (boss, me):
        assert act(admin, user, action, role="viewer").status_code == 403
        assert "ask-deactivate" not in admin.get(f"/console/users/{user.pk}").text
    assert role_of(User.objects.get(pk=me.pk)) is Role.ADMIN
