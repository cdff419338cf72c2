"""Bodies that begin with a byte order mark are read wherever JSON is, under any content type."""

import codecs
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.jsontools.strict_json import parse_json
from tests.conftest import Person
from tests.routes import routes

pytestmark = pytest.mark.django_db

MARKED = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
]
FORM = "application/x-www-form-urlencoded"
PAYLOAD = {"request": {"url": "http://a/"}, "fields": [{"name": "ą", "selector": "a"}]}
SEQUENCE = {"requests": [{"method": "GET", "api": "http://a/ą"}]}
CRAWLER = {"meta": {"name": "ą"}, "endpoint": "http://a/"}
ENTRIES: list[tuple[str, Any, str, int]] = [
    ("/v1/task/create", PAYLOAD, "", 201),
    ("/v1/task/create", PAYLOAD, FORM, 201),
    ("/sequences/validate", SEQUENCE, "application/json", 200),
    ("/sequences/validate", SEQUENCE, FORM, 200),
    ("/externals", CRAWLER, "application/json", 201),
    ("/externals", CRAWLER, FORM, 201),
    ("/js/walker_run", {"name": "echo", "ctx": {"value": "ą"}}, "application/json", 200),
    ("/js/walker_run", {"name": "echo", "ctx": {"value": "ą"}}, FORM, 200),
    ("/js/wapi/echo", {"ctx": {"value": "ą"}}, FORM, 200),
    ("/user/apikey", {"name": "ą"}, FORM, 201),
]


@pytest.mark.parametrize(("mark", "encoding"), MARKED, ids=[encoding for _, encoding in MARKED])
@pytest.mark.parametrize(("path", "value", "kind", "status"), ENTRIES)
def test_a_body_with_a_mark(
    colleague: Person, path: str, value: Any, kind: str, status: int, mark: bytes, encoding: str
) -> None:
    body = mark + json.dumps(value, ensure_ascii=False).encode(encoding)
    answer = colleague.post(path, body, content_type=kind)
    assert answer.status_code == status, answer.content


def test_what_is_written_behind_a_mark_is_kept(colleague: Person) -> None:
    body = codecs.BOM_UTF8 + json.dumps({"name": "echo", "ctx": {"value": "ą"}}, ensure_ascii=False).encode()
    assert colleague.post("/js/walker_run", body).json()["report"] == ["ą"]
    form = colleague.post("/js/walker_run", "name=echo&ctx=%EF%BB%BF%7B%22value%22%3A1%7D", content_type=FORM)
    assert form.json()["report"] == [1]


def test_no_route_answers_otherwise_because_of_a_mark(colleague: Person) -> None:
    """Each route gets the same broken body with and without a mark, so that nothing is changed by it."""
    paths = {re.sub(r"<[^>]+>", "1", route) for route, _ in routes() if not route.startswith("admin")}
    for path in sorted(f"/{path}" for path in paths if not re.search(r"[\^$(]|logout", path)):
        for kind in ("application/json", FORM):
            answers = [colleague.post(path, mark + b'{"a": ]', content_type=kind) for mark in (b"", codecs.BOM_UTF8)]
            assert answers[0].status_code == answers[1].status_code, path
            assert answers[0].headers.get("Content-Type") == answers[1].headers.get("Content-Type"), path


@pytest.mark.parametrize("body", [b"\xff\xfe{", b"\xfe\xff\xd8\x00", b"\xff\xfe\x00\x00{"])
def test_what_is_not_what_its_mark_says_is_refused(owner: Person, body: bytes) -> None:
    answer = owner.post("/v1/task/create", body)
    assert (answer.status_code, answer.json()["type"]) == (400, "broken-json")
    assert "byte order mark" in answer.json()["detail"]


@pytest.mark.parametrize("parse", [parse_json, parse_jsonc])
def test_texts_and_files_may_begin_with_a_mark(parse: Callable[[bytes | str], Any]) -> None:
    assert parse("\ufeff[1]") == [1]
    for mark, encoding in MARKED:
        assert parse(mark + '["ą"]'.encode(encoding)) == ["ą"]
