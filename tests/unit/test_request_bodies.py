"""What a payload's request sends: a form, JSON or a text, by any method."""

from typing import Any

import pytest

from extraction.domain.pages_payload import PagesPayload
from extraction.domain.request_bodies import FORM_TYPE, JSON_TYPE, TEXT_TYPE
from taskhub.errors import Rejected


def request_of(**sent: Any) -> Any:
    payload = {"request": {"url": "http://x/", **sent}, "fields": [{"name": "a", "selector": "a"}]}
    return PagesPayload.parse(payload).request


@pytest.mark.parametrize(
    ("sent", "method", "body"),
    [
        ({}, "GET", None),
        ({"method": "put"}, "PUT", None),
        ({"method": "REPORT"}, "REPORT", None),
        ({"form": {"a": "ż b", "n": 1.5}}, "POST", (b"a=%C5%BC+b&n=1.5", FORM_TYPE)),
        ({"form": {"a": ["1", 2, ""]}}, "POST", (b"a=1&a=2&a=", FORM_TYPE)),
        ({"form": {"a": []}}, "POST", (b"", FORM_TYPE)),
        ({"method": "GET", "form": {"a": "b"}}, "GET", (b"a=b", FORM_TYPE)),
        ({"json": {"a": [1, None, "ż"]}}, "POST", ('{"a":[1,null,"ż"]}'.encode(), JSON_TYPE)),
        ({"json": []}, "POST", (b"[]", JSON_TYPE)),
        ({"json": False}, "POST", (b"false", JSON_TYPE)),
        ({"body": "a\nż\ud800", "method": "PATCH"}, "PATCH", ("a\nż?".encode(), TEXT_TYPE)),
    ],
)
def test_what_is_sent(sent: dict[str, Any], method: str, body: Any) -> None:
    request = request_of(**sent)
    assert (request.method, request.body) == (method, body)


@pytest.mark.parametrize(
    ("place", "sent"),
    [
        ("/request/method", {"method": "TRACE"}),
        ("/request/method", {"method": "connect"}),
        ("/request/method", {"method": "GET /"}),
        ("/request/method", {"method": 5}),
        ("/request/form", {"form": ["a"]}),
        ("/request/form", {"form": {str(n): "a" for n in range(201)}}),
        ("/request/form/a", {"form": {"a": {"b": 1}}}),
        ("/request/form/a", {"form": {"a": True}}),
        ("/request/form/a/1", {"form": {"a": ["b", None]}}),
        ("/request/form/a", {"form": {"a": ["b"] * 1001}}),
        ("/request/json", {"json": 10**30}),
        ("/request/json", {"json": "x" * 1_000_001}),
        ("/request/body", {"body": {"a": 1}}),
        ("/request/body", {"body": "ż" * 500_001}),
        ("/request/json", {"form": {"a": "b"}, "json": {}}),
        ("/request/body", {"json": {}, "body": "x"}),
    ],
)
def test_faults_of_bodies_have_their_places(place: str, sent: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        request_of(**sent)
    assert [error["pointer"] for error in caught.value.errors] == [place]
