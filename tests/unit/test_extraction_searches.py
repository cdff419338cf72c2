"""Searches as payloads, engines as data, and saved pages of each engine."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from extraction.domain.page_reader import PageReading
from extraction.domain.page_sources import PageContent
from extraction.domain.process_status import PageFailure
from extraction.domain.search_engines import SearchEngine, parse_engine
from extraction.domain.search_payload import SearchPayload
from extraction.engines import BUNDLED, engines
from taskhub.errors import Rejected
from tests.hub import ROOT

SAVED = ROOT / "tests" / "data" / "engines"
NAMED = {
    *("google", "google_news", "google_image", "bing", "bing_news", "baidu", "duckduckgo", "duckduckgo_news"),
    *("youtube", "infospace", "webcrawler"),
}
FILE: dict[str, Any] = json.loads((BUNDLED / "google.json").read_text())


CASES = [(path.parent.name, path.stem) for path in sorted(SAVED.glob("*/*.html"))]


def test_every_engine_that_is_named_is_there_with_its_saved_pages() -> None:
    assert set(engines()) == NAMED
    assert set(CASES) == {(name, case) for name in NAMED for case in ("results", "captcha", "empty", "unfit")}


def search_of(engine: str, keyword: str, pages: int) -> SearchPayload:
    return SearchPayload.parse({"search_engine": engine, "keywords": [keyword], "num_pages": pages}, engines=engines())


def read(search: SearchPayload, html: str, page: int, url: str = "") -> PageReading:
    """Reads one page of the first keyword, from 0."""
    url = url or search.address(0, page)
    return search.read(PageContent((html,), url), rule=search.rule, chain=search.lists()[0], ordinal=page)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_saved_pages(name: str, case: str) -> None:
    search = search_of(name, "a keyword", 3)
    html = (SAVED / name / f"{case}.html").read_text()
    if case in {"captcha", "unfit"}:
        with pytest.raises(PageFailure) as caught:
            read(search, html, 0)
        assert ("captcha" in caught.value.reason) == (case == "captcha")
        assert name in caught.value.reason
        return
    reading = read(search, html, 1)
    expected = json.loads((SAVED / name / f"{case}.json").read_text())
    shown = [{key: value for key, value in record.items() if value is not None} for record in reading.records]
    assert shown == [{"keyword": "a keyword", "page": 2, **one} for one in expected]
    goes_on = bool(expected) and not search.engine.scrolls
    assert reading.next == ([search.address(0, 2)] if goes_on else [])
    assert read(search, html, 2).next == []  # the last that was asked for


def test_a_redirect_to_a_captcha_is_known_by_its_address() -> None:
    search = search_of("google", "a", 1)
    with pytest.raises(PageFailure, match="captcha"):
        read(search, "<html></html>", 0, "https://www.google.com/sorry/index?continue=x")


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_addresses() -> None:
    search = SearchPayload.parse(
        {
            "search_engine": "Google",
            "keywords": "red shoes\n\nblå & hvid\nred shoes",
            "num_pages": 2,
            "region": "DK",
            "google_settings": {"domain": "www.google.dk", "hl": "da", "tbs": "qdr:w"},
        },
        engines=engines(),
    )
    assert search.keywords == ("red shoes", "blå & hvid")
    assert search.address(0, 0) == search.first_request.url
    assert search.address(1, 1).startswith("https://www.google.dk/search?")
    assert query(search.address(1, 1)) == {
        "q": "blå & hvid",
        "start": "10",
        "hl": "da",
        "gl": "dk",
        "tbs": "qdr:w",
    }
    assert search.needs_chrome
    bing = SearchPayload.parse({"search_engine": "bing", "keywords": ["tea"]}, engines=engines())
    assert not bing.needs_chrome
    assert query(bing.address(0, 2)) == {"q": "tea", "first": "21"}


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("/search_engine", "altavista", "one of baidu, bing"),
        ("/search_engine", 1, "one of"),
        ("/keywords", [], "At least one"),
        ("/keywords", "\n  \n", "At least one"),
        ("/keywords/0", [7], "text of at most"),
        ("/keywords/0", ["x" * 501], "text of at most"),
        ("/num_pages", 0, "at least 1"),
        ("/num_pages", 101, "at most 100"),
        ("/region", "denmark", "regions"),
        ("/google_settings/hl", {"hl": "danish!"}, "Must match"),
        ("/google_settings/domain", {"domain": "evil.example"}, "Must match"),
        ("/google_settings/nonsense", {"nonsense": "1"}, "no such name"),
        ("/google_settings", "hl=da", "object"),
        ("/fields", [], "no such name"),
        ("/type", "lynx", "base or chrome"),
        ("/format", "PDF", "CSV"),
        ("/proxy", "socks4://x", "http or https"),
        ("/proxy", "http://10.0.0.1\\@example.com/", "http or https"),
    ],
)
def test_a_fault_has_its_place(place: str, value: Any, words: str) -> None:
    sent: dict[str, Any] = {"search_engine": "google", "keywords": ["a"]}
    sent[place.split("/")[1]] = value
    with pytest.raises(Rejected) as caught:
        SearchPayload.parse(sent, engines=engines())
    faults = {fault["pointer"]: fault["detail"] for fault in caught.value.errors}
    assert words in faults[place]


def test_google_settings_in_the_words_of_the_extraction_cloud() -> None:
    settings = {"google_domain": "google.com", "gl": "sk", "hl": "en", "start": 20, "num": 50}
    sent = {"search_engine": "google", "keywords": ["kit"], "num_pages": 2, "region": "us", "google_settings": settings}
    search = SearchPayload.parse(sent, engines=engines())
    assert search.address(0, 1).startswith("https://www.google.com/search?")
    assert query(search.address(0, 1)) == {"q": "kit", "start": "70", "hl": "en", "gl": "sk", "num": "50"}
    for name, value in {"google_domain": "evil.example", "num": 101, "start": True, "gl": "USA"}.items():
        with pytest.raises(Rejected) as caught:
            SearchPayload.parse({**sent, "google_settings": {name: value}}, engines=engines())
        assert [fault["pointer"] for fault in caught.value.errors] == [f"/google_settings/{name}"]


def test_google_settings_are_googles() -> None:
    with pytest.raises(Rejected, match="Goes with google"):
        SearchPayload.parse(
            {"search_engine": "bing", "keywords": ["a"], "google_settings": {"hl": "da"}}, engines=engines()
        )
    with pytest.raises(Rejected, match="needs chrome"):
        SearchPayload.parse({"search_engine": "youtube", "keywords": ["a"], "type": "base"}, engines=engines())


def changed(place: str, value: Any) -> Any:
    whole = json.loads(json.dumps(FILE))
    *path, last = place.strip("/").split("/")
    inner = whole
    for step in path:
        inner = inner[step]
    inner[last] = value
    return whole


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("/nonsense", 1, "no such name"),
        ("/type", "lynx", "base or chrome"),
        ("/url", "ftp://x/", "http or https"),
        ("/url", "https://x/?q=1", "without a query"),
        ("/query/q", "{keywrd}", "neither given"),
        ("/query", {"q": "fixed"}, "{keyword}"),
        ("/settings/hl", "(", "no pattern"),
        ("/paging/step", 0, "at least 1"),
        ("/paging/scrol", True, "no such name"),
        ("/parts", {}, "required"),
        ("/parts/other", {"block": "a", "fields": {"title": {"selector": "b"}}}, "no such name"),
        ("/parts/organic/block", "div[", "no CSS selector"),
        ("/parts/organic/fields", {}, "an entry for each"),
        ("/parts/organic/fields/title", {"selector": "a["}, "no CSS selector"),
        ("/parts/organic/fields/Title", {"selector": "a"}, "small letters"),
        ("/blocked/selectors", ["a["], "no CSS selector"),
        ("/empty/texts", [1], "texts"),
    ],
)
def test_an_engines_file_is_checked(place: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=place) as caught:
        parse_engine("google", changed(place, value))
    assert words in str(caught.value)


def test_an_engine_is_a_value() -> None:
    assert isinstance(parse_engine("google", FILE), SearchEngine)
    assert Path(BUNDLED, "google.json").exists()
