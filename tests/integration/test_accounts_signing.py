"""Signing up, in and out."""

import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test.client import MULTIPART_CONTENT
from django.utils import timezone
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.models import User
from taskhub.errors import Unauthenticated
from tests.conftest import Person
from tests.problems import problem

PASSWORD = "correct horse battery"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(autouse=True)
def _no_rate_limit(settings: Any) -> None:
    settings.THROTTLE_RATES = {**settings.THROTTLE_RATES, "sign_in": None}


# Signing up


def test_sign_up_answers_with_the_account(anonymous: Person) -> None:
    sent = {"email": "Ada@EXAMPLE.com", "password": PASSWORD, "name": "Ada"}
    answer = anonymous.post("/user/create/", sent)
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"id", "jid", "email", "name", "is_staff", "created_at"}
    assert body["jid"] == uuid.UUID(body["id"]).urn
    assert (body["email"], body["name"], body["is_staff"]) == ("Ada@example.com", "Ada", False)
    assert datetime.fromisoformat(body["created_at"]) <= timezone.now()
    assert User.objects.get(pk=body["id"]).check_password(PASSWORD)


@pytest.mark.parametrize("path", ["/user/create", "/user/create/"])
def test_name_is_optional_and_so_is_the_last_slash(anonymous: Person, path: str) -> None:
    assert anonymous.post(path, {"email": "a@example.com", "password": PASSWORD}).json()["name"] == ""


def test_form_multipart_and_json_under_a_forms_name(anonymous: Person) -> None:
    quoted = "password=correct+horse+battery"
    assert anonymous.post("/user/create/", f"email=a%40example.com&{quoted}", content_type=FORM).status_code == 201
    body = {"email": "b@example.com", "password": PASSWORD}
    assert anonymous.post("/user/create/", body, content_type=MULTIPART_CONTENT).status_code == 201
    curl = json.dumps({"email": "c@example.com", "password": PASSWORD})
    assert anonymous.post("/user/create/", curl, content_type=FORM).status_code == 201


def test_address_is_taken_in_any_case(anonymous: Person, owner: Person) -> None:
    body = problem(anonymous.post("/user/create/", {"email": "OWNER@Example.COM", "password": PASSWORD}), 400, "/email")
    assert body["errors"][0]["detail"] == "This e-mail address is already in use."


@pytest.mark.parametrize("password", ["short1x", "password123", "8264019357", "newcomer@example.com"])
def test_weak_password_is_refused_with_the_reason(anonymous: Person, password: str) -> None:
    problem(anonymous.post("/user/create/", {"email": "newcomer@example.com", "password": password}), 400, "/password")
    assert not User.objects.filter(email="newcomer@example.com").exists()


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/email", "/password"]),
        ([], [""]),
        ("text", [""]),
        ({"email": "a@example.com", "password": PASSWORD, "admin": True, "is_staff": True}, ["/admin", "/is_staff"]),
        ({"email": "no address", "password": PASSWORD}, ["/email"]),
        ({"email": 5, "password": 12345678901}, ["/email", "/password"]),
        ({"email": ["a@example.com"], "password": {"a": 1}}, ["/email", "/password"]),
        ({"email": None, "password": True}, ["/email", "/password"]),
        ({"email": f"{'a' * 250}@example.com", "password": PASSWORD}, ["/email"]),
        ({"email": "a@example.com", "password": "p7" * 501}, ["/password"]),
        ({"email": "a@example.com", "password": PASSWORD, "name": "n" * 201}, ["/name"]),
        ({"email": "a@example.com", "password": PASSWORD, "a/b~c": 1}, ["/a~1b~0c"]),
        ({"email": "", "password": ""}, ["/email", "/password"]),
    ],
)
def test_wrong_fields_are_named(anonymous: Person, body: Any, pointers: list[str]) -> None:
    problem(anonymous.post("/user/create/", json.dumps(body)), 400, *pointers)


@pytest.mark.parametrize(
    "body", ['{"email": ', '{"email": "\\u0000@example.com"}', '{"email": "a", "email": "b"}', b"\xff"]
)
def test_broken_json_is_told_apart(anonymous: Person, body: Any) -> None:
    answer = anonymous.post("/user/create/", body)
    assert (answer.status_code, answer.json()["type"]) == (400, "broken-json")


@pytest.mark.parametrize("body", ["email=a%00b%40example.com&password=longenough77", "email=%ff", "a=1&" * 2000])
def test_broken_form_is_a_400(anonymous: Person, body: str) -> None:
    assert anonymous.post("/user/create/", body, content_type=FORM).status_code == 400


def test_other_bodies_are_refused(anonymous: Person, settings: Any) -> None:
    problem(anonymous.post("/user/create/", "<a/>", content_type="text/xml"), 415)
    problem(anonymous.post("/user/create/", "{}", headers={"Content-Encoding": "gzip"}), 415)
    settings.BODY_MAX_BYTES = 100
    problem(anonymous.post("/user/create/", {"email": "a" * 200, "password": PASSWORD}), 413)


def test_multipart_here_has_the_limit_of_a_body_not_of_an_upload(anonymous: Person, settings: Any) -> None:
    settings.BODY_MAX_BYTES = 100
    body = b'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\n' + b"a" * 200 + b"\r\n--b--\r\n"
    problem(anonymous.post("/user/create/", body, content_type="multipart/form-data; boundary=b"), 413)


def test_file_is_no_text(anonymous: Person) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="email"; filename="a"\r\n\r\na@example.com\r\n--b--\r\n'
    answer = anonymous.post("/user/create/", part, content_type="multipart/form-data; boundary=b")
    problem(answer, 400, "/email", "/password")


def test_closed_sign_up_is_for_staff(anonymous: Person, stranger: Person, colleague: Person, settings: Any) -> None:
    settings.OPEN_SIGNUP = False
    sent = {"email": "new@example.com", "password": PASSWORD}
    problem(anonymous.post("/user/create/", sent), 403)
    problem(stranger.post("/user/create/", sent), 403)
    problem(anonymous.post("/user/create/", sent, headers={"Authorization": "token nonsense"}), 401)
    assert colleague.post("/user/create/", sent).status_code == 201


def test_stale_header_does_no_harm(anonymous: Person) -> None:
    stale = {"Authorization": "token tht_" + "0" * 64, "X-API-Key": "thk_gone"}
    sent = {"email": "new@example.com", "password": PASSWORD}
    assert anonymous.post("/user/create/", sent, headers=stale).status_code == 201
    assert anonymous.post("/user/token/", sent, headers=stale).status_code == 200


# Signing in


def test_token_opens_the_door(anonymous: Person, owner: Person, settings: Any) -> None:
    answer = anonymous.post("/user/token/", {"email": "OWNER@example.com", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert set(answer.json()) == {"token", "expiry"}
    left = datetime.fromisoformat(answer.json()["expiry"]) - timezone.now()
    assert timedelta(0) < left <= settings.REST_KNOX["TOKEN_TTL"]
    me = anonymous.get("/user/manage/", headers={"Authorization": f"token {answer.json()['token']}"})
    assert me.json()["email"] == "owner@example.com"


def test_token_is_stored_hashed(anonymous: Person, owner: Person) -> None:
    token = anonymous.post("/user/token/", {"email": "owner@example.com", "password": PASSWORD}).json()["token"]
    assert all(token not in f"{row.digest} {row.token_key}" for row in AuthToken.objects.all())


def test_every_wrong_sign_in_is_answered_alike(anonymous: Person, owner: Person) -> None:
    User.objects.create_user("gone@example.com", PASSWORD, is_active=False)
    User.objects.create_user("nobody@example.com", None)
    tries = [
        {"email": "owner@example.com", "password": "wrong horse"},
        {"email": "unknown@example.com", "password": PASSWORD},
        {"email": "gone@example.com", "password": PASSWORD},
        {"email": "nobody@example.com", "password": PASSWORD},
        {"email": "no address", "password": PASSWORD},
        {"email": "owner@example.com", "password": f" {PASSWORD}"},
    ]
    answers = [anonymous.post("/user/token/", body) for body in tries]
    assert len({answer.content for answer in answers}) == 1
    problem(answers[0], 401)
    assert AuthToken.objects.exclude(user=owner.user).count() == 0


def test_unknown_address_costs_a_hash_too(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the time that an answer takes would tell who has an account."""
    hashed: list[str] = []
    encode = MD5PasswordHasher.encode

    def counting(self: MD5PasswordHasher, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counting)
    for email in ("owner@example.com", "unknown@example.com"):
        with pytest.raises(Unauthenticated):
            services.sign_in(email=email, password="wrong horse")
    assert hashed == ["wrong horse", "wrong horse"]


def test_password_changed_since_it_was_checked_ends_the_sign_in(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = User.objects.get(pk=owner.user.pk)
    monkeypatch.setattr(services, "authenticate", lambda **_: stale)
    services.set_password(user=owner.user, password="another horse battery")
    with pytest.raises(Unauthenticated):
        services.sign_in(email=stale.email, password=PASSWORD)
    assert not AuthToken.objects.filter(user=stale).exists()


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"email": "owner@example.com"}, ["/password"]),
        ({"email": 1, "password": 2.5}, ["/email", "/password"]),
        ({"email": True, "password": ["x"]}, ["/email", "/password"]),
        ({"email": "owner@example.com", "password": PASSWORD, "remember": 1}, ["/remember"]),
        ({"email": "owner@example.com", "password": "x" * 1001}, ["/password"]),
        ({"email": "x" * 255, "password": PASSWORD}, ["/email"]),
    ],
)
def test_sign_in_names_what_is_wrong(anonymous: Person, body: Any, pointers: list[str]) -> None:
    problem(anonymous.post("/user/token/", body), 400, *pointers)


def test_other_methods_are_problems(anonymous: Person) -> None:
    problem(anonymous.get("/user/token/"), 405)


# Signing out


def test_sign_out_ends_this_token_only(anonymous: Person, owner: Person) -> None:
    other = services.sign_in(email="owner@example.com", password=PASSWORD).token
    assert owner.post("/user/logout/").status_code == 204
    problem(owner.get("/user/manage/"), 401)
    assert anonymous.get("/user/manage/", headers={"Authorization": f"token {other}"}).status_code == 200


def test_sign_out_everywhere_ends_all_own_tokens(owner: Person, stranger: Person) -> None:
    services.sign_in(email="owner@example.com", password=PASSWORD)
    assert owner.post("/user/logout_everyone/").status_code == 204
    assert not AuthToken.objects.filter(user=owner.user).exists()
    assert stranger.get("/user/manage/").status_code == 200


@pytest.mark.parametrize("path", ["/user/logout/", "/user/logout_everyone/"])
def test_signing_out_needs_a_caller(anonymous: Person, path: str) -> None:
    problem(anonymous.post(path), 401)


def test_key_is_not_signed_out(anonymous: Person, owner: Person) -> None:
    _, text = services.create_key(user=owner.user)
    problem(anonymous.post("/user/logout/", headers={"X-API-Key": text}), 400)
    assert anonymous.get("/user/manage/", headers={"X-API-Key": text}).status_code == 200


def test_browser_session_is_signed_out(client: Any, owner: Person) -> None:
    client.force_login(owner.user)
    assert client.get("/user/manage/").status_code == 200
    assert client.post("/user/logout/").status_code == 204
    assert client.get("/user/manage/").status_code == 401
