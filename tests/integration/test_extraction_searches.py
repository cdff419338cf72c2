"""Searches as processes: keywords times pages, in the order in which they were given; engines of an operator's own."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from extraction import worker_loop
from extraction.engines import engines
from extraction.models import ExtractionPage, Process
from extraction.services import process_lifecycle, processes, tasks
from extraction.services.result_export import ResultExport
from taskhub.errors import Rejected
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.extraction_sites import Reply, Site, html, serving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def site() -> Iterator[Site]:
    """Two pages of results for each keyword, then the second again and again; `robot` is asked for a captcha."""

    def results(path: str, before: int) -> Reply:
        keyword, _, page = path.partition("?q=")[2].partition("&p=")
        if keyword == "robot":
            return html("<form id=captcha></form>")
        if keyword == "nothing":
            return html("<p class=none>nothing</p>")
        number = min(int(page), 2)
        found = "".join(f"<div class=r><h2>{keyword} {number}.{n}</h2><a href='/{keyword}'>x</a></div>" for n in (1, 2))
        return html(found)

    with serving() as site:
        site.other = results
        yield site


@pytest.fixture
def folder(tmp_path: Path, site: Site, settings: Any) -> Iterator[Path]:
    settings.OUTBOUND_ALLOW = ["loopback"]
    settings.EXTRACTION_ENGINES = str(tmp_path)
    results = {**settings.STORAGES["results"], "OPTIONS": {"location": str(tmp_path / "results")}}
    settings.STORAGES = {**settings.STORAGES, "results": results}
    write(tmp_path, "local", site)
    yield tmp_path
    asyncio.run(sync_to_async(connections.close_all)())


def write(folder: Path, name: str, site: Site, **values: Any) -> None:
    engine = {
        "url": f"{site.url}/search",
        "query": {"q": "{keyword}", "p": "{page}"},
        "blocked": {"selectors": ["#captcha"]},
        "empty": {"selectors": [".none"]},
        "parts": {
            "organic": {
                "block": "div.r",
                "fields": {"title": {"selector": "h2"}, "url": {"selector": "a", "attr": "href"}},
            }
        },
    }
    (folder / f"{name}.json").write_text(json.dumps(engine | values))


def searched(owner: Person, **payload: Any) -> Process:
    body = {"search_engine": "local", **payload}
    return run_to_its_end(processes.run_task(task=tasks.create_task(owner=owner.user, body=body)))


def run_to_its_end(process: Process) -> Process:
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    until = time.monotonic() + 120
    while process.status == "running" and time.monotonic() < until:
        worker_loop.work_on_slices(node="extraction@test")
        process.refresh_from_db()
    return process


def test_keywords_times_pages_in_their_order(owner: Person, site: Site, folder: Path) -> None:
    process = searched(owner, keywords=["red", "blue", "nothing"], num_pages=4, format="CSV")
    assert (process.status, process.failed) == ("finished", 0)
    records = list(ResultExport(process).records())
    assert [(one["keyword"], one["page"], one["position"]) for one in records] == [
        (keyword, page, n) for keyword in ("red", "blue") for page in (1, 2) for n in (1, 2)
    ]
    lines = b"".join(ResultExport(process).pieces("csv", gzip=False)).decode().splitlines()
    assert lines[:2] == [
        '"keyword","page","kind","position","title","url"',
        f'"red","1","organic","1","red 1.1","{site.url}/red"',
    ]
    assert b"<page>1</page><kind>organic</kind>" in b"".join(ResultExport(process).pieces("xml", gzip=False))
    assert b"".join(ResultExport(process).pieces("xlsx", gzip=False)).startswith(b"PK")
    assert process.cost == 3 + 3 + 1  # a third page that shows the second again ends each list


def test_a_search_may_be_run_at_once(owner: Person, site: Site, folder: Path) -> None:
    sent = {"search_engine": "local", "keywords": ["red"], "num_pages": 1}
    key = {"Idempotency-Key": "search"}
    answer = owner.post("/v1/serp?wait=0", sent, headers=key)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    run_to_its_end(Process.objects.get(id=answer.json()["id"]))
    answer = owner.post("/v1/serp", sent, headers=key)
    assert [record["title"] for record in json.loads(answer.getvalue())] == ["red 1.1", "red 1.2"]


def test_a_captcha_fails_its_page_and_says_so(owner: Person, site: Site, folder: Path) -> None:
    process = searched(owner, keywords=["red", "blue", "robot"], num_pages=1)
    assert (process.status, process.failed) == ("finished", 1)
    assert "answers with a captcha" in ExtractionPage.objects.get(process=process, state="failed").error
    process = searched(owner, keywords=["robot"])
    assert process.status == "failed"


def test_a_page_that_no_longer_fits_says_so(owner: Person, site: Site, folder: Path) -> None:
    site.other = lambda path, before: html("<section>a new design</section>")
    process = searched(owner, keywords=["red"])
    assert process.status == "failed"
    assert "no longer fits" in ExtractionPage.objects.get(process=process).error


def test_an_operators_file_mends_a_bundled_engine(site: Site, folder: Path) -> None:
    write(folder, "bing", site)
    assert engines()["local"].url.startswith(site.url)
    assert engines()["bing"].url == f"{site.url}/search"
    assert engines()["google"].url == "https://{domain}/search"


@pytest.mark.parametrize("text", ["{", '{"url": 1}', "[]"])
def test_an_operators_file_that_is_wrong_is_named(site: Site, folder: Path, text: str) -> None:
    (folder / "mine.json").write_text(text)
    with pytest.raises(ImproperlyConfigured, match=r"mine\.json cannot be read"):
        engines()


def test_more_than_a_user_may_is_refused(owner: Person, folder: Path, settings: Any) -> None:
    settings.EXTRACTION_MAX_PAGES = 10
    with pytest.raises(Rejected, match="more than the 10"):
        tasks.create_task(owner=owner.user, body={"search_engine": "local", "keywords": list("abcdef"), "num_pages": 2})
