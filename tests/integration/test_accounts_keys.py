"""The life of an API key."""

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from knox.models import AuthToken

from taskhub.accounts import services
from taskhub.accounts.models import ApiKey
from taskhub.security.scopes import ALL_SCOPES
from tests.conftest import Person
from tests.problems import problem

KEYS = "/user/apikey"


def test_new_key_is_shown_once_and_kept_as_a_hash(owner: Person) -> None:
    answer = owner.post(KEYS, {"name": "nightly", "expires_in": 3600})
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) == {"key", "prefix", "name", "scopes", "created_at", "expires_at"}
    assert body["key"].startswith(f"{body['prefix']}_")
    assert datetime.fromisoformat(body["expires_at"]) - datetime.fromisoformat(body["created_at"]) == timedelta(hours=1)
    row = ApiKey.objects.values().get()
    assert body["key"] not in str(row)
    assert body["key"].removeprefix(body["prefix"]) not in str(row)
    assert body["key"] not in owner.get(KEYS).content.decode()


@pytest.mark.parametrize("body", [{}, {"expires_in": None}, {"name": ""}])
def test_everything_is_optional(owner: Person, body: dict[str, Any]) -> None:
    answer = owner.post(KEYS, body).json()
    assert (answer["name"], answer["expires_at"]) == ("", None)


def test_form_works_too(owner: Person) -> None:
    form = "name=nightly&expires_in=60"
    answer = owner.post(KEYS, form, content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["name"]) == (201, "nightly")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"expires_in": 0}, "/expires_in"),
        ({"expires_in": -5}, "/expires_in"),
        ({"expires_in": "soon"}, "/expires_in"),
        ({"expires_in": True}, "/expires_in"),
        ({"expires_in": 1.5}, "/expires_in"),
        ({"expires_in": 10**12}, "/expires_in"),
        ({"expires_in": "9" * 5000}, "/expires_in"),
        ({"expires_in": [60]}, "/expires_in"),
        ({"name": "n" * 101}, "/name"),
        ({"name": 5}, "/name"),
        ({"prefix": "thk_mine"}, "/prefix"),
        ({"scopes": "read"}, "/scopes"),
        ({"scopes": []}, "/scopes"),
    ],
)
def test_wrong_fields_are_named(owner: Person, body: dict[str, Any], pointer: str) -> None:
    problem(owner.post(KEYS, body), 400, pointer)
    assert not ApiKey.objects.exists()


def test_list_is_paged_newest_first(owner: Person, settings: Any) -> None:
    made = [services.create_key(user=owner.user, name=f"key {number}")[0].prefix for number in range(5)]
    seen, path, pages = [], f"{KEYS}?limit=2", 0
    while path:
        page = owner.get(path).json()
        assert set(page) == {"results", "next", "previous"}
        seen += [entry["prefix"] for entry in page["results"]]
        assert page["next"] is None or page["next"].startswith(f"{settings.PUBLIC_URL}/user/apikey?")
        path, pages = page["next"] and page["next"].removeprefix(settings.PUBLIC_URL), pages + 1
    assert (seen, pages) == (made[::-1], 3)


def test_page_that_a_key_asked_for_does_not_repeat_the_key(owner: Person, anonymous: Person) -> None:
    _, text = services.create_key(user=owner.user)
    services.create_key(user=owner.user)
    page = anonymous.get(f"{KEYS}?limit=1&api_key={text}")
    assert page.json()["next"]
    assert text not in page.content.decode()


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "", "²", "9" * 5000])
def test_wrong_limit(owner: Person, limit: str) -> None:
    problem(owner.get(KEYS, {"limit": limit}), 400, "/limit")


@pytest.mark.parametrize("cursor", ["x", "ä", "cD1hYmM=", "cD0wMDAAMQ==", "bz14", "8J+YgA=="])
def test_wrong_cursor(owner: Person, cursor: str) -> None:
    """No base64; no ASCII; the positions `abc` and, with a NUL in it, `0001`; an offset `x`; no text at all."""
    services.create_key(user=owner.user)
    problem(owner.get(KEYS, {"cursor": cursor}), 400, "/cursor")


def test_position_that_no_id_can_have_is_an_empty_page(owner: Person) -> None:
    services.create_key(user=owner.user)
    beyond = base64.b64encode(b"r=1&p=" + b"9" * 40).decode()
    assert owner.get(KEYS, {"cursor": beyond}).json()["results"] == []


def test_everybody_sees_their_own_and_staff_see_all(owner: Person, stranger: Person, colleague: Person) -> None:
    mine, _ = services.create_key(user=owner.user)
    theirs, _ = services.create_key(user=stranger.user)
    assert [entry["prefix"] for entry in owner.get(KEYS).json()["results"]] == [mine.prefix]
    assert [entry["prefix"] for entry in stranger.get(KEYS).json()["results"]] == [theirs.prefix]
    entries = colleague.get(KEYS).json()["results"]
    assert [(entry["prefix"], entry["owner"]) for entry in entries] == [
        (theirs.prefix, "stranger@example.com"),
        (mine.prefix, "owner@example.com"),
    ]


def test_revoking_is_the_owners_and_staffs(owner: Person, stranger: Person, colleague: Person) -> None:
    first, second = (services.create_key(user=owner.user)[0] for _ in range(2))
    problem(stranger.delete(f"{KEYS}/{first.prefix}"), 404)
    assert owner.delete(f"{KEYS}/{first.prefix}").status_code == 204
    problem(owner.delete(f"{KEYS}/{first.prefix}"), 404)
    assert colleague.delete(f"{KEYS}/{second.prefix}/").status_code == 204
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    "prefix", ["thk_000000000000", "%00", "x", "%F0%9F%98%80", "x" * 5000, "thk_0123456789ab_rest"]
)
def test_unknown_prefix_is_a_404(owner: Person, prefix: str) -> None:
    problem(owner.delete(f"{KEYS}/{prefix}"), 404)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_nobody_is_a_401(anonymous: Person, method: str) -> None:
    problem(anonymous.call(method, KEYS + ("/thk_000000000000" if method == "DELETE" else "")), 401)


def test_number_of_living_keys_is_limited(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "KEYS_MAX", 2)
    services.create_key(user=owner.user, expires_in=1)
    ApiKey.objects.update(expires_at=timezone.now())
    assert [owner.post(KEYS).status_code for _ in range(2)] == [201, 201]
    problem(owner.post(KEYS), 409)


def test_prune_deletes_what_expired_in_batches(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PRUNE_BATCH", 2)
    now = timezone.now()
    for number in range(5):
        key, _ = services.create_key(user=owner.user)
        ApiKey.objects.filter(pk=key.pk).update(expires_at=now - timedelta(seconds=number))
        AuthToken.objects.create(owner.user, expiry=timedelta(seconds=-1))
    living, _ = services.create_key(user=owner.user, expires_in=60)
    forever, _ = services.create_key(user=owner.user)
    AuthToken.objects.create(owner.user, expiry=None)
    assert services.prune(timezone.now()) == 10
    assert set(ApiKey.objects.all()) == {living, forever}
    assert AuthToken.objects.count() == 2
    assert services.prune(timezone.now()) == 0


def test_form_can_say_never(owner: Person) -> None:
    for never in ("expires_in=", "expires_in=null"):
        answer = owner.post(KEYS, never, content_type="application/x-www-form-urlencoded")
        assert (answer.status_code, answer.json()["expires_at"]) == (201, None)


def test_length_is_counted_as_it_was_sent(owner: Person) -> None:
    problem(owner.post(KEYS, {"name": "n" + " " * 100}), 400, "/name")
    assert owner.post(KEYS, {"name": " n "}).json()["name"] == "n"


def test_scopes_are_all_by_default_and_shown(owner: Person) -> None:
    assert owner.post(KEYS).json()["scopes"] == ["read", "run", "upload", "manage"]
    assert owner.post(KEYS, {"scopes": ["run", "read"]}).json()["scopes"] == ["read", "run"]
    assert [key["scopes"] for key in owner.get(KEYS).json()["results"]] == [["read", "run"], [*ALL_SCOPES]]
    problem(owner.post(KEYS, {"scopes": ["read", "everything"]}), 400, "/scopes/1")
    problem(owner.post(KEYS, "name=a&name=b", content_type="application/x-www-form-urlencoded"), 400, "/name")
    form = owner.post(KEYS, "scopes=read&scopes=upload", content_type="application/x-www-form-urlencoded")
    assert form.json()["scopes"] == ["read", "upload"]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({}, (["read", "manage"], 60)),
        ({"expires_in": None}, (["read", "manage"], 60)),
        ({"scopes": ["read"], "expires_in": 30}, (["read"], 30)),
        ({"scopes": ["read", "run"]}, "/scopes"),
        ({"expires_in": 61}, "/expires_in"),
    ],
)
def test_a_key_makes_no_key_with_more_scopes_or_a_later_end(owner: Person, asked: Any, given: Any) -> None:
    maker, text = services.create_key(user=owner.user, scopes=["read", "manage"], expires_in=60)
    answer = Person(headers={"X-API-Key": text}).post(KEYS, asked)
    if isinstance(given, str):
        problem(answer, 400, given)
        return
    made = ApiKey.objects.get(prefix=answer.json()["prefix"])
    assert made.scopes == given[0]
    assert made.expires_at is not None
    assert maker.expires_at is not None
    assert made.expires_at <= maker.expires_at
    assert maker.expires_at - made.expires_at < timedelta(seconds=61 - given[1])
