"""Lists as sites have them: pagers that lead back, pages past the end that go on, cycles of fresh addresses."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from extraction import page_processor
from extraction.models import ExtractionPage
from tests.conftest import Person
from tests.extraction_runs import begun, carried, extracted, records
from tests.extraction_sites import Reply, Site, html

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

PAGES = 5


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else pages without records are rendered, too."""
    monkeypatch.setattr(page_processor, "why_no_browser", lambda: "There is none.")


def items(page: int) -> str:
    return "".join(f'<li><a href="/item/{page}-{n}">Item {page}-{n}</a></li>' for n in range(3))


def numbered(path: str, name: str = "page", first: int = 1) -> int:
    """The number of the page at a path, from 1."""
    given = parse_qs(urlsplit(path).query).get(name)
    return int(given[0]) + 1 - first if given else 1


def link(page: int, text: Any, first: int = 1) -> str:
    return f'<a class="p" href="?page={page - 1 + first}">{text}</a>'


def back_and_on(page: int) -> str:
    return (link(page - 1, "back") if page > 1 else "") + (link(page + 1, "on") if page < PAGES else "")


def all_numbers(page: int) -> str:
    return "".join(link(number, number) for number in range(1, PAGES + 1))


def other_numbers(page: int) -> str:
    return "".join(link(number, number) for number in range(1, PAGES + 1) if number != page)


def from_zero(page: int) -> str:
    return "".join(link(number, number, first=0) for number in range(1, PAGES + 1) if number != page)


def written_otherwise(page: int) -> str:
    """The same addresses, in other spellings each time."""
    port = "" if page % 2 else "./"
    before, after = (f'<a class="p" href="{port}?p%61ge={n}">{n}</a>' for n in (page - 1, page + 1))
    return (before if page > 1 else "") + (after if page < PAGES else "")


PAGERS: dict[str, Callable[[int], str]] = {
    "back and on": back_and_on,
    "all numbers": all_numbers,
    "other numbers": other_numbers,
    "other spellings": written_otherwise,
}


@pytest.mark.parametrize("name", [*PAGERS, "numbers from zero"])
def test_each_page_of_a_list_is_read_once(owner: Person, site: Site, name: str) -> None:
    zero = name == "numbers from zero"
    pager = from_zero if zero else PAGERS[name]

    def answer(path: str, before: int) -> Reply:
        page = numbered(path.replace("%61", "a"), first=0 if zero else 1)
        return html(items(page) + pager(page))

    site.other = answer
    process = extracted(owner, site, paginator="a.p")
    assert process.status == "finished"
    found = [record["item_text"] for record in records(process)]
    assert found == [f"Item {page}-{n}" for page in range(1, PAGES + 1) for n in range(3)]
    assert process.responses <= PAGES + 1  # the first page has two addresses, and is found out where it is alone


def endless(show: Callable[[int], str]) -> Callable[[str, int], Reply]:
    """A list whose every page has a fresh link to the next."""

    def answer(path: str, before: int) -> Reply:
        page = numbered(path)
        return html(f'{show(page)}<a class="p" href="?page={page + 1}">on</a>')

    return answer


# What a page of an endless list shows, and which pages are asked for.
ENDLESS: dict[str, tuple[Callable[[int], str], int, int]] = {
    "nothing past the end": (lambda page: items(page) if page <= 3 else "", 5, 9),
    "nothing at all": (lambda page: "", 2, 0),
    "an empty page on the way": (lambda page: items(page) if page in (1, 3) else "", 5, 6),
    "the last page past the end": (lambda page: items(min(page, 3)), 4, 9),
    "the first page past the end": (lambda page: items(page if page <= 3 else 1), 4, 9),
    "all pages past the end": (lambda page: items((page - 1) % 4 + 1), 5, 12),
    "some pages past the end": (lambda page: items(page if page < 4 else 2 + page % 2), 4, 9),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_list_ends(owner: Person, site: Site, name: str) -> None:
    show, asked, found = ENDLESS[name]
    site.other = endless(show)
    process = extracted(owner, site, paginator="a.p")
    assert (process.status, process.responses, process.records) == ("finished", asked, found)
    assert len(records(process)) == found
    assert ExtractionPage.objects.filter(process=process, state="repeated").count() == 1


def test_what_a_list_has_shown_is_known_to_every_slice(owner: Person, site: Site) -> None:
    """Each slice has one page, as far as the cap lets it."""
    site.other = endless(lambda page: items((page - 1) % 3 + 1))
    process = begun(owner, site, paginator="a.p", maxCredits=1)
    for cap in (2, 3, 4):
        process = carried(process)
        assert process.status == "pending"
        assert owner.post(f"/v1/process/{process.id}/retry", {"maxCredits": cap}).status_code == 202
    process = carried(process)
    assert (process.status, process.responses, process.records) == ("finished", 4, 9)
    assert [one["code"] for one in owner.get(f"/v1/process/{process.id}/warnings").json()] == ["list-repeats"]


def test_where_a_page_leads_elsewhere_that_was_read_too(owner: Person, site: Site) -> None:
    site.pages["/"] = Reply(status=302, headers={"Location": "/l?page=1"})
    site.other = lambda path, before: html(items(numbered(path)) + back_and_on(numbered(path)))
    process = extracted(owner, site, paginator="a.p")
    assert (process.responses, process.records) == (PAGES, 3 * PAGES)
