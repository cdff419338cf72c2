"""Which form of a page a login fills, and what that sends."""

from typing import Any

import pytest

from extraction.domain.logins import LoginRequest, LoginTerms, fill_form
from extraction.domain.process_status import PageFailure

URL = "https://shop.example.com/account/login?next=1"
SEARCH = '<form action="/find"><input name="q" value="x"></form>'
OPEN = "<form method=post action="
PASSWORD = '<input name="u"><input type="PASSWORD" name="p">'


def filled(html: str, form: dict[str, Any] | None = None, **terms: Any) -> LoginRequest:
    login = LoginTerms.model_validate({"url": URL, "form": form or {"u": "ada", "p": "ż"}, **terms})
    return fill_form(html, URL, login)


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ('<input type="hidden" name="t" value="a b">', "t=a+b&u=ada&p=%C5%BC"),
        ('<input type="hidden" name="t">', "t=&u=ada&p=%C5%BC"),
        ('<input type="hidden" name="t" value="1" disabled>', "u=ada&p=%C5%BC"),
        ('<input type="checkbox" name="c" checked><input type="checkbox" name="d">', "c=on&u=ada&p=%C5%BC"),
        (
            '<input type="radio" name="r" value="1"><input type="radio" name="r" value="2" checked>',
            "r=2&u=ada&p=%C5%BC",
        ),
        ('<select name="s"><option value="1">a<option selected>b </select>', "s=b&u=ada&p=%C5%BC"),
        ('<textarea name="x">more</textarea>', "x=more&u=ada&p=%C5%BC"),
        ('<input type="submit" name="go" value="1"><input type="file" name="f">', "u=ada&p=%C5%BC"),
        ('<input type="hidden" name="u" value="nobody">', "u=ada&p=%C5%BC"),
        ('<input type="hidden" name="">', "u=ada&p=%C5%BC"),
    ],
)
def test_fields_that_nobody_touches_go_along(form: str, body: str) -> None:
    html = f'{SEARCH}<form method="POST" action="in">{form}{PASSWORD}</form>'
    assert filled(html) == ("POST", "https://shop.example.com/account/in", body)


@pytest.mark.parametrize(
    ("html", "terms", "address"),
    [
        (f'{SEARCH}<form method=post action="/a">{PASSWORD}</form>', {}, "/a"),
        (f"{OPEN}/a>{PASSWORD}</form>{OPEN}/b><input name=u></form>", {}, "/a"),
        (f"{OPEN}/a><input name=u></form>{OPEN}/b><input name=x></form>", {}, "/a"),
        (f'<form method=post action="/a"></form><form method=post id=f action="/b">{PASSWORD}', {"submit": "#f"}, "/b"),
        ('<form method=post action="/a"><button id=b formaction="/c">go</button></form>', {"submit": "#b"}, "/c"),
        (f"<form method=post>{PASSWORD}</form>", {}, "/account/login?next=1"),
        (f'<base href="/base/"><form method=post action="x">{PASSWORD}</form>', {}, "/base/x"),
        (f'<form method=post action="https://shop.example.com/a#f">{PASSWORD}</form>', {}, "/a"),
    ],
)  # fmt: skip
def test_the_form_is_found(html: str, terms: dict[str, Any], address: str) -> None:
    assert filled(html, **terms).url == f"https://shop.example.com{address}"


def test_a_button_is_sent_with_its_name() -> None:
    html = f"{OPEN}/a><button name=do value=login>in</button><button name=do value=help>?</button></form>"
    assert filled(html, {"u": ["1", "2"]}, submit="button[value=login]").body == "do=login&u=1&u=2"


def test_a_form_with_none_of_the_fields_is_not_sent() -> None:
    with pytest.raises(PageFailure, match=r"none of the fields that it is filled with; it has p, u\."):
        filled(f"{OPEN}/a>{PASSWORD}</form>", {"email": "ada", "password": "x"})


def test_a_form_may_be_sent_by_get() -> None:
    assert filled(f'<form action="/a?old=1">{PASSWORD}</form>') == (
        "GET",
        "https://shop.example.com/a?u=ada&p=%C5%BC",
        "",
    )
