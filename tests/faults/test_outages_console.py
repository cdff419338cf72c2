"""What the console shows while a part of the hub is away, and that it is whole again by itself, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit, launched, visit
from tests.browser.sessions import sign_in
from tests.extraction_sites import bundled_site, create, payload, run
from tests.faults.disposable import Disposable, submit
from tests.faults.test_storage import away

__all__ = ["visit"]  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("outages")]

PATIENCE = 60_000  # ms


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


def test_without_postgresql_a_page_says_so_and_comes_by_itself(broken: Disposable, visit: Visit) -> None:
    page, hub = visit.page, broken.people
    person = hub.sign_up()
    sign_in(page, hub, person.email)
    page.goto(f"{hub.url}/console/runs")
    other = page.context.new_page()
    with broken.unattended():
        broken.program("postgres").kill()
        expect(page.locator("#trouble")).to_have_text(
            "The hub does not answer. What you see may be old.", timeout=PATIENCE
        )
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        answer = other.goto(f"{hub.url}/console/schedules", timeout=PATIENCE)
        assert answer is not None
        assert answer.status == 503
        expect(other.locator("main")).to_contain_text("The database does not answer.")
        expect(other.get_by_role("link", name="Try again")).to_have_attribute("href", "/console/schedules")
        assert "Traceback" not in other.content()
    expect(other.get_by_role("heading", name="Schedules")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#trouble")).to_be_hidden(timeout=PATIENCE)


@pytest.mark.parametrize(("program", "words"), [("redis", "broker: does not answer"), ("worker:walkers", "no worker")])
def test_the_first_page_says_what_is_away(broken: Disposable, visit: Visit, program: str, words: str) -> None:
    page, hub = visit.page, broken.people
    sign_in(page, hub, hub.admin.email)
    page.goto(hub.url)
    notice = page.get_by_role("status").filter(has_text="Not all is well.")
    expect(notice).to_have_count(0)
    with broken.unattended():
        broken.program(program).kill()
        expect(notice).to_contain_text(words, timeout=PATIENCE)
        expect(page.get_by_role("region", name="Queues")).to_contain_text("walkers")
    expect(notice).to_have_count(0, timeout=PATIENCE)


def test_a_run_is_followed_though_redis_goes_and_comes(broken: Disposable, visit: Visit) -> None:
    page, hub = visit.page, broken.people
    person = hub.sign_up()
    sign_in(page, hub, person.email)
    run = submit(person, "pause", {"seconds": 600, "steps": 6000})
    page.goto(f"{hub.url}/console/runs/{run}")
    progress = page.locator("#summary progress")
    expect(progress).to_be_visible(timeout=PATIENCE)
    with broken.unattended():
        broken.program("redis").kill()
        expect(progress).not_to_have_attribute("value", progress.get_attribute("value") or "", timeout=PATIENCE)
    broken.await_health()
    expect(progress).not_to_have_attribute("value", progress.get_attribute("value") or "", timeout=PATIENCE)
    person.post(f"/runs/{run}/cancel")
    expect(page.locator("#summary .state")).to_have_text("revoked", timeout=PATIENCE)


def test_without_the_storage_a_process_is_shown_and_its_file_is_refused(broken: Disposable, visit: Visit) -> None:
    page, hub = visit.page, broken.people
    person = hub.sign_up()
    with bundled_site() as shop:
        process = run(person, create(person, payload(f"{shop}/")))
        broken.await_ended([process["run"]])
    sign_in(page, hub, person.email)
    with away(broken):
        page.goto(f"{hub.url}/console/extraction/process/{process['id']}")
        results = page.get_by_role("link", name="Results").get_attribute("href") or ""
        refused = page.request.get(f"{hub.url}{results}" if results.startswith("/") else results)
        assert refused.status == 503
        assert "Traceback" not in refused.text()
    taken = page.request.get(f"{hub.url}{results}" if results.startswith("/") else results)
    assert taken.status == 200
