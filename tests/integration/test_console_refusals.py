"""What the console answers where it refuses: when to try again, and the way back to the form."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.db import OperationalError
from django.template import Context, Template
from django.test import Client

from taskhub.console.home_page import HomeView
from taskhub.runs.models import Worker
from tests.conftest import Person

FORM = "/console/notifications/new?kind=walker"


@pytest.fixture
def too_many(settings: Any) -> Iterator[None]:
    settings.THROTTLE_RATES = settings.THROTTLE_RATES | {"submit": "0/min", "read": None}
    yield
    caches["default"].clear()


@pytest.mark.usefixtures("too_many")
def test_too_many_forms_say_when_to_try_again_and_where(browser: Client) -> None:
    page = browser.post("/console/notifications/new", {"name": "mine"}, headers={"Referer": f"http://testserver{FORM}"})
    assert page.status_code == 429
    assert f"Try again in {page['Retry-After']} s." in page.text
    assert f'<a class="button primary" href="{FORM}">Back to the form</a>' in page.text


@pytest.mark.usefixtures("too_many")
@pytest.mark.parametrize(
    ("sent_from", "back"),
    [
        ("https://elsewhere.example/console/runs", "/"),
        ("http://testserver//elsewhere.example/", "/%2Felsewhere.example/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_the_way_back_leads_nobody_elsewhere(browser: Client, sent_from: str, back: str) -> None:
    page = browser.post("/console/notifications/new", headers={"Referer": sent_from})
    assert f'href="{back}">Back to the form</a>' in page.text


def test_a_form_of_somebody_signed_out_leads_to_the_sign_in_and_back(client: Client, owner: Person) -> None:
    sent = client.post("/console/runs/selected", {"action": "cancel"}, headers={"Referer": f"http://testserver{FORM}"})
    assert (sent.status_code, sent["Location"]) == (302, "/sign-in?next=/console/notifications/new%3Fkind%3Dwalker")


def test_a_page_that_the_database_refuses_comes_again(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(HomeView, "get", fail)
    page = browser.get("/?q=1")
    assert (page.status_code, page["Retry-After"]) == (503, "2")
    assert 'data-away="2"' in page.text
    assert '<a class="button primary" href="/?q=1">Try again</a>' in page.text


def test_the_first_page_says_what_is_away(browser: Client) -> None:
    Worker.objects.all().delete()
    page = browser.get("/").text
    assert "Not all is well." in page
    assert "worker:walkers: no worker" in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Sleeps `seconds`.", "Sleeps <code>seconds</code>."),
        ("`<b>` & `c`", "<code>&lt;b&gt;</code> &amp; <code>c</code>"),
        ("one ` alone <b>", "one ` alone &lt;b&gt;"),
    ],
)
def test_what_stands_between_backticks_is_code(text: str, shown: str) -> None:
    page = Template("{% load console %}{{ text|coded }}").render(Context({"text": text}))
    assert page == shown
