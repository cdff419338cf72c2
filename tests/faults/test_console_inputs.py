"""What strangers write into the addresses and forms of the console: each page, each of its fields, and odd texts."""

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from django.db import transaction
from django.test import Client
from lxml import html

from taskhub.console.urls import urlpatterns
from tests.faults.credentials import SESSION_COOKIE, World
from tests.faults.test_authorization import path_of
from tests.faults.test_authorization_console import TABLE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]

ODD_IN_QUERY = {
    "word": b"nonsense",
    "markup": b"\"'><script>alert(4711)</script>",
    "digits": b"9" * 40,
    "half a character": b"\xed\xa0\x80\xff",
    "script": b"javascript:alert(4711)",
    "last moment": b"9999-12-31T23:59:59-14:00",
}
ODD = ODD_IN_QUERY | {
    "less than nothing": b"-1",
    "beyond a double": b"1e999",
    "nesting": b"[" * 20_000,
    "NUL": b"a\0b",
}
VIEWS = {str(pattern.pattern): pattern.callback.view_class for pattern in urlpatterns}  # type: ignore[attr-defined]
PAGES = [page.removeprefix("GET ") for page in TABLE if page.startswith("GET ")]


@pytest.fixture
def client(world: World) -> Client:
    client = Client(raise_request_exception=False, headers={"Accept": "text/html"})
    client.cookies[SESSION_COOKIE] = world.good["owner"]["session"].session
    return client


def ask(client: Client, method: str, path: str, **sent: Any) -> Any:
    """One answer, whose effects are undone."""
    with transaction.atomic():
        answer = getattr(client, method)(path, **sent)
        transaction.set_rollback(True)
    return answer


def parameters_of(route: str, page: Any) -> list[str]:
    """The names that the view reads, those in the page's links to itself, and in its forms that ask for other rows."""
    source = inspect.getsource(sys.modules[VIEWS[route].__module__])
    names = set(re.findall(r'GET(?:\.get\(|\[)"(\w+)"', source)) | ({"after"} if "list_position" in source else set())
    names |= {name for link in page.xpath("//a/@href") if link.startswith("?") for name in parse_qs(link[1:])}
    return sorted(names | set(page.xpath("//form[@method='get']//*[@name]/@name")))


def forms_of(page: Any, path: str) -> Iterator[tuple[str, list[str], list[tuple[str, str]]]]:
    """Of each form that changes something: where it is sent, its fields, and what its buttons say."""
    for form in page.xpath("//form[@method='post'][not(@action='/sign-out')]"):
        fields = form.xpath(".//*[self::input or self::select or self::textarea][@name]/@name")
        buttons = [(one.get("name"), one.get("value")) for one in form.xpath(".//button[@name]")] or [("", "")]
        hidden = form.xpath(".//input[@type='hidden'][@name='action']/@value")
        buttons = [("action", value) for value in hidden] or buttons
        yield form.get("action") or path, sorted({*fields} - {"csrfmiddlewaretoken", "action"}), buttons


def check(answer: Any, what: str) -> None:
    assert answer.status_code < 500, what
    if answer.get("Content-Type", "").startswith("text/html"):
        assert "<script>alert" not in answer.text, what
        assert 'href="javascript:' not in answer.text, what
        assert "Content-Security-Policy" in answer.headers, what


@pytest.mark.parametrize("route", PAGES)
def test_no_page_fails_for_what_is_written_into_it(client: Client, world: World, route: str) -> None:
    path = path_of(route, world.things)
    first = ask(client, "get", path)
    page = html.fromstring(first.text or "<p></p>")
    for odd, text in ODD_IN_QUERY.items():
        for name in parameters_of(route, page):
            check(ask(client, "get", f"{path}?{urlencode({name: text})}"), f"{name}: {odd}")
    for action, fields, buttons in forms_of(page, path):
        for odd, text in ODD.items():
            for name, value in buttons:
                body = urlencode([(field, text) for field in fields] + ([(name, value)] if name else []))
                sent = {"data": body, "content_type": "application/x-www-form-urlencoded"}
                check(ask(client, "post", action, **sent), f"{action}: {odd}")
