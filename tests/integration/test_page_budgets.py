"""Pages, selectors and filters that are made for each other to be slow: each ends within its page's budget."""

import asyncio
import os
import signal
from contextlib import closing
from typing import Any

import orjson
import pytest

from extraction import reader_process
from extraction.domain.page_reader import read_page
from extraction.domain.pages_payload import PagesPayload
from extraction.domain.process_status import PageFailure
from extraction.forked_reader import MEBIBYTE, READ_BYTES, ReadPage
from extraction.reader_process import ReaderProcess

NESTED = "<div>" * 100 + "<p>x</p>" + "</div>" * 100
FLAT = "<ul>" + "<li>x</li>" * 200_000 + "</ul>"
LETTERS = f"<p>{'ab' * 900_000}</p>"
# Each start of a paragraph opens all elements anew that were not closed before it.
REOPENED = "".join(f"<b id={n}><p>" for n in range(20_000))
JSON = "[" * 60 + ("[1]," * 400)[:-1] + "]" * 60
SLOW = {
    "descendants": (NESTED, {"selector": "b div div div div div div div div p"}),
    "descendants in :not": (NESTED, {"selector": "p:not(b div div div div div div div div p)"}),
    "descendants in :is": (NESTED, {"selector": ":is(b div div div div div div div div div) p"}),
    "nth-child of a sort": (FLAT, {"selector": "li:nth-child(2n+1 of li)"}),
    "siblings": (FLAT, {"selector": "b ~ li ~ li"}),
    "has": (FLAT, {"selector": "li:has(~ b)"}),
    "has in has": ("<i>" * 900 + "</i>" * 900, {"selector": "i:has(i:has(i:has(b)))"}),
    "a pattern": (LETTERS, {"selector": "p", "filters": [{"name": "regex", "param": "[ab]*a[ab]{900}c"}]}),
    "filters": (LETTERS * 2, {"selector": "p", "filters": ["capitalize"] * 20}),
    "elements that never end": ("<div>" * 500_000, {"selector": "p"}),
    "end tags of nothing": ("<div></x>" * 300_000, {"selector": "p"}),
    "elements that are opened anew": (REOPENED, {"selector": "p"}),
    "XPath": (FLAT[:200_000], {"selector": "//li[count(//li[count(//li) > 1]) > 1]"}),
    "XPath of ancestors": (NESTED * 20, {"selector": "//div[.//div[.//div[.//div[.//div[.//div[.//i]]]]]]"}),
    "contains": (NESTED * 100, {"selector": "div div div div div div:contains('y')"}),
    "JSONPath": (JSON, {"selector": "$..*..*..*..*"}),
    "the text of each": ("<i>" * 20_000 + "x" * 1_000_000, {"selector": "i"}),
    "the HTML of each": ("<i>" * 5_000 + "x" * 100_000, {"selector": "i", "attrs": ["html"]}),
}


def read_field(texts: list[str], field: dict[str, Any]) -> ReadPage:
    payload = PagesPayload.parse({"request": {"url": "http://a.example/"}, "fields": [{"name": "a", **field}]})
    records = read_page(texts[0], "http://a.example/", payload.rule).records
    return ReadPage(orjson.dumps(records), len(records))


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is slow without an end is so after less time, too."""
    monkeypatch.setattr(reader_process, "SECONDS_LEAST", 0.2)
    monkeypatch.setattr(reader_process, "SECONDS_A_MEBIBYTE", 0.05)
    monkeypatch.setattr(reader_process, "MEMORY_A_BYTE", 64)
    monkeypatch.setattr(reader_process, "slowness", lambda: 1.0)


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("name", SLOW)
def test_a_slow_page_fails_and_the_next_one_is_read(name: str) -> None:
    page, field = SLOW[name]

    async def read_both() -> ReadPage:
        with closing(ReaderProcess(read_field)) as pages:
            with pytest.raises(PageFailure) as failed:
                await pages.read([page], field)
            assert "too long" in failed.value.reason or "much memory" in failed.value.reason
            assert not failed.value.retry
            return await pages.read(["<p>next</p>"], {"selector": "p"})

    assert asyncio.run(read_both()).records == b'[{"a":"next"}]'


ROW = "<tr>" + "".join(f"<td class='c{n}'>some words {n}</td>" for n in range(8)) + "</tr>"
COLUMNS = [{"name": f"c{n}", "selector": f"td:nth-child({n + 1})"} for n in range(8)]
RULES: dict[str, dict[str, Any]] = {
    "a cell a record": {"fields": [{"name": "a", "selector": "td"}]},
    "columns": {"fields": COLUMNS, "commonParent": "tr"},
    "columns without a parent": {"fields": COLUMNS},
    "columns by class": {"fields": [{"name": f"c{n}", "selector": f".c{n}"} for n in range(8)]},
    "rows": {"fields": [{"name": "a", "selector": "tr"}]},
    "rows behind the first": {"fields": COLUMNS, "commonParent": "tr:not(:first-child)"},
    "rows from the second on": {"fields": COLUMNS, "commonParent": "tr:nth-child(n+2)"},
    "every other row": {"fields": [{"name": "a", "selector": "tr:nth-of-type(odd) td:nth-last-child(2)"}]},
    "all in lines": {"fields": [{"name": "a", "selector": "table", "filters": ["lines"]}]},
    "filters": {
        "fields": [
            {**column, "filters": ["trim", "uppercase", {"name": "regex", "param": "[0-9]+"}]} for column in COLUMNS
        ]
    },
}


def read_rule(texts: list[str], rule: dict[str, Any]) -> ReadPage:
    payload = PagesPayload.parse({"request": {"url": "http://a.example/"}, **rule})
    records = read_page(texts[0], "http://a.example/", payload.rule).records
    return ReadPage(orjson.dumps(records), len(records))


def read_table(rows: int, rule: dict[str, Any]) -> ReadPage:
    async def read() -> ReadPage:
        with closing(ReaderProcess(read_rule)) as pages:
            return await pages.read([f"<table>{ROW * rows}</table>"], rule)

    return asyncio.run(read())


LARGE = {"columns": 37_000, "rows from the second on": 36_999}  # records of nearly the documented 10 MiB


@pytest.mark.parametrize("name", sorted(RULES.keys() - LARGE))
def test_an_honest_table_is_read_whatever_is_taken_from_it(name: str) -> None:
    assert read_table(4_000, RULES[name]).count in {1, 2_000, 3_999, 4_000, 32_000}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_honest_table_is_read(name: str) -> None:
    assert read_table(37_000, RULES[name]).count == LARGE[name]


def test_a_slow_machine_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_process, "SECONDS_LEAST", 0.001)
    monkeypatch.setattr(reader_process, "SECONDS_A_MEBIBYTE", 0.001)
    monkeypatch.setattr(reader_process, "slowness", lambda: 1.0)
    with pytest.raises(PageFailure, match="too long"):
        read_table(4_000, RULES["columns"])
    monkeypatch.setattr(reader_process, "slowness", lambda: 20_000.0)
    assert read_table(4_000, RULES["columns"]).count == 4_000


@pytest.mark.parametrize(("sample", "times"), [(0.0001, 1.0), (0.0015, 1.0), (0.006, 4.0), (9.0, 20.0)])
def test_slowness_is_measured_and_has_a_limit(monkeypatch: pytest.MonkeyPatch, sample: float, times: float) -> None:
    taken = iter([9.0, sample, 9.0, sample, 9.0])
    monkeypatch.setattr(reader_process, "_sample_seconds", lambda: next(taken))
    assert reader_process.slowness.__wrapped__() == pytest.approx(times)


def test_a_reader_that_crashes_fails_its_page_alone() -> None:
    def read(texts: list[str]) -> ReadPage:
        if texts == ["crash"]:
            os.kill(os.getpid(), signal.SIGSEGV)
        return ReadPage(texts[0].encode())

    async def read_both() -> None:
        with closing(ReaderProcess(read)) as pages:
            with pytest.raises(PageFailure, match="SIGSEGV"):
                await pages.read(["crash"])
            assert (await pages.read(["well"])).records == b"well"

    asyncio.run(read_both())


def test_a_reader_that_crashes_fails_its_page_alone_where_ended_children_are_not_waited_for() -> None:
    """Some supervisors start programs with SIGCHLD ignored."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:

        def read(texts: list[str]) -> ReadPage:
            if texts == ["crash"]:
                os.kill(os.getpid(), signal.SIGSEGV)
            return ReadPage(texts[0].encode())

        async def read_both() -> list[ReadPage | BaseException]:
            with closing(ReaderProcess(read)) as pages:
                return list(await asyncio.gather(*map(pages.read, (["crash"], ["well"])), return_exceptions=True))

        crashed, well = asyncio.run(read_both())
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert isinstance(crashed, PageFailure)
    assert isinstance(well, ReadPage)
    assert well.records == b"well"


def test_what_earlier_pages_left_in_memory_fails_one_page_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_process, "MEMORY_LEAST", 64 * MEBIBYTE)
    kept: list[bytearray] = []

    def read(texts: list[str]) -> ReadPage:
        kept.append(bytearray(12 * MEBIBYTE))
        return ReadPage(b"read")

    async def read_all() -> str:
        with closing(ReaderProcess(read)) as pages:
            found = await asyncio.gather(*(pages.read([str(number)]) for number in range(20)), return_exceptions=True)
        return "".join("." if isinstance(page, ReadPage) else "F" for page in found)

    read_or_failed = asyncio.run(read_all())
    assert "F" in read_or_failed
    assert "FF" not in read_or_failed


@pytest.mark.parametrize("size", [0, 1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 20 * MEBIBYTE])
def test_records_of_each_length_come_whole(size: int) -> None:
    def read(texts: list[str]) -> ReadPage:
        return ReadPage(bytes(range(256)) * (size // 256) + b"x" * (size % 256), count=size)

    async def read_two() -> list[ReadPage]:
        with closing(ReaderProcess(read)) as pages:
            return list(await asyncio.gather(pages.read(["1"]), pages.read(["2"])))

    for page in asyncio.run(read_two()):
        assert page.count == len(page.records) == size
        assert page.records == bytes(range(256)) * (size // 256) + b"x" * (size % 256)


def test_a_reader_that_does_nothing_fails_its_page_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_process, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(reader_process, "PATIENCE_A_SECOND", 0.0)

    def read(texts: list[str]) -> ReadPage:
        if texts == ["idle"]:
            signal.pause()
        return ReadPage(texts[0].encode())

    async def read_both() -> list[ReadPage | BaseException]:
        with closing(ReaderProcess(read)) as pages:
            idle = asyncio.create_task(pages.read(["idle"]))
            await asyncio.wait([idle])
            monkeypatch.setattr(reader_process, "PATIENCE_SECONDS", 60.0)
            return list(await asyncio.gather(idle, pages.read(["well"]), return_exceptions=True))

    idle, well = asyncio.run(read_both())
    assert "too long" in str(idle)
    assert isinstance(well, ReadPage)
    assert well.records == b"well"


@pytest.mark.parametrize(("error", "expected"), [(BlockingIOError(), PageFailure), (ImportError(), ImportError)])
def test_a_reader_that_cannot_be_started_fails_one_page_alone(error: Exception, expected: type[Exception]) -> None:
    begun: list[int] = []

    def prepare() -> None:
        begun.append(1)
        if len(begun) == 1:
            raise error

    async def read_three() -> list[ReadPage | BaseException]:
        with closing(ReaderProcess(lambda texts: ReadPage(texts[0].encode()), prepare)) as pages:
            return await asyncio.gather(*(pages.read([str(number)]) for number in range(3)), return_exceptions=True)

    first, *others = asyncio.run(read_three())
    assert isinstance(first, expected)
    assert [page.records for page in others if isinstance(page, ReadPage)] == [b"1", b"2"]


@pytest.mark.parametrize("crashing", [(), (0,), (2,), (0, 1, 4), (4,), (0, 1, 2, 3, 4)])
def test_of_pages_at_once_each_gets_its_own_answer_whichever_crash(crashing: tuple[int, ...]) -> None:
    def read(texts: list[str]) -> ReadPage:
        if int(texts[0][:1]) in crashing:
            os.kill(os.getpid(), signal.SIGSEGV)
        return ReadPage(texts[0].encode())

    async def read_all() -> list[ReadPage | BaseException]:
        texts = [str(number) + "x" * 100_000 for number in range(5)]
        with closing(ReaderProcess(read)) as pages:
            found = await asyncio.gather(*(pages.read([text]) for text in texts), return_exceptions=True)
            assert (await pages.read(["9"])).records == b"9"
        return found

    for number, page in enumerate(asyncio.run(read_all())):
        if number in crashing:
            assert "SIGSEGV" in str(page)
        else:
            assert isinstance(page, ReadPage)
            assert page.records[:1] == str(number).encode()


@pytest.mark.parametrize("given_up", range(4))
def test_a_page_that_is_given_up_fails_no_other(given_up: int) -> None:
    async def read_others() -> list[bytes]:
        with closing(ReaderProcess(lambda texts: ReadPage(texts[0].encode()))) as pages:
            await pages.read(["begins"])
            tasks = [asyncio.create_task(pages.read([str(number)])) for number in range(4)]
            await asyncio.sleep(0)
            tasks.pop(given_up).cancel()
            return [(await task).records for task in tasks]

    assert asyncio.run(read_others()) == [b"%d" % number for number in range(4) if number != given_up]


def test_nobody_gets_the_answer_to_a_page_that_was_given_up() -> None:
    async def read_all() -> list[ReadPage]:
        with closing(ReaderProcess(lambda texts: ReadPage(texts[0].encode()))) as pages:
            await pages.read(["first"])
            given_up = asyncio.create_task(pages.read(["x" * 1_000_000]))
            await asyncio.sleep(0)
            given_up.cancel()
            return await asyncio.gather(*(pages.read([str(number)]) for number in range(3)))

    assert [page.records for page in asyncio.run(read_all())] == [b"0", b"1", b"2"]
