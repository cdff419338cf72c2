"""Results in each format: read again by others' readers, the same bytes each time, and no more memory for more."""

import csv
import gzip
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from extraction.domain import tables
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.result_formats import MEDIA_TYPES
from extraction.domain.tables import TableLosses
from extraction.writers import spreadsheet, write_records

RULE = PagesPayload.parse(
    {
        "request": {"url": "http://x/"},
        "fields": [
            {"name": "name", "selector": "a"},
            {"name": "=1", "selector": "b"},
            {"name": "more", "selector": "c", "details": {"fields": [{"name": "isbn", "selector": "i"}]}},
        ],
    }
).rule
RECORDS: list[dict[str, Any]] = [
    {"name": 'a, "b"\nc', "=1": "=1+1", "more": None, "more_details": [{"isbn": "1"}, {"isbn": "2"}]},
    {"name": ["x", "ż<&>"], "=1": None, "more": "\x01m", "more_details": []},
]


def file_of(format: str, records: Any = RECORDS, **options: Any) -> bytes:
    return b"".join(write_records(iter(records), RULE, format, max_records=len(RECORDS), **options))


def test_json() -> None:
    assert json.loads(file_of("json")) == RECORDS
    assert json.loads(file_of("json", [])) == []


def test_json_lines() -> None:
    assert [json.loads(line) for line in file_of("jsonl").splitlines()] == RECORDS


def test_csv() -> None:
    rows = list(csv.reader(io.StringIO(file_of("csv").decode(), newline="")))
    assert rows == [
        ["name", "'=1", "more", "more_details_isbn"],
        ['a, "b"\nc', "'=1+1", "", "1; 2"],
        ["x; ż<&>", "", "\ufffdm", ""],
    ]
    assert file_of("csv", []).decode().strip() == '"name","\'=1","more","more_details_isbn"'


def test_lists_pair_in_cells_too() -> None:
    records = [{"name": ["a", None, "c"], "=1": [None, None], "more_details": [{"isbn": None}, {"isbn": "2"}]}]
    rows = list(csv.reader(io.StringIO(file_of("csv", records).decode(), newline="")))
    assert rows[1] == ["a; ; c", "", "", "; 2"]
    assert [one.text for one in ElementTree.fromstring(file_of("xml", records)).iter("name")] == ["a", None, "c"]


FORMULAS = ["a;=1+1;b", "a,@SUM(1)", 'a|"=1+1"', "a\t+1+cmd", 'x";-1+cmd;"', ";=1", "=1;=1", "a;'=1"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_has_no_formula_whatever_its_reader_takes_for_a_separator(separator: str) -> None:
    text = file_of("csv", [{"name": value} for value in FORMULAS]).decode()
    quoted = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) for cell in row]
    plain = [cell.strip('"') for line in text.splitlines() for cell in line.split(separator)]  # knows no quotes
    assert not [cell for cell in (*quoted, *plain) if cell.startswith(("=", "+", "-", "@"))]


def test_xml() -> None:
    records = ElementTree.fromstring(file_of("xml"))
    assert [one.tag for one in records] == ["record", "record"]
    first, second = records
    assert first.findtext("name") == 'a, "b"\nc'
    assert [one.findtext("isbn") for one in first.iter("record")][1:] == ["1", "2"]
    assert [one.text for one in second.findall("name")] == ["x", "ż<&>"]
    assert [one.attrib for one in first.findall("field")][:1] == [{"name": "=1"}]


def cells(data: bytes, sheet: int = 1) -> list[list[str]]:
    """The texts of a sheet; a reader of its own, for the format is a zip of XML."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        root = ElementTree.fromstring(archive.read(f"xl/worksheets/sheet{sheet}.xml"))
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert not list(root.iter(f"{space}f"))  # no formula
    return [["".join(cell.itertext()) for cell in row.iter(f"{space}c")] for row in root.iter(f"{space}row")]


def test_xlsx() -> None:
    assert cells(file_of("xlsx")) == [
        ["name", "=1", "more", "more_details_isbn"],
        ['a, "b"\nc', "=1+1", "1; 2"],
        ["x; ż<&>", "\ufffdm"],
    ]
    assert cells(file_of("xlsx", []))[0] == ["name", "=1", "more", "more_details_isbn"]


def test_xlsx_goes_on_in_another_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "ROWS_MAX", 1)
    data = file_of("xlsx")
    assert [row[0] for row in cells(data, 1)] == ["name", 'a, "b"\nc']
    assert [row[0] for row in cells(data, 2)] == ["name", "x; ż<&>"]


LONG = {
    "as long as it may be": ("x" * 32_767, None),
    "one longer": ("x" * 32_768, "x" * 32_757 + " ... [cut]"),
    "two for each in UTF-16": ("\U0001f600" * 16_383, None),
    "one more of these": ("\U0001f600" * 16_384, "\U0001f600" * 16_378 + " ... [cut]"),
}


@pytest.mark.parametrize("name", LONG)
def test_cells_that_are_too_long_are_cut_so_that_it_shows(name: str) -> None:
    text, cut = LONG[name]
    losses = TableLosses()
    [_, [cell]] = cells(file_of("xlsx", [{"name": text}], losses=losses))
    assert cell == (cut or text)
    assert len(cell.encode("utf-16-le")) <= 2 * 32_767
    assert [warning.code for warning in losses.warnings()] == ([] if cut is None else ["cells-cut"])


@pytest.mark.parametrize("format", ["csv", "xlsx", "xml"])
@pytest.mark.parametrize("character", ["\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_characters_that_a_format_cannot_hold_are_seen(format: str, character: str) -> None:
    losses = TableLosses()
    written = file_of(format, [{"name": f"a{character}b"}], losses=losses)
    found = cells(written)[1][0] if format == "xlsx" else written.decode()
    assert "a\ufffdb" in found
    assert [warning.code for warning in losses.warnings()] == ["characters-replaced"]
    assert "1 control" in next(losses.warnings()).detail


def test_several_sheets_and_rows_without_room_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "ROWS_MAX", 1)
    monkeypatch.setattr(tables, "ROWS_MAX", 1)
    losses = TableLosses()
    file_of("xlsx", [{"name": "a"}] * 4, losses=losses)  # of which there are said to be two
    assert [warning.code for warning in losses.warnings()] == ["several-sheets", "rows-left-out"]
    assert "2 records" in list(losses.warnings())[1].detail


@pytest.mark.parametrize("format", sorted(MEDIA_TYPES))
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_records_give_the_same_bytes(format: str, packed: bool) -> None:
    first = file_of(format, gzip=packed)
    assert file_of(format, gzip=packed) == first
    if packed:
        assert gzip.decompress(first) == file_of(format)


def many(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"name": f"name {number}", "=1": "x" * 50, "more": None, "more_details": []}


@pytest.mark.parametrize("format", sorted(MEDIA_TYPES))
def test_more_records_need_no_more_memory(format: str) -> None:
    tracemalloc.start()
    try:
        for _ in write_records(many(20_000), RULE, format, max_records=20_000):
            pass
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
