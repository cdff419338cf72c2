"""What somebody would want to know of a process that went on all the same: it says so."""

from typing import Any

import pytest

from extraction import page_processor, worker_loop
from extraction.models import Process
from extraction.services import process_warnings
from extraction.services.process_log import lines_of
from extraction.services.result_export import ResultExport
from tests.conftest import Person
from tests.extraction_runs import begun, carried, extracted
from tests.extraction_sites import Site, html

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

ITEM = '<div class="b"><a href="/1">one</a><i>1</i></div><div class="b"><a href="/2">two</a></div>'
T, U = {"name": "t", "selector": "a"}, {"name": "u", "selector": "i"}


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else pages without records are rendered, too."""
    monkeypatch.setattr(page_processor, "why_no_browser", lambda: "There is none.")


def warned(person: Person, process: Process) -> list[tuple[str, str]]:
    answer = person.get(f"/v1/process/{process.id}/warnings")
    assert answer.status_code == 200
    return [(one["code"], one["pointer"]) for one in answer.json()]


def log(process: Process) -> list[str]:
    return [line.decode().partition("Z ")[2].strip() for line in lines_of(process)]


MISSED: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({"fields": [T, U], "commonParent": ".b"}, []),
    "a selector": ({"fields": [T, {"name": "x", "selector": ".gone"}]}, [("nothing-found", "/fields/1/selector")]),
    "a value": (
        {"fields": [{**T, "attrs": ["text", "title"]}, U], "commonParent": ".b"},
        [("always-null", "/fields/0")],
    ),
    "a pattern": (
        {"fields": [T, {**U, "filters": [{"name": "regex", "param": "x"}]}]},
        [("always-null", "/fields/1")],
    ),
    "blocks": (
        {"fields": [T], "commonParent": ".gone"},
        [("nothing-found", "/commonParent"), ("no-records", "")],
    ),
    "everything": (
        {"fields": [{"name": "x", "selector": ".gone"}]},
        [("nothing-found", "/fields/0/selector"), ("no-records", "")],
    ),
    "a next page": ({"fields": [T], "paginator": "a.next"}, [("nothing-found", "/paginator")]),
    "links to details": (
        {"fields": [T, {**U, "details": {"fields": [T]}}], "commonParent": ".b"},
        [("always-null", "/fields/1")],
    ),
    "details": (
        {"fields": [{**T, "details": {"fields": [{"name": "h", "selector": "h1"}, U]}}]},
        [("nothing-found", "/fields/0/details/fields/1/selector")],
    ),
    "the end of a path": (
        {"fields": [{**T, "details": {"fields": [{"name": "h", "selector": "h6"}]}}], "path": True},
        [("nothing-found", "/fields/0/details/fields/0/selector"), ("no-records", "/fields/0/details")],
    ),
}


@pytest.mark.parametrize("name", MISSED)
def test_what_is_missed_is_told(owner: Person, site: Site, name: str) -> None:
    payload, expected = MISSED[name]
    site.pages["/"] = html(ITEM)
    site.other = lambda path, before: html("<h1>details</h1>")
    process = extracted(owner, site, **payload)
    assert process.status == "finished"
    assert warned(owner, process) == expected
    told = [line for line in log(process) if line.startswith("warning: ")]
    assert [pointer in line for (_, pointer), line in zip(expected, told, strict=True)] == [True] * len(expected)


def test_what_one_page_of_several_has_is_not_missed(owner: Person, site: Site) -> None:
    """Whatever slice had which page."""
    site.pages["/"] = html('<div class="b"><a>1</a></div><a class="next" href="/2">')
    site.pages["/2"] = html('<div class="b"><a>2</a><i>u</i></div><a class="next" href="/3">')
    site.pages["/3"] = html('<div class="b"><a>3</a></div>')
    process = extracted(owner, site, fields=[T, U], commonParent=".b", paginator="a.next", maxCredits=1)
    for cap in (2, 3):
        assert process.status == "pending"
        assert owner.post(f"/v1/process/{process.id}/retry", {"maxCredits": cap}).status_code == 202
        process = carried(process)
    assert process.records == 3
    assert warned(owner, process) == []


def test_each_is_told_once_and_so_many_at_most(owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_warnings, "WARNINGS_MAX", 2)
    site.pages["/"] = html(ITEM)
    fields = [T, *({"name": f"x{n}", "selector": ".gone"} for n in range(5))]
    process = extracted(owner, site, fields=fields, commonParent=".b")
    assert len(warned(owner, process)) == 2
    Process.objects.filter(pk=process.pk).update(status="running", unwritten=True)
    assert len(warned(owner, carried(process))) == 2


def test_a_retry_finds_them_anew(owner: Person, site: Site) -> None:
    site.pages["/"] = html('<a href="/1"></a><a href="/2"></a><a href="/3"></a>')
    site.pages["/1"] = site.pages["/2"] = html("<b>x</b>")
    details = {"fields": [{"name": "h", "selector": "h1"}, {"name": "x", "selector": "b"}]}
    process = extracted(owner, site, fields=[{**T, "details": details}], path=True)
    assert warned(owner, process) == [("nothing-found", "/fields/0/details/fields/0/selector")]
    site.pages["/3"] = html("<h1>y</h1>")
    assert owner.post(f"/v1/process/{process.id}/retry", {}).status_code == 202
    assert warned(owner, process) == []


def test_a_process_that_is_stopped_says_what_it_missed(owner: Person, site: Site) -> None:
    site.pages["/"] = html(f'{ITEM}<a class="next" href="/2">')
    site.other = lambda path, before: html(ITEM)
    process = begun(owner, site, fields=[T, {"name": "x", "selector": ".gone"}], paginator="a.next", delay=3600)
    worker_loop.work_on_slices(node="extraction@test")
    assert owner.post(f"/v1/process/{process.id}/cancel", {}).status_code == 200
    assert ("nothing-found", "/fields/1/selector") in warned(owner, process)


def test_what_a_file_cannot_hold_is_told(owner: Person, site: Site) -> None:
    site.pages["/"] = html(f"<p>{'x' * 40_000}</p><p>a&#x1f;b</p>")
    process = extracted(owner, site, fields=[{"name": "p", "selector": "p"}], format="XLSX")
    assert warned(owner, process) == [("cells-cut", "/format"), ("characters-replaced", "/format")]
    whole = b"".join(ResultExport(process).pieces("json", gzip=False))
    assert b"x" * 40_000 in whole


def test_pages_past_the_limit_are_told(owner: Person, site: Site) -> None:
    site.pages["/"] = html(f'{ITEM}<a class="next" href="/2">')
    site.other = lambda path, before: html(f'{ITEM}{path}<a class="next" href="{path}x">')
    process = extracted(owner, site, fields=[T, U], commonParent=".b", paginator="a.next", maxPages=1)
    assert warned(owner, process) == [("pages-left-out", "")]


def test_spellings_and_whose_they_are(owner: Person, stranger: Person, colleague: Person, site: Site) -> None:
    site.pages["/"] = html("nothing")
    process = extracted(owner, site, fields=[T])
    for noun in ("process", "processes", "Process", "Processes"):
        for call in (owner.get, owner.post):
            answer = call(f"/v1/{noun}/{process.id}/warnings")
            assert answer.status_code == 200
            assert answer.json()[0].keys() == {"code", "pointer", "detail", "at"}
    assert stranger.get(f"/v1/process/{process.id}/warnings").status_code == 404
    assert len(warned(colleague, process)) == 2
