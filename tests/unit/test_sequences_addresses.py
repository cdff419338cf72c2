"""Addresses of requests: what an expression is at each place of one, and what can never be one."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sequences.domain.address_templates import LENGTH_MAX, read_address
from sequences.domain.scope import Scope
from sequences.domain.templates import TemplateReader
from sequences.domain.validation_errors import StepFailure, ValidationFaults


def faults_of(text: str) -> list[dict[str, str]]:
    faults = ValidationFaults()
    read_address(text, (None, "url"), TemplateReader(faults), faults)
    return faults.errors


def rendered(text: str, **values: Any) -> str:
    faults = ValidationFaults()
    template = read_address(text, None, TemplateReader(faults), faults)
    assert faults.errors == []
    address: str = template.render(Scope({}, values))
    return address


@pytest.mark.parametrize(
    ("text", "values", "address"),
    [
        # at the beginning as it is
        ("{{#.base}}/path", {"base": "http://h:8000/api"}, "http://h:8000/api/path"),
        ("{{#.next}}&limit=5", {"next": "https://h/list?cursor=a%2Fb=="}, "https://h/list?cursor=a%2Fb==&limit=5"),
        ("{{#.to}}", {"to": "HTTP://h/a b?c#d"}, "HTTP://h/a b?c#d"),
        ("{{#.to}}", {"to": "http://h/a/../b"}, "http://h/a/../b"),
        ("{{#.base}}/x", {"base": "http://h/.."}, "http://h/../x"),
        ("{{#.next}}&a=./..", {"next": "http://h/?b=.."}, "http://h/?b=..&a=./.."),
        ("{{#.base}}/users/{{#.id}}", {"base": "http://h", "id": "a/b"}, "http://h/users/a%2Fb"),
        ("{{#.base}}{{#.path}}", {"base": "http://h/", "path": "a/b?c"}, "http://h/a%2Fb%3Fc"),
        ("{{#.scheme}}://h/", {"scheme": "https"}, "https://h/"),
        # in the authority a host, or a host and a port
        ("http://{{#.host}}/", {"host": "h"}, "http://h/"),
        ("http://{{#.host}}/", {"host": "h.example:8000"}, "http://h.example:8000/"),
        ("http://{{#.host}}", {"host": "[::1]:80"}, "http://[::1]:80"),
        ("http://{{#.host}}:{{#.port}}?q={{#.host}}", {"host": "h", "port": 8000}, "http://h:8000?q=h"),
        ("http://{{#.tenant}}.h.example/", {"tenant": "a-1"}, "http://a-1.h.example/"),
        ("http://{{#.host}}/", {"host": "bücher.example"}, "http://bücher.example/"),
        ("http{{#.s}}://h/", {"s": "s"}, "https://h/"),
        ("{{#.scheme}}://{{#.host}}/{{#.x}}", {"scheme": "http", "host": "h", "x": "?"}, "http://h/%3F"),
        # elsewhere percent-encoded
        (
            "http://h/{{#.x}}?q={{#.x}}#{{#.x}}",
            {"x": "t/ä k"},
            "http://h/t%2F%C3%A4%20k?q=t%2F%C3%A4%20k#t%2F%C3%A4%20k",
        ),
        ("http://h/{{#.nothing}}/{{#.x}}", {"x": ["x", "y"]}, "http://h//%5B%22x%22%2C%22y%22%5D"),
        ("http://h?{{#.x}}", {"x": "http://other/"}, "http://h?http%3A%2F%2Fother%2F"),
        ("http://h/../", {}, "http://h/../"),
        ("http://h/{{#.x}}", {"x": "{{#.secret}}", "secret": "s"}, "http://h/%7B%7B%23.secret%7D%7D"),
    ],
)
def test_what_an_expression_gives_at_its_place(text: str, values: Any, address: str) -> None:
    assert rendered(text, **values) == address


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("{{#.base}}/path", {}, "not text"),
        ("{{#.base}}/path", {"base": 5}, "not text"),
        ("{{#.to}}", {"to": ["http://h/"]}, "not text"),
        ("{{#.base}}/path", {"base": ""}, "begins with http"),
        ("{{#.base}}/path", {"base": "ftp://h"}, "begins with http"),
        ("{{#.base}}/path", {"base": "h.example"}, "begins with http"),
        ("{{#.base}}/path", {"base": "http://h/\r\nX: y"}, "control characters"),
        ("{{#.to}}", {"to": "http://user:secret@h/"}, "no user name"),
        ("{{#.to}}", {"to": "http://h:99999/"}, "port"),
        ("http://{{#.host}}/", {}, "no host"),
        ("http://{{#.host}}/", {"host": "h/path"}, "no host"),
        ("http://{{#.host}}/", {"host": "h?a"}, "no host"),
        ("http://{{#.host}}/", {"host": "h#a"}, "no host"),
        ("http://{{#.host}}/", {"host": "user@h"}, "no host"),
        ("http://{{#.host}}/", {"host": "h\\other"}, "no host"),
        ("http://{{#.host}}/", {"host": "h h"}, "no host"),
        ("http://{{#.host}}/", {"host": "http://h"}, "no host"),
        ("http://{{#.host}}/", {"host": "h:x"}, "host is none"),
        ("http://{{#.host}}/", {"host": "h:80:80"}, "host is none"),
        ("http://{{#.host}}:{{#.port}}/", {"host": "h", "port": 0}, "port"),
        ("http://h{{#.path}}", {"path": "/a"}, "no host"),
        ("{{#.base}}{{#.more}}", {"base": "http://h", "more": "/../a"}, "no host"),
        ("http://h/a/{{#.x}}/b", {"x": ".."}, "lead elsewhere"),
        ("http://h/a/{{#.x}}/b", {"x": "."}, "lead elsewhere"),
        ("{{#.base}}/{{#.x}}/b", {"base": "http://h/a", "x": ".."}, "lead elsewhere"),
        ("{{#.base}}{{#.x}}", {"base": "http://h/a/", "x": ".."}, "lead elsewhere"),
        ("http://h/{{#.x}}", {"x": "x" * LENGTH_MAX}, "longer than"),
    ],
)
def test_values_that_make_no_address(text: str, values: Any, message: str) -> None:
    with pytest.raises(StepFailure, match=message):
        rendered(text, **values)


@pytest.mark.parametrize("way", ["..", "."])
def test_dots_that_lead_nowhere_may_be_substituted(way: str) -> None:
    assert rendered("http://h/a/x{{#.way}}?up=/{{#.way}}/", way=way) == f"http://h/a/x{way}?up=/{way}/"


NEVER = [
    "h.example/{{#.x}}", "/js/walker_list", "/{{#.x}}", "ftp://{{#.host}}/", "http:/{{#.x}}", "http:{{#.x}}",
    "http:///{{#.x}}", "http://?{{#.x}}", "http://", "https://#{{#.x}}", "ws://h/", " http://h/", "http://h h/",
    "http://user@h/{{#.x}}", "http://user:{{#.password}}@h/", "http://h:port/{{#.x}}", "http://h:99999/", "http://h:0/",
    "http://a..b/", "http://[::zz]/", "http://[]/", "http://h\\h/", "http://h/\n", "http://.h/", "www.{{#.host}}",
    "//{{#.host}}/", "javascript:{{#.x}}", "http//{{#.host}}", "http:// {{#.host}}/", "x{{#.base}}/",
    "http://{{#.host}}@h/", "http://{{#.a}}:{{#.b}}:80/", "http://[{{#.host}}/",
]  # fmt: skip


@pytest.mark.parametrize("text", NEVER)
def test_what_can_never_be_an_address_is_refused(text: str) -> None:
    (fault,) = faults_of(text)
    assert fault["path"] == "url"


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["http", "https", "://", ":", "/", "h", "{{#.a}}", "{{#.b}}", "?", "@", " ", "."]), max_size=6
    ),
    st.sampled_from(["http://h", "http", "h", "h:1", "", "x/y", "https://h/?"]),
    st.sampled_from(["h", "80", "a/b", "s", ""]),
)
@example(["{{#.a}}", "{{#.b}}"], "http://h", "h")
@example(["https", "{{#.a}}", "://", "{{#.b}}"], "", "h")
@example(["h", "{{#.b}}", "://", "{{#.a}}"], "h", "ttps")
@example(["http", "://", "://", "{{#.a}}"], "h", "h")
def test_no_address_that_some_values_make_is_refused(pieces: list[str], a: str, b: str) -> None:
    faults = ValidationFaults()
    template = read_address("".join(pieces), None, TemplateReader(faults), faults)
    try:
        template.render(Scope({}, {"a": a, "b": b}))
    except StepFailure:
        return
    assert template.constant or faults.errors == []
