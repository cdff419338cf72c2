"""The caller's own account."""

import json
from typing import Any

import pytest
from django.test import Client
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.models import User
from tests.conftest import Person
from tests.problems import problem

ME = "/user/manage/"
OLD, NEW = "correct horse battery", "battery horse correct"


@pytest.fixture(autouse=True)
def _no_rate_limit(settings: Any) -> None:
    settings.THROTTLE_RATES = {**settings.THROTTLE_RATES, "sign_in": None}


def test_read(owner: Person) -> None:
    body = owner.get(ME).json()
    assert set(body) == {"id", "jid", "email", "name", "is_staff", "created_at"}
    assert (body["jid"], body["name"]) == (owner.user.jid, "Olga Owner")


def test_change_name_and_address(owner: Person) -> None:
    body = owner.patch(ME, {"name": "Olga", "email": "Olga@Example.COM", "current_password": OLD}).json()
    assert (body["name"], body["email"]) == ("Olga", "Olga@example.com")
    assert owner.get(ME).json() == body


def test_empty_text_in_a_form_is_not_left_out(owner: Person) -> None:
    form = "application/x-www-form-urlencoded"
    problem(owner.patch(ME, "email=", content_type=form), 400, "/email")
    assert owner.patch(ME, "name=", content_type=form).json()["name"] == ""


def test_own_address_in_another_case_is_free(owner: Person) -> None:
    change = {"email": "OWNER@example.com", "current_password": OLD}
    assert owner.patch(ME, change).json()["email"] == "OWNER@example.com"


def test_nothing_sent_changes_nothing(owner: Person) -> None:
    assert owner.patch(ME, {}).json() == owner.get(ME).json()


def test_password_needs_the_current_one(owner: Person) -> None:
    problem(owner.patch(ME, {"password": NEW}), 400, "/current_password")
    problem(owner.patch(ME, {"current_password": OLD}), 400, "/current_password")
    problem(owner.patch(ME, {"password": NEW, "current_password": "guess"}), 400, "/current_password")
    problem(owner.patch(ME, {"password": "12345", "current_password": OLD, "name": "X"}), 400, "/password")
    user = User.objects.get(pk=owner.user.pk)
    assert user.check_password(OLD)
    assert user.name == "Olga Owner"


@pytest.mark.parametrize("how", ["token", "key", "session"])
def test_an_address_needs_the_current_password_whatever_the_credential_is(owner: Person, how: str) -> None:
    _, key = services.create_key(user=owner.user)
    browser, asks = Client(), {"token": owner.headers, "key": {"X-API-Key": key}, "session": {}}
    if how == "session":
        browser.force_login(owner.user)

    def change(**body: str) -> Any:
        return browser.patch(ME, json.dumps(body), "application/json", headers=asks[how])

    problem(change(email="new@example.com"), 400, "/current_password")
    problem(change(email="new@example.com", current_password="guess"), 400, "/current_password")
    assert owner.get(ME).json()["email"] == "owner@example.com"
    assert change(email="new@example.com", current_password=OLD).json()["email"] == "new@example.com"


def test_new_password_ends_all_other_tokens(owner: Person, stranger: Person, anonymous: Person) -> None:
    other = services.sign_in(email="owner@example.com", password=OLD).token
    assert owner.patch(ME, {"password": NEW, "current_password": OLD}).status_code == 200
    assert owner.get(ME).status_code == 200
    problem(anonymous.get(ME, headers={"Authorization": f"token {other}"}), 401)
    assert stranger.get(ME).status_code == 200
    problem(anonymous.post("/user/token/", {"email": "owner@example.com", "password": OLD}), 401)
    assert anonymous.post("/user/token/", {"email": "owner@example.com", "password": NEW}).status_code == 200


def test_new_password_through_a_key_ends_every_token(owner: Person, anonymous: Person) -> None:
    _, key = services.create_key(user=owner.user)
    change = {"password": NEW, "current_password": OLD}
    assert anonymous.patch(ME, change, headers={"X-API-Key": key}).status_code == 200
    assert not AuthToken.objects.filter(user=owner.user).exists()


def test_new_password_in_a_browser_keeps_this_session_and_ends_the_others(owner: Person) -> None:
    here, there = Client(), Client()
    here.force_login(owner.user)
    there.force_login(owner.user)
    change = json.dumps({"password": NEW, "current_password": OLD})
    assert here.patch(ME, change, content_type="application/json").status_code == 200
    assert here.get(ME).status_code == 200
    assert there.get(ME).status_code == 401


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"email": "STRANGER@example.com", "current_password": OLD}, ["/email"]),
        ({"email": "no address"}, ["/email"]),
        ({"email": ""}, ["/email"]),
        ({"name": 5}, ["/name"]),
        ({"name": None}, ["/name"]),
        ({"is_staff": True}, ["/is_staff"]),
        ({"id": "x", "jid": "y"}, ["/id", "/jid"]),
        ([1], [""]),
    ],
)
def test_wrong_fields_are_named(owner: Person, stranger: Person, body: Any, pointers: list[str]) -> None:
    problem(owner.patch(ME, json.dumps(body)), 400, *pointers)
    assert owner.get(ME).json()["is_staff"] is False


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_nobody_is_a_401(anonymous: Person, method: str) -> None:
    problem(anonymous.call(method, ME), 401)
