# ruff: noqa: RUF001
"""Numbers, dates and truths as people write them."""

import csv
import io
import json
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extraction.domain.page_reader import read_page
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.tables import TableLosses, date_columns, typed_rows_of
from extraction.domain.typed_values import parse_boolean, parse_date, parse_integer, parse_number
from extraction.writers import write_records
from taskhub.errors import Rejected

NUMBERS: dict[str, float | None] = {
    "9 900,00 zł": 9900,
    "9\u00a0900,00\u00a0zł": 9900,
    "9\u202f900,50": 9900.5,
    "1.234,56 €": 1234.56,
    "$1,234.56": 1234.56,
    "1,234.567": 1234.567,
    "1.234.567": 1234567,
    "1.234.567,89": 1234567.89,
    "1,000,000": 1000000,
    "12,34,567.89": 1234567.89,
    "CHF 1'234.50": 1234.5,
    "CHF 1’234.–": 1234,
    "1 000,-": 1000,
    "1,234": 1234,
    "1.234": 1234,
    "0.125": 0.125,
    "0,125": 0.125,
    "1,5": 1.5,
    ".75": 0.75,
    "35€99": 35.99,
    "99 €, 79 €": 99,
    "50 %": 50,
    "−5 °C": -5,
    "-$5": -5,
    "$-5": -5,
    "Balance: (1,234.50)": 1234.5,
    "(1,234.50)": -1234.5,
    "10–20": 10,
    "1.2M views": 1200000,
    "12k": 12000,
    "5 m": 5,
    "1.5e3": 1500,
    "1e-5": 0.00001,
    "3 for 10": 3,
    "Rated 4 5 times": 4,
    "١٢٣٫٥": 123.5,
    "１２": 12,
    "99999999999999999999": 1e20,
    "Rs.1299": 1299,
    "No.5": 5,
    "1234.567 kg": 1234.567,
    "52,520008": 52.520008,
    "１，２３４円": 1234,
    "12,50- €": -12.5,
    "12,50-": -12.5,
    "149,- €": 149,
    "10.50-12.50": 10.5,
    "1½ cups": 1.5,
    "3 ¾": 3.75,
    "½": 0.5,
    "1,5 Mio. €": 1500000,
    "2 Mrd.": 2000000000,
    "3 млн": 3000000,
    "5 тыс. ₽": 5000,
    "2.1bn": 2100000000,
    "2.1 billion": 2100000000,
    "3 million people": 3000000,
    "₹1.5 lakh": 150000,
    "1.5m": 1.5,
    "3 millimetres": 3,
    "3万": 30000,
    "2億3,980万円": 239800000,
    "12万5000円": 125000,
    "3억 5,000만원": 350000000,
    "free": None,
    "-": None,
    "": None,
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers(text: str) -> None:
    assert parse_number(text) == NUMBERS[text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 234", 1234), ("12.0", 12), ("1.5", None), ("12 reviews", 12), ("9" * 20, None), ("", None)],
)
def test_integers(text: str, expected: int | None) -> None:
    found = parse_integer(text)
    assert found == expected
    assert found is None or isinstance(found, int)


@given(st.text(max_size=60) | st.from_regex(r"[0-9., '()eEkM€-]{1,40}", fullmatch=True))
def test_any_text_is_a_number_that_json_has_or_none(text: str) -> None:
    number = parse_number(text)
    assert number is None or json.loads(json.dumps(number)) == number


DATES: dict[tuple[str, str], str | None] = {
    ("2026-01-12", ""): "2026-01-12",
    ("2026-01-12T14:30:00Z", ""): "2026-01-12T14:30:00+00:00",
    ("2026-01-12 14:30", ""): "2026-01-12T14:30:00",
    ("2026-01", ""): "2026-01",
    ("20260112", ""): "2026-01-12",
    ("2026-02-31", ""): None,
    ("2026", "en"): "2026",
    ("January 2026", "en"): "2026-01",
    ("12 January 2026", "en"): "2026-01-12",
    ("  12\n January\u00a02026 ", "en"): "2026-01-12",
    ("Jan 12, 2026 2:30 PM", "en"): "2026-01-12T14:30:00",
    ("Mon, 12 Jan 2026 14:30:00 +0100", ""): "2026-01-12T14:30:00+01:00",
    ("01/02/2026", "en"): "2026-01-02",
    ("01/02/2026", "en-US"): "2026-01-02",
    ("01/02/2026", "en-GB"): "2026-02-01",
    ("01/02/2026", "en_gb"): "2026-02-01",
    ("01.02.2026", "de"): "2026-02-01",
    ("13.02.2026", "pl"): "2026-02-13",
    ("12. Januar 2026", "de-AT"): "2026-01-12",
    ("12 stycznia 2026", "pl"): "2026-01-12",
    ("12 stycznia 2026", "en"): "2026-01-12",
    ("12 stycznia 2026", "xx"): "2026-01-12",
    ("12 janvier 2026", "fr"): "2026-01-12",
    ("2026年1月12日", "ja"): "2026-01-12",
    ("12/01/2026 14h30", "pt-BR"): "2026-01-12T14:30:00",
    ("1º de fevereiro de 2026", "pt-BR"): "2026-02-01",
    ("12 มกราคม 2569", "th"): "2026-01-12",
    ("20260112T143000Z", ""): "2026-01-12T14:30:00+00:00",
    ("20261312T143000Z", ""): None,
    ("1768226400", ""): "2026-01-12T14:00:00+00:00",
    ("1768226400000", ""): "2026-01-12T14:00:00+00:00",
    ("Posted on January 12, 2026", "en"): "2026-01-12",
    ("Updated Jan 12, 2026 - 2:30pm", "en"): "2026-01-12T14:30:00",
    ("Created 2026-01-12T14:30:00Z", "en"): "2026-01-12T14:30:00+00:00",
    ("Zuletzt geändert: 12.01.2026 14:30", "de"): "2026-01-12T14:30:00",
    ("Publié le 12/01/2026", "fr"): "2026-01-12",
    ("Опубликовано: 12 января 2026", "ru"): "2026-01-12",
    ("投稿日: 2026年1月12日", "ja"): "2026-01-12",
    ("投稿日：2026年1月12日", "ja"): "2026-01-12",
    ("Foo 12, 2026", "en"): None,
    ("Model X 2026", "en"): None,
    ("Sales 2026", "en"): None,
    ("Page 3 of 10", "en"): None,
    ("Reading time 5 min", "en"): None,
    ("Q1 2026", "en"): None,
    ("$12.99", "en"): None,
    ("12", "en"): None,
    ("9.99", "en"): None,
    ("sold out", "en"): None,
    ("", ""): None,
    ("x" * 500, ""): None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "language"), DATES)
def test_dates(text: str, language: str) -> None:
    assert parse_date(text, language) == DATES[text, language]


def test_dates_that_are_told_from_now() -> None:
    today = parse_date("today", "en") or ""
    assert (parse_date("yesterday", "en") or "") < today < (parse_date("tomorrow", "en") or "")
    assert "T" in (parse_date("3 hours ago", "en") or "")
    for text, language in (("Posted 3 days ago", "en"), ("Publié il y a 3 jours", "fr")):
        assert (parse_date(text, language) or today) < today


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("Yes", " true ", "1", "✓", "ja", "Tak!")),
        *((text, False) for text in ("no", "FALSE", "0", "nein", "✗")),
        *((text, None) for text in ("perhaps", "")),
    ],
)
def test_truths(text: str, expected: bool | None) -> None:
    assert parse_boolean(text) is expected


PAGE = """<html lang="en-GB"><div class="b"><a href="/1">Lamp <b>big</b></a><i>1,200.50</i>
<time datetime="2026-01-12">now</time>
<data value="7">seven</data><u>yes</u><s>a</s><s>b</s></div><div class="b"><a>Table</a><i>?</i><s>c</s></div>
<p class="shop">Shop</p><p class="shop">Two</p></html>"""


def records_of(*fields: dict[str, Any], html: str = PAGE, **rule: Any) -> list[dict[str, Any]]:
    sent = {"request": {"url": "http://x/"}, "fields": list(fields), "commonParent": ".b", **rule}
    return read_page(html, "http://x/", PagesPayload.parse(sent).rule, fetched_at="2026-01-12T00:00:00+00:00").records


def of_type(type: str, selector: str, **terms: Any) -> list[Any]:
    fields = {"name": "v", "selector": selector, "type": type, **terms}
    return [record["v"] for record in records_of({"name": "a", "selector": "a"}, fields)]


@pytest.mark.parametrize(
    ("type", "selector", "expected"),
    [
        ("number", "i", [1200.5, None]),
        ("integer", "data", [7, None]),
        ("date", "time", ["2026-01-12", None]),
        ("boolean", "u", [True, None]),
        ("url", "a", ["http://x/1", "http://x/Table"]),
        ("html", "a", ["Lamp <b>big</b>", "Table"]),
        ("markdown", "a", ["[Lamp **big**](http://x/1)", "Table"]),
        ("TEXT", "s", [["a", "b"], "c"]),
    ],
)
def test_types_of_fields(type: str, selector: str, expected: list[Any]) -> None:
    assert of_type(type, selector) == expected


def test_types_come_after_filters_and_attributes() -> None:
    number = {"name": "n", "selector": "i", "type": "number", "filters": [{"name": "regex", "param": "[0-9]+$"}]}
    assert [record["n"] for record in records_of({"name": "a", "selector": "a"}, number)] == [50, None]
    value = {"name": "n", "selector": "data", "attrs": ["value"], "type": "number"}
    assert records_of(value)[0] == {"n_value": 7}


def test_options_of_fields() -> None:
    title = {"name": "a", "selector": "a"}
    assert of_type("text", "s", first=True) == ["a", "c"]
    assert of_type("text", "s", join=" + ") == ["a + b", "c"]
    assert of_type("text", "u", default="no") == ["yes", "no"]
    assert of_type("number", "i", default=0) == [1200.5, 0]
    assert of_type("number", "i", required=True) == [1200.5]
    assert of_type("text", "u", required=True, default="no") == ["yes", "no"]
    assert of_type("text", ".shop", scope="page") == [["Shop", "Two"]] * 2
    assert of_type("text", ".shop", scope="page", first=True) == ["Shop"] * 2
    assert records_of({"name": "v", "selector": ".shop", "scope": "page", "join": ", "}, commonParent="") == [
        {"v": "Shop, Two"}
    ]
    empty = '<div class="b"></div>'
    assert records_of(title, {"name": "d", "selector": "u", "default": 1}, html=empty) == []
    assert records_of(title, {"name": "p", "selector": "p", "scope": "page"}, html=f"{empty}<p>x") == []


def test_records_have_their_address_and_time() -> None:
    meta = {"_url": "http://x/", "_fetched_at": "2026-01-12T00:00:00+00:00"}
    assert records_of({"name": "a", "selector": "u"}, meta=True) == [{"a": "yes", **meta}]
    payload = {"request": {"url": "http://x/"}, "meta": True, "path": True, "fields": [{"name": "a", "selector": "a"}]}
    payload["fields"][0]["details"] = {"fields": [{"name": "b", "selector": "b"}]}  # type: ignore[index]
    rule = PagesPayload.parse(payload).rule
    assert [name for _, name in rule.columns()] == ["b", "_url", "_fetched_at"]


@pytest.mark.parametrize(
    ("place", "terms"),
    [
        ("/fields/0/type", {"type": "price"}),
        ("/fields/0/default", {"default": ["a"]}),
        ("/fields/0/default", {"default": 10**30}),
        ("/fields/0/required", {"required": "yes"}),
        ("/fields/0/first", {"first": 1}),
        ("/fields/0/join", {"join": 5}),
        ("/fields/0/scope", {"scope": "site"}),
    ],
)
def test_faults_of_options_have_their_places(place: str, terms: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        records_of({"name": "a", "selector": "a", **terms})
    assert [error["pointer"] for error in caught.value.errors] == [place]


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("/fields/0/name", {"meta": True, "fields": [{"name": "_url", "selector": "a"}]}),
        ("/csv/separator", {"csv": {"separator": "#"}}),
        ("/csv/separator", {"csv": {"separator": 1}}),
        ("/csv/bom", {"csv": {"bom": "yes"}}),
        ("/csv/quote", {"csv": {"quote": "'"}}),
        ("/meta", {"meta": 1}),
    ],
)
def test_faults_of_terms_have_their_places(place: str, rule: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        PagesPayload.parse({"request": {"url": "http://x/"}, "fields": [{"name": "a", "selector": "a"}], **rule})
    assert [error["pointer"] for error in caught.value.errors] == [place]


TYPED = {
    "request": {"url": "http://x/"},
    "commonParent": ".b",
    "fields": [
        {"name": "text", "selector": "a"},
        {"name": "number", "selector": "i", "type": "number"},
        {"name": "whole", "selector": "data", "type": "integer"},
        {"name": "day", "selector": "time", "type": "date"},
        {"name": "new", "selector": "u", "type": "boolean"},
        {
            "name": "link",
            "selector": "a",
            "details": {"fields": [{"name": "pages", "selector": "b", "type": "integer"}]},
        },
    ],
}
TYPED_RECORDS: list[dict[str, Any]] = [
    {
        "text": "=1",
        "number": 1.5,
        "whole": 7,
        "day": "2026-01-12",
        "new": True,
        "link": "x",
        "link_details": [{"pages": 9}],
    },
    {"text": "b", "number": None, "whole": 10**17, "day": "2026", "new": False, "link": None, "link_details": []},
]


def file_of(format: str, **options: Any) -> bytes:
    rule = PagesPayload.parse(TYPED).rule
    records = json.loads(json.dumps(TYPED_RECORDS))
    return b"".join(write_records(iter(records), rule, format, max_records=2, **options))


def test_spreadsheets_keep_types() -> None:
    sheet = zipfile.ZipFile(io.BytesIO(file_of("xlsx"))).read("xl/worksheets/sheet1.xml").decode()
    assert "<v>1.5</v>" in sheet
    assert 't="b"><v>1</v>' in sheet
    assert "<v>46034" in sheet  # days since 1900
    assert "<v>9" in sheet
    assert ">100000000000000000<" in sheet  # a text: a spreadsheet's numbers have fifteen digits
    rows = list(typed_rows_of(TYPED_RECORDS, PagesPayload.parse(TYPED).rule, TableLosses()))
    assert (rows[1]["number"], rows[1]["day"], rows[1]["new"]) == ("", "2026", False)


def test_columns_of_dates_are_known_at_each_level() -> None:
    inner = {"fields": [{"name": "d", "selector": "a", "type": "date"}]}
    fields = [{"name": "a", "selector": "a", "details": inner}, {"name": "e", "selector": "b", "type": "date"}]
    for path, names in ((False, {"a_details_d", "e"}), (True, {"d"})):
        rule = PagesPayload.parse({"request": {"url": "http://x/"}, "fields": fields, "path": path}).rule
        assert date_columns(rule) == names


def test_other_formats_write_values_out() -> None:
    assert json.loads(file_of("json")) == TYPED_RECORDS
    [_, first, second] = csv.reader(io.StringIO(file_of("csv").decode(), newline=""))
    assert first == ["'=1", "1.5", "7", "2026-01-12", "true", "x", "9"]
    assert second == ["b", "", "100000000000000000", "2026", "false", "", ""]
    assert b"<number>1.5</number>" in file_of("xml")
    assert b"<new>true</new>" in file_of("xml")


@pytest.mark.parametrize(
    ("sent", "start"),
    [
        ({}, b'"text","number"'),
        ({"separator": ";"}, b'"text";"number"'),
        ({"separator": "semicolon", "bom": True}, b'\xef\xbb\xbf"text";"number"'),
        ({"separator": "\t"}, b'"text"\t"number"'),
        ({"separator": "Tab"}, b'"text"\t"number"'),
        ({"separator": "|"}, b'"text"|"number"'),
    ],
)
def test_csv_as_others_read_it(sent: dict[str, Any], start: bytes) -> None:
    payload = PagesPayload.parse({**TYPED, "csv": sent})
    assert file_of("csv", csv=payload.csv).startswith(start)
