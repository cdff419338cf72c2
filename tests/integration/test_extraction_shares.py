"""Two greedy users whose pages never come, and a third: nobody waits for other people's pages."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from extraction import fetch_loop, worker_loop
from extraction.domain.process_status import PageState
from extraction.fetch.shared_windows import SharedWindows
from extraction.models import ExtractionPage, Process, Slice
from extraction.services import process_lifecycle, processes, slices, tasks
from taskhub.runs import queue as runs
from taskhub.runs.models import Run
from taskhub.runs.queue.worker_process import work
from tests.chromium import required
from tests.conftest import Person
from tests.extraction_sites import Reply, Site, html, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("chrome")]

PATIENCE_SECONDS = 60  # only a process that waits for the others' pages takes so long


@pytest.fixture
def hold(settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Pages that wait for it wait to the end of the test."""
    settings.OUTBOUND_ALLOW = ["loopback"]
    settings.EXTRACTION_SLICE_SECONDS = 1
    monkeypatch.setattr(worker_loop, "SHIFT_SECONDS", 1.0)
    results = {**settings.STORAGES["results"], "OPTIONS": {"location": str(tmp_path / "results")}}
    settings.STORAGES = {**settings.STORAGES, "results": results}
    held = Event()
    yield held
    held.set()
    worker_loop.slice_thread.get("extraction@test").stop()
    asyncio.run(sync_to_async(connections.close_all)())


def begun(person: Person, site: Site, path: str = "/", type: str = "base", **payload: Any) -> Process:
    request = {"url": f"{site.url}{path}", "type": type}
    sent = {"request": request, "fields": [{"name": "t", "selector": "h1"}], **payload}
    return processes.run_task(task=tasks.create_task(owner=person.user, body=sent))


def work_until(done: Callable[[], Any]) -> None:
    """A worker's turns, one after the other, until what is waited for is so."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < until, "It waits for pages of others."
        work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
        worker_loop.work_on_slices(node="extraction@test")


def again(process: Process) -> Process:
    process.refresh_from_db()
    return process


@contextmanager
def hanging_page(owner: Person, hold: Event) -> Iterator[Process]:
    """A process whose one page has been asked for, and hangs."""
    with serving() as site:
        site.other = lambda path, before: html("<h1>x</h1>") if hold.wait(2 * PATIENCE_SECONDS) else Reply("")
        process = begun(owner, site)
        work_until(lambda: site.hits["/"])
        yield process
        hold.set()


@pytest.mark.parametrize("kind", ["base", "chrome"])
def test_a_third_user_does_not_wait_for_pages_of_two_greedy_ones(
    owner: Person, colleague: Person, stranger: Person, hold: Event, kind: str
) -> None:
    if kind == "chrome":
        required()
    with ExitStack() as stack:
        sites = [stack.enter_context(serving()) for _ in range(3)]

        def hang(path: str, before: int) -> Reply:
            hold.wait(2 * PATIENCE_SECONDS)
            return html("<h1>late</h1>")

        for site, person in zip(sites, (owner, colleague), strict=False):
            site.other = hang
            for number in range(12):
                begun(person, site, f"/{number}", type=kind)
        work_until(lambda: all(site.hits for site in sites[:2]))
        sites[2].pages["/"] = html("<h1>at once</h1>")
        third = begun(stranger, sites[2], type=kind)
        work_until(lambda: again(third).status != "running")
        assert (third.status, third.records) == ("finished", 1)
        assert Process.objects.filter(status="running").count() == 24
        hold.set()


def test_base_pages_do_not_wait_for_rendered_ones(owner: Person, hold: Event) -> None:
    required()
    with serving() as site:
        site.pages["/hangs"] = lambda path, before: Reply("x") if hold.wait(2 * PATIENCE_SECONDS) else Reply("y")
        site.pages["/plain"] = html("<h1>plain</h1>")
        site.pages["/made"] = html("<script src=/hangs></script><h1>made</h1>")
        made = [begun(owner, site, f"/made?{number}", type="chrome") for number in range(3)]
        site.other = lambda path, before: html("<script src=/hangs></script><h1>made</h1>")
        plain = begun(owner, site, "/plain")
        work_until(lambda: again(plain).status != "running")
        assert plain.records == 1
        for process in made:
            process.refresh_from_db()
            assert process.status == "running"
        hold.set()


def test_pages_that_a_turn_did_not_begin_are_given_back_at_its_end(
    owner: Person, hold: Event, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EXTRACTION_CONCURRENCY = 2
    monkeypatch.setattr(worker_loop, "SLICES_MAX", 1)
    with serving() as site:
        site.pages["/"] = html("".join(f"<li><a href=/{number}>x</a></li>" for number in range(20)))
        site.other = lambda path, before: html("<h1>x</h1>") if hold.wait(2 * PATIENCE_SECONDS) else Reply("")
        fields = [{"name": "l", "selector": "a", "details": {"fields": [{"name": "t", "selector": "h1"}]}}]
        process = begun(owner, site, commonParent="li", fields=fields)
        work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
        claimed = slices.claim_slice(worker="other@test")
        assert claimed
        slice, row = claimed

        async def take_turn() -> None:
            over = asyncio.Event()
            turn = asyncio.create_task(fetch_loop.fetch_slice(slice, row, over))
            await over.wait()
            while await ExtractionPage.objects.filter(process=process, state=PageState.CLAIMED).acount() > 2:
                await asyncio.sleep(0.05)
            states = [state async for state in ExtractionPage.objects.values_list("state", "attempt")]
            assert sorted(set(states)) == [("claimed", 1), ("done", 1), ("ready", 0)]
            hold.set()
            await turn

        asyncio.run(asyncio.wait_for(take_turn(), PATIENCE_SECONDS))
        assert ExtractionPage.objects.filter(process=process, state=PageState.DONE).count() == 3


def test_a_worker_that_ends_gives_its_pages_back(owner: Person, hold: Event) -> None:
    with hanging_page(owner, hold) as process:
        assert Slice.objects.count() == 1
        worker_loop.slice_thread.get("extraction@test").stop()
        page = ExtractionPage.objects.get(process=process)
        assert (page.state, page.attempt, page.lost, Slice.objects.count()) == ("ready", 0, 0, 0)


def test_a_cancelled_process_lets_go_of_pages_that_hang(owner: Person, hold: Event) -> None:
    with hanging_page(owner, hold) as process:
        runs.cancel(run=Run.objects.get())
        work_until(lambda: again(process).results)
        assert (process.status, Slice.objects.count()) == ("canceled", 0)


def test_windows_are_shared_between_owners() -> None:
    async def share() -> list[str]:
        windows, log = SharedWindows(4), []
        end = {name: asyncio.Event() for name in ("a1", "a2", "a3", "b1", "c1")}

        async def show(name: str) -> None:
            async with windows.hold(name[0]):
                log.append(name)
                await end[name].wait()

        shows = {}
        for name in end:
            shows[name] = asyncio.create_task(show(name))
            await asyncio.sleep(0)
        assert log == ["a1", "a2", "b1", "c1"]  # a's third waits
        end["a1"].set()
        await shows["a1"]
        assert len(log) == 4
        end["b1"].set()
        await asyncio.gather(shows["b1"])
        await asyncio.sleep(0)
        assert log[4:] == ["a3"]
        for event in end.values():
            event.set()
        await asyncio.gather(*shows.values())
        async with asyncio.timeout(5):  # all are free again, also where one gave up waiting
            async with windows.hold("a"), windows.hold("a"):
                waiting = asyncio.create_task(show("a3"))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
            async with windows.hold("b"), windows.hold("b"):
                return log

    asyncio.run(share())
