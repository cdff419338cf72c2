"""What a newcomer finds at the address alone: people the console, programs the documentation."""

import pytest
from django.test import Client

from tests.conftest import Person

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.mark.parametrize("accept", [BROWSER, "*/*", None])
def test_who_has_not_signed_in_is_led_to_the_sign_in(anonymous: Person, accept: str | None) -> None:
    answer = anonymous.get("/", headers={"Accept": accept} if accept else {})
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in")
    page = anonymous.get(answer["Location"])
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_who_has_signed_in_sees_what_the_hub_does(client: Client, owner: Person) -> None:
    client.force_login(owner.user)
    assert "<title>Home" in client.get("/", headers={"Accept": BROWSER}).text


def test_programs_are_led_to_the_documentation(anonymous: Person, owner: Person) -> None:
    key = owner.post("/user/apikey").json()["key"]
    answers = [
        anonymous.get("/", headers={"Accept": "application/json"}),
        owner.get("/"),
        anonymous.get("/", headers={"X-API-Key": key}),
    ]
    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(302, "/docs/")}
    assert anonymous.get("/docs/").status_code == 200
