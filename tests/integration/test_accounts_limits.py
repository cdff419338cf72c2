"""Sixty sign-ins and sign-ups a minute, each address counted by itself, with Redis or without."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client

from taskhub.web.rest_policies import RouteThrottle
from tests.conftest import Person
from tests.problems import problem

WRONG = {"email": "owner@example.com", "password": "wrong"}


def new_address() -> str:
    """One of a network from which no other test, nor an earlier run against the same Redis, has called."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::{secrets.token_hex(2)}"


@pytest.fixture
def address() -> str:
    return new_address()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds that pass only when a test says so; far from now, so that no other test's calls are counted."""
    now = [600.0 * (6_666_666 + secrets.randbelow(1_000_000))]  # the beginning of a minute, which no other test has
    monkeypatch.setattr(RouteThrottle, "timer", staticmethod(lambda: now[0]))
    yield now
    caches["local"].clear()


@pytest.fixture(params=["with Redis", "without Redis"])
def redis(request: pytest.FixtureRequest, settings: Any) -> None:
    if request.param == "without Redis":
        dead = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
        settings.CACHES = {**settings.CACHES, "default": dead}


@pytest.mark.usefixtures("redis")
def test_the_61st_in_a_minute_is_refused(anonymous: Person, clock: list[float], address: str) -> None:
    def statuses(count: int, path: str) -> set[int]:
        return {anonymous.post(path, WRONG, REMOTE_ADDR=address).status_code for _ in range(count)}

    assert statuses(40, "/user/token/") == {401}
    clock[0] += 20
    assert statuses(20, "/user/create/") == {400}
    answer = anonymous.post("/user/token/", WRONG, REMOTE_ADDR=address)
    problem(answer, 429)
    assert answer["Retry-After"] == "40"
    clock[0] += 39.5
    assert anonymous.post("/user/create/", WRONG, REMOTE_ADDR=address)["Retry-After"] == "1"
    clock[0] += 1
    assert statuses(60, "/user/token/") == {401}
    assert statuses(1, "/user/token/") == {429}


def test_right_password_waits_like_a_wrong_one(anonymous: Person, owner: Person, address: str) -> None:
    right = {"email": "owner@example.com", "password": "correct horse battery"}
    for _ in range(60):
        anonymous.post("/user/token/", WRONG, REMOTE_ADDR=address)
    problem(anonymous.post("/user/token/", right, REMOTE_ADDR=address), 429)
    assert anonymous.post("/user/token/", right, REMOTE_ADDR=new_address()).status_code == 200


def test_header_does_not_choose_the_address(anonymous: Person, address: str) -> None:
    for number in range(61):
        headers = {"X-Forwarded-For": f"203.0.113.{number}"}
        answer = anonymous.post("/user/token/", WRONG, REMOTE_ADDR=address, headers=headers)
    problem(answer, 429)


def test_guessing_the_current_password_is_limited(owner: Person, stranger: Person) -> None:
    guess = {"password": "battery horse correct", "current_password": "wrong"}
    assert {owner.patch("/user/manage/", guess).status_code for _ in range(60)} == {400}
    problem(owner.patch("/user/manage/", guess), 429)
    assert stranger.patch("/user/manage/", guess).status_code == 400
    assert owner.get("/user/manage/").status_code == 200


def test_the_rest_is_not_limited_on_the_private_home(owner: Person) -> None:
    assert {owner.get("/user/manage/").status_code for _ in range(70)} == {200}


def test_rates_of_the_rest_are_settings(owner: Person, stranger: Person, settings: Any) -> None:
    settings.THROTTLE_RATES = {"sign_in": None, "submit": "2/min", "read": "3/min"}
    assert [owner.get("/user/manage/").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [owner.post("/user/apikey").status_code for _ in range(3)] == [201, 201, 429]
    assert stranger.get("/user/manage/").status_code == 200


def test_the_addresses_of_a_network_are_one_caller(anonymous: Person) -> None:
    network = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}"
    for number in range(60):
        anonymous.post("/user/token/", WRONG, REMOTE_ADDR=f"{network}::{number + 1:x}")
    assert anonymous.post("/user/token/", WRONG, REMOTE_ADDR=f"{network}:1:2:3:4").status_code == 429


def test_a_count_that_redis_loses_begins_anew(anonymous: Person, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is emptied between the two commands that count."""
    monkeypatch.setattr(type(caches["default"]), "add", lambda *_, **__: True)
    assert anonymous.post("/user/token/", WRONG, REMOTE_ADDR=address).status_code == 401


@pytest.mark.parametrize("door", ["console", "API"])
def test_sign_ins_to_an_account_are_limited_wherever_they_come_from(
    anonymous: Person, owner: Person, stranger: Person, clock: list[float], door: str
) -> None:
    """Guesses by both doors count together."""
    form = {"username": "OWNER@example.com", "password": "wrong"}
    for number in range(60):
        anonymous.post("/user/token/", WRONG, REMOTE_ADDR=f"198.51.100.{number}")
        Client().post("/sign-in", form, REMOTE_ADDR=f"203.0.113.{number}")
    address, password = new_address(), "correct horse battery"

    def sign_in(email: str) -> Any:
        if door == "console":
            return Client().post("/sign-in", {"username": email, "password": password}, REMOTE_ADDR=address)
        return anonymous.post("/user/token/", {"email": email, "password": password}, REMOTE_ADDR=address)

    refused = sign_in("owner@example.com")
    assert (refused.status_code, refused["Retry-After"]) == (429, "60")
    assert sign_in(stranger.user.email).status_code in {200, 302}
    clock[0] += 60
    assert sign_in("owner@example.com").status_code in {200, 302}


def test_an_account_that_is_none_is_limited_like_one(anonymous: Person, owner: Person, settings: Any) -> None:
    settings.THROTTLE_RATES = settings.THROTTLE_RATES | {"sign_in": "1/min"}
    answers = [
        [anonymous.post("/user/token/", WRONG | {"email": email}, REMOTE_ADDR=new_address()).status_code for _ in "123"]
        for email in ("owner@example.com", "nobody@example.com")
    ]
    assert answers == [[401, 401, 429]] * 2
