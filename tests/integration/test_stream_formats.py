"""Documents of a stream in other orders, with some fields, in other formats, and one by its id, over HTTP."""

import csv
import gzip
import io
import json
from typing import Any
from urllib.parse import quote

import pytest

from crawlers.services import document_formats
from taskhub.errors import Conflict, NotFound
from tests.conftest import Person
from tests.integration.test_crawlers_uploads import NDJSON, Crawl, doc
from tests.problems import problem
from tests.unit.test_extraction_writers import cells

pytestmark = pytest.mark.django_db
CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.fixture
def crawl(owner: Person) -> Crawl:
    return Crawl(owner)


def ask(crawl: Crawl, query: str = "", accept: str = "*/*", **headers: str) -> Any:
    return crawl.owner.get(f"/streams/{crawl.stream['fid']}/docs{query}", headers={"Accept": accept, **headers})


def read(crawl: Crawl, query: str = "", accept: str = "*/*") -> bytes:
    answer = ask(crawl, query, accept)
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def skus(crawl: Crawl, **query: Any) -> list[str]:
    return [document["sku"] for document in crawl.shown(**query)]


FORMATS = [("ndjson", NDJSON), ("csv", CSV), ("xlsx", XLSX)]


@pytest.mark.parametrize(("name", "media_type"), [*FORMATS, ("array", "application/json")])
def test_a_format_is_chosen_by_its_name_or_by_accept(crawl: Crawl, name: str, media_type: str) -> None:
    crawl.upload(crawl.task(), doc("a"), doc("b"))
    named = ask(crawl, f"?format={name}", "application/json")
    assert named["Content-Type"].partition(";")[0] == media_type
    extension = "json" if name == "array" else name
    assert named["Content-Disposition"] == f'attachment; filename="stream-{crawl.stream["fid"]}.{extension}"'
    content = b"".join(named.streaming_content)
    if name not in {"array", "xlsx"}:
        assert read(crawl, accept=media_type) == content
    packed = ask(crawl, f"?format={name}", **{"Accept-Encoding": "gzip"})
    assert gzip.decompress(b"".join(packed.streaming_content))


@pytest.mark.parametrize("name", ["ndjson", "array", "csv", "xlsx"])
@pytest.mark.parametrize("term", ["limit=5", "cursor=IjEi"])
def test_what_is_whole_has_no_pages(crawl: Crawl, name: str, term: str) -> None:
    crawl.upload(crawl.task(), doc("a"))
    answer = ask(crawl, f"?format={name}&{term}")
    [error] = problem(answer, 400, f"/{term.partition('=')[0]}")["errors"]
    assert error["detail"] == "Only pages have it; this format has all."


def test_a_page_is_the_format_by_default(crawl: Crawl) -> None:
    crawl.upload(crawl.task(), doc("a"))
    for query, accept in (("", "*/*"), ("", "application/json"), ("?format=json", CSV)):
        assert ask(crawl, query, accept).json()["payload"]["results"] == [doc("a")]


@pytest.mark.parametrize(
    ("query", "accept", "pointers"),
    [
        ("?format=xml", "*/*", ["/format"]),
        ("?format=CSV", "*/*", ["/format"]),
        ("?format=", "*/*", ["/format"]),
        ("", "application/xml", []),
    ],
)
def test_another_format_is_not_acceptable(crawl: Crawl, query: str, accept: str, pointers: list[str]) -> None:
    problem(ask(crawl, query, accept), 406, *pointers)


def test_an_array_is_whole_wherever_pieces_end(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(read(crawl, "?format=array")) == []
    documents = [doc(f"{n}", n, text="\n,[]") for n in range(20)]
    crawl.upload(crawl.task(), *documents)
    for size in (1, 7, 100):
        monkeypatch.setattr("crawlers.services.document_export.PIECE", size)
        monkeypatch.setattr("crawlers.services.document_export.EXPORT_STRETCH", 3)
        assert sorted(json.loads(read(crawl, "?format=array")), key=lambda one: one["price"]) == documents


def test_the_columns_of_a_table_are_those_of_the_schema(crawl: Crawl) -> None:
    crawl.upload(crawl.task(), doc("a", 1.50, colour="red"), {"sku": "=1+1"})
    expected = [["sku", "price", "name"], ["'=1+1", "", ""], ["a", "1.5", ""]]
    assert rows(read(crawl, "?format=csv")) == expected
    assert cells(read(crawl, "?format=xlsx"))[0] == expected[0]
    assert cells(read(crawl, "?format=xlsx"))[2] == ["a", "1.5"]


def test_without_a_schema_they_are_those_of_the_documents(owner: Person) -> None:
    crawl = Crawl(owner, schema=None)
    crawl.upload(
        crawl.task(),
        {"sku": "a", "seller": {"name": "x", "rank": 12345678901234567890}, "tags": ["n", 1], "sold": True},
        {"sku": "b", "seller": {}, "note": 'ż, "q"\nz'},
    )
    assert rows(read(crawl, "?format=csv")) == [
        ["sku", "seller.name", "seller.rank", "tags", "sold", "seller", "note"],
        ["a", "x", "12345678901234567890", '["n",1]', "true", '{"name":"x","rank":12345678901234567890}', ""],
        ["b", "", "", "", "", "{}", 'ż, "q"\nz'],
    ]
    assert cells(read(crawl, "?format=xlsx&fields=seller.rank,sold"))[1:] == [["12345678901234567890", "1"]]


def test_an_empty_stream_has_the_names_alone(crawl: Crawl) -> None:
    assert rows(read(crawl, "?format=csv")) == [["sku", "price", "name"]]
    assert cells(read(crawl, "?format=xlsx"))[0] == ["sku", "price", "name"]


def test_a_spreadsheet_goes_on_in_another_sheet(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_formats, "ROWS_MAX", 2)
    crawl.upload(crawl.task(), *[doc(f"{n}") for n in range(3)])
    data = read(crawl, "?format=xlsx&fields=sku")
    assert (cells(data, 1), cells(data, 2)) == ([["sku"], ["0"], ["1"]], [["sku"], ["2"]])


def test_fields_of_documents(crawl: Crawl) -> None:
    document = doc("a", 5, seller={"name": "x", "city": "y"}, tags=[{"n": 1, "m": 2}, {"m": 3}], big=1e16)
    crawl.upload(crawl.task(), document)
    wanted = {"seller": {"name": "x"}, "tags": [{"n": 1}, {}], "big": 1e16}
    query = "fields=seller.name,tags.n,big,absent"
    assert crawl.shown(fields="seller.name,tags.n,big,absent") == [wanted]
    assert json.loads(read(crawl, f"?format=ndjson&{query}")) == wanted
    assert json.loads(read(crawl, f"?format=array&{query}")) == [wanted]
    assert rows(read(crawl, f"?format=csv&{query}"))[1] == ["x", "[1]", "1e+16", ""]
    (wrapped,) = crawl.shown(fields="sku", wrapped="true")
    assert (wrapped["id"], wrapped["doc"]) == ("a", {"sku": "a"})
    for wrong in ("", "a,,b", ",".join(f"f{n}" for n in range(501))):
        problem(ask(crawl, f"?fields={wrong}"), 400, "/fields")


def test_wrapped_documents_have_their_id_in_every_format(owner: Person) -> None:
    crawl = Crawl(owner, schema=None)
    task = crawl.task()
    crawl.upload(task, {"sku": 7}, {"x": 1})
    wrapped = crawl.shown(wrapped="true")
    assert [json.loads(line) for line in read(crawl, "?format=ndjson&wrapped=true").splitlines()] == wrapped
    assert [one["doc"] for one in wrapped] == [{"x": 1}, {"sku": 7}]
    assert wrapped[0]["id"].startswith("#")
    assert wrapped == crawl.shown(wrapped="true", task=task, order="newest")
    assert [row[0] for row in rows(read(crawl, "?format=csv&wrapped=true"))][0::2] == ["id", "7"]


def test_the_newest_come_first(crawl: Crawl) -> None:
    first = crawl.task()
    crawl.upload(first, doc("c"), doc("a"), doc("b"))
    crawl.end(first)
    second = crawl.task()
    crawl.upload(second, doc("a", 2), doc("d"))
    assert skus(crawl, order="newest") == ["d", "a", "b", "c"]
    assert skus(crawl, order="newest", limit=1) == ["d", "a", "b", "c"]
    assert skus(crawl, order="newest", task=first) == ["b", "a", "c"]
    assert skus(crawl, order="newest", where="$.price > 1") == ["a"]
    lines = read(crawl, "?format=ndjson&order=newest").splitlines()
    assert [json.loads(line)["sku"] for line in lines] == ["d", "a", "b", "c"]
    crawl.upload(second, doc("c", 3), doc("a", 4))
    assert skus(crawl, order="newest") == ["a", "c", "d", "b"]
    crawl.owner.delete(f"/actions/tasks/{second}")
    assert skus(crawl, order="newest") == ["b", "a", "c"]
    problem(ask(crawl, "?order=oldest"), 400, "/order")


IDS: dict[str, list[tuple[str, Any]]] = {
    "a text": [("a1", "a1"), ('"a1"', "a1")],
    "a text that looks like a number": [('"1"', "1")],
    "a number": [("1", 1), ("1.0", 1)],
    "a text with signs": [("a/b c?ü", "a/b c?ü"), ('"a/"', "a/")],
    "true": [("true", True)],
    "a long text": [("x" * 1001, "x" * 1001)],
}


@pytest.fixture
def with_ids(owner: Person) -> Crawl:
    crawl = Crawl(owner, schema=None)
    crawl.upload(crawl.task(), *({"sku": pairs[0][1]} for pairs in IDS.values()), {"sku": "a/"}, {"note": "no id"})
    return crawl


@pytest.mark.parametrize("name", IDS)
def test_one_document_by_its_id(with_ids: Crawl, name: str) -> None:
    for written, sku in IDS[name]:
        answer = with_ids.owner.get(f"/streams/{with_ids.stream['fid']}/docs/{quote(written, safe='')}")
        assert answer.json() == {"success": True, "payload": {"sku": sku}, "version": 0}


def test_one_document_by_its_digest_wrapped_and_some_fields(with_ids: Crawl) -> None:
    (digest,) = [one["id"] for one in with_ids.shown(wrapped="true") if "note" in one["doc"]]
    path = f"/streams/{with_ids.stream['fid']}/docs"
    assert with_ids.owner.get(f"{path}/{quote(digest)}").json()["payload"] == {"note": "no id"}
    wrapped = with_ids.owner.get(f"{path}/a1?wrapped=true&fields=price").json()["payload"]
    assert (wrapped["id"], wrapped["doc"]) == ("a1", {})
    for absent in ("a2", "null", "2", "%00", "%23", quote('1,"x":2'), quote('{"a":1}')):
        problem(with_ids.owner.get(f"{path}/{absent}"), 404)


@pytest.mark.parametrize("name", ["array", "csv"])
def test_a_format_that_cannot_be_finished_is_broken_off(
    crawl: Crawl, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawlers.services.document_export.EXPORT_STRETCH", 2)
    monkeypatch.setattr("crawlers.services.document_formats.PIECE", 1)
    crawl.upload(crawl.task(), *[doc(f"{n}") for n in range(9)])
    pieces = iter(ask(crawl, f"?format={name}").streaming_content)
    assert next(pieces)
    crawl.owner.delete(f"/streams/{crawl.stream['fid']}")
    with pytest.raises(NotFound):
        b"".join(pieces)


def test_more_documents_than_the_sheets_hold_are_a_conflict(owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_formats, "ROWS_MAX", 2)
    pieces = document_formats.xlsx_of([b'{"a":1}\n{"a":2}\n{"a":3}\n'], [], owner_id=owner.user.pk, count=2)
    with pytest.raises(Conflict, match="ask again"):
        next(pieces)
