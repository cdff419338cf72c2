"""Whose request it is: tokens, keys, sessions; what happens to bad ones; what it costs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.authentication import find_with_user
from taskhub.accounts.models import ApiKey, User
from tests.conftest import Person
from tests.problems import problem

ME = "/user/manage/"


@pytest.fixture
def key(owner: Person) -> str:
    return services.create_key(user=owner.user)[1]


# Tokens


@pytest.mark.parametrize("word", ["token", "Token", "TOKEN", "tOkEn", "Bearer", "bearer", "BEARER"])
def test_word_before_the_token_in_any_case(owner: Person, anonymous: Person, word: str) -> None:
    answer = anonymous.get(ME, headers={"Authorization": f"{word} {owner.token}"})
    assert answer.json()["id"] == str(owner.user.pk)


def test_spaces_around_the_token_do_no_harm(owner: Person, anonymous: Person) -> None:
    assert anonymous.get(ME, headers={"Authorization": f"  token   {owner.token} "}).status_code == 200


def test_no_credentials(anonymous: Person) -> None:
    body = problem(anonymous.get(ME), 401)
    assert body["type"] == "not-authenticated"


MALFORMED = [
    "",
    "x",
    "tht_" + "0" * 64,
    "0" * 64,
    "two words",
    "nul\x00byte" + "0" * 40,
    "ä" * 64,
    "\udcff" * 40,
    "e\u0301" * 40,
    "a" * 100_000,
    "' OR 1=1 --",
    "tht_" + "A" * 64,
    "tht_\n" + "0" * 64,
    "thk_0123456789ab_" + "x" * 43,
    "thk_0123456789ab",
]


@pytest.mark.parametrize("text", MALFORMED)
@pytest.mark.parametrize("header", ["HTTP_AUTHORIZATION", "HTTP_X_API_KEY"])
def test_malformed_credentials_are_a_401(db: None, header: str, text: str) -> None:
    """Written into the WSGI environment as they are: what a client may send, and what no client could."""
    value = f"token {text}" if header == "HTTP_AUTHORIZATION" else text
    environment: dict[str, Any] = {header: value}
    problem(Client(raise_request_exception=False).get(ME, **environment), 401)


@pytest.mark.parametrize("text", [text for text in MALFORMED if text and "\udcff" not in text])
def test_malformed_key_in_the_address_is_a_401(anonymous: Person, text: str) -> None:
    problem(anonymous.get(ME, {"api_key": text}), 401)


@pytest.mark.parametrize("scheme", ["Basic YTpi", "token", "Bearer", "Digest x", "token,x", ":"])
def test_other_schemes_are_a_401(anonymous: Person, scheme: str) -> None:
    problem(anonymous.get(ME, headers={"Authorization": scheme}), 401)


def test_one_letter_off_is_a_401(owner: Person, anonymous: Person) -> None:
    last = "0" if owner.token[-1] != "0" else "1"
    problem(anonymous.get(ME, headers={"Authorization": f"token {owner.token[:-1]}{last}"}), 401)


def test_digest_is_no_token(owner: Person, anonymous: Person) -> None:
    digest = AuthToken.objects.get(user=owner.user).digest
    problem(anonymous.get(ME, headers={"Authorization": f"token {digest}"}), 401)


def test_expired_token(owner: Person) -> None:
    AuthToken.objects.filter(user=owner.user).update(expiry=timezone.now())
    problem(owner.get(ME), 401)


def test_token_without_an_end_is_valid(owner: Person) -> None:
    AuthToken.objects.filter(user=owner.user).update(expiry=None)
    assert owner.get(ME).status_code == 200


def test_revoked_token(owner: Person) -> None:
    AuthToken.objects.filter(user=owner.user).delete()
    problem(owner.get(ME), 401)


def test_deleted_user(owner: Person) -> None:
    owner.user.delete()
    problem(owner.get(ME), 401)


# Keys


def by_header(anonymous: Person, key: str) -> Any:
    return anonymous.get(ME, headers={"X-API-Key": key})


def by_query(anonymous: Person, key: str) -> Any:
    return anonymous.get(ME, {"api_key": key})


def by_authorization(anonymous: Person, key: str) -> Any:
    return anonymous.get(ME, headers={"Authorization": f"Bearer {key}"})


WAYS = pytest.mark.parametrize("way", [by_header, by_query, by_authorization])


@WAYS
def test_key_opens_the_door(owner: Person, anonymous: Person, key: str, way: Callable[..., Any]) -> None:
    assert way(anonymous, key).json()["id"] == str(owner.user.pk)


def test_key_in_the_address_of_a_post(anonymous: Person, key: str) -> None:
    assert anonymous.post(f"/user/apikey?api_key={key}", {"name": "second"}).status_code == 201


@WAYS
def test_expired_key(anonymous: Person, key: str, way: Callable[..., Any]) -> None:
    ApiKey.objects.update(expires_at=timezone.now())
    problem(way(anonymous, key), 401)


@WAYS
def test_revoked_key(owner: Person, anonymous: Person, key: str, way: Callable[..., Any]) -> None:
    services.revoke_key(user=owner.user, prefix=key[:16])
    problem(way(anonymous, key), 401)


@WAYS
def test_right_prefix_with_another_secret(anonymous: Person, key: str, way: Callable[..., Any]) -> None:
    problem(way(anonymous, key[:17] + "A" * 43), 401)


def test_bad_token_is_not_saved_by_a_good_key(anonymous: Person, key: str) -> None:
    problem(anonymous.get(ME, headers={"Authorization": "token nonsense", "X-API-Key": key}), 401)


def test_empty_key_is_no_key(owner: Person) -> None:
    assert owner.get(ME, headers={"X-API-Key": ""}).status_code == 200
    assert owner.get(f"{ME}?api_key=").status_code == 200


def test_use_is_noted_at_most_once_a_minute(owner: Person, anonymous: Person, key: str) -> None:
    by_header(anonymous, key)
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    by_header(anonymous, key)
    assert ApiKey.objects.get().last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=1))
    by_header(anonymous, key)
    again = ApiKey.objects.get().last_used_at
    assert again is not None
    assert again >= first


# Everybody who is not active


@pytest.mark.parametrize("how", ["token", "header", "query", "session"])
def test_inactive_user_is_a_401(owner: Person, anonymous: Person, client: Client, key: str, how: str) -> None:
    client.force_login(owner.user)
    User.objects.filter(pk=owner.user.pk).update(is_active=False)
    answers: dict[str, Callable[[], Any]] = {
        "token": lambda: owner.get(ME),
        "header": lambda: by_header(anonymous, key),
        "query": lambda: by_query(anonymous, key),
        "session": lambda: client.get(ME),
    }
    problem(answers[how](), 401)


# The cost


def test_token_costs_one_query(owner: Person, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert owner.get(ME).status_code == 200


def test_key_costs_one_query(anonymous: Person, key: str, django_assert_num_queries: Any) -> None:
    by_header(anonymous, key)
    with django_assert_num_queries(1):
        assert by_header(anonymous, key).status_code == 200


def test_malformed_credentials_cost_none(anonymous: Person, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        anonymous.get(ME, headers={"Authorization": "token nonsense"})
        by_header(anonymous, "nonsense")


# The browser


def test_session_reads_and_needs_a_csrf_token_to_write(owner: Person) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner.user)
    assert browser.get(ME).json()["email"] == "owner@example.com"
    problem(browser.patch(ME, {"name": "Mallory"}, content_type="application/json"), 403)
    assert User.objects.get(pk=owner.user.pk).name == "Olga Owner"


# What is a 401, a 403, a 404


def test_unknown_path_is_a_404_problem_for_everybody(anonymous: Person, owner: Person) -> None:
    problem(anonymous.get("/user/nothing"), 404)
    problem(owner.get("/user/nothing"), 404)


@pytest.mark.parametrize(("model", "column"), [(AuthToken, "digest"), (ApiKey, "prefix")])
def test_written_statement_finds_what_the_orm_finds(owner: Person, key: str, model: Any, column: str) -> None:
    found = model.objects.select_related("user").get(user=owner.user)
    written = find_with_user(model, column, getattr(found, column))
    assert written is not None
    for one, other in ((written, found), (written.user, found.user)):
        fields = {name: kept for name, kept in vars(other).items() if name != "_state"}
        assert {name: kept for name, kept in vars(one).items() if name != "_state"} == fields
        assert (one._state.adding, one._state.db) == (False, "default")
    assert find_with_user(model, column, "unknown") is None
