"""Extractions whose workers are killed, whose broker dies, and that are stopped: no page is lost, none paid twice."""

import json
import signal
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from tests.chromium import required
from tests.extraction_sites import Reply, Site, create, ended, export, html, info, run, serving
from tests.faults.disposable import Disposable, until
from tests.hub import Caller
from tests.session import is_alive

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]

LISTS, ITEMS = 12, 25
PAYLOAD = {
    "commonParent": "li",
    "fields": [
        {"name": "item", "selector": "a", "details": {"fields": [{"name": "title", "selector": "h1"}]}},
    ],
    "paginator": "a.next",
    "format": "JSON",
}


@pytest.fixture
def site() -> Iterator[Site]:
    """Twelve lists of twenty-five links each, all of which take their time."""

    def answer(path: str, before: int) -> Reply:
        time.sleep(0.05)
        kind, _, number = path.strip("/").partition("/")
        if kind == "item":
            return html(f"<h1>Item {number}</h1>")
        first = int(number) * ITEMS
        items = "".join(f'<li><a href="/item/{n}">{n}</a></li>' for n in range(first, first + ITEMS))
        more = f'<a class="next" href="/list/{int(number) + 1}">next</a>' if int(number) + 1 < LISTS else ""
        return html(items + more)

    with serving() as site:
        site.other = answer
        yield site


def begun(owner: Caller, site: Site) -> dict[str, Any]:
    return run(owner, create(owner, {**PAYLOAD, "request": {"url": f"{site.url}/list/0"}}))


def moved(owner: Caller, process: dict[str, Any], to: int) -> None:
    until(lambda: info(owner, process)["responseCount"] >= to)


def assert_whole(owner: Caller, process: dict[str, Any]) -> None:
    pages = LISTS * (ITEMS + 1)
    assert (process["status"], process["responseCount"], process["cost"]) == ("finished", pages, pages)
    records = json.loads(export(owner, process, "json"))
    expected = [{"item": str(n), "item_details": [{"title": f"Item {n}"}]} for n in range(LISTS * ITEMS)]
    assert records == expected


def books(broken: Disposable, owner: Caller) -> tuple[Any, ...]:
    """The balance, what the ledger says that it is, and what is still held."""
    [row] = broken.rows(
        """SELECT balance, (SELECT sum(amount) FROM extraction_entry WHERE account_id = owner_id),
            (SELECT count(*) FROM extraction_slice AS s JOIN extraction_process AS p ON p.seq = s.process_id
             WHERE p.owner_id = a.owner_id)
        FROM extraction_account AS a WHERE owner_id = %s""",
        owner.id,
    )
    return tuple(int(value) for value in row)


def test_workers_killed_in_the_middle(broken: Disposable, site: Site) -> None:
    owner = broken.people.sign_up()
    before = int(owner.get("/v1/credits").json()["balance"])
    process = begun(owner, site)
    for count in (20, 60, 100):
        moved(owner, process, count)
        until(lambda: broken.children("worker:extraction"))[0].kill()
    process = ended(owner, process, 120)
    assert_whole(owner, process)
    until(lambda: not books(broken, owner)[2])  # a killed worker's slice ends with its lease
    balance, entries, _ = books(broken, owner)
    assert balance == before - process["cost"]
    assert entries == balance
    assert sum(site.hits.values()) <= process["cost"] + 1 + 3 * 100  # what was under way is asked for again


def test_redis_killed_and_emptied_in_the_middle(broken: Disposable, site: Site) -> None:
    owner = broken.people.sign_up()
    process = begun(owner, site)
    moved(owner, process, 30)
    broken.program("redis").kill()
    until(lambda: broken.people.anonymous.get("/healthz").status_code == 200)
    until(lambda: info(owner, process)["status"] != "running", 90)
    assert_whole(owner, info(owner, process))


def test_postgresql_restarted_in_the_middle(broken: Disposable, site: Site) -> None:
    owner = broken.people.sign_up()
    process = begun(owner, site)
    moved(owner, process, 30)
    before = broken.program("postgres")
    before.send_signal(signal.SIGINT)  # a fast shutdown, which does not wait for its clients to go
    before.wait(30)
    until(lambda: _status(owner, process) not in {"running", "away"}, 90)
    assert_whole(owner, info(owner, process))
    broken.await_health()


def _status(owner: Caller, process: dict[str, Any]) -> str:
    """Meanwhile calls are answered 503."""
    answer = owner.get(f"/v1/process/{process['id']}/info")
    return str(answer.json()["status"]) if answer.status_code == 200 else "away"


def test_stopped_in_the_middle(broken: Disposable, site: Site) -> None:
    owner = broken.people.sign_up()
    process = begun(owner, site)
    moved(owner, process, 30)
    stopped = owner.post(f"/v1/process/{process['id']}/cancel").json()
    assert stopped["status"] == "canceled"
    link = owner.get("/v1/getlink", data=stopped["results"]).text  # which waits for the file
    assert len(owner.session.get(link, timeout=60).json()) >= ITEMS
    until(lambda: is_left_alone(site))
    assert sum(site.hits.values()) < LISTS * (ITEMS + 1)
    stopped = info(owner, process)
    assert 30 <= stopped["responseCount"] == stopped["cost"] < LISTS * (ITEMS + 1)
    again = owner.post(f"/v1/process/{process['id']}/retry")
    assert again.status_code == 202, again.text
    until(lambda: info(owner, process)["status"] == "finished", 60)
    assert_whole(owner, info(owner, process))


def is_left_alone(site: Site) -> bool:
    """Whether nobody asks it for anything for a second."""
    before = sum(site.hits.values())
    Event().wait(1)
    return sum(site.hits.values()) == before


def test_a_browser_does_not_outlive_its_worker(broken: Disposable) -> None:
    required()
    owner = broken.people.sign_up()
    with serving() as site:
        busy = Event()

        def api(path: str, before: int) -> Reply:
            if not before:
                busy.wait(20)
            return Reply("made")

        site.pages["/api"] = api
        site.pages["/"] = html(
            "<div id=a></div><script>fetch('/api').then(r => r.text()).then(t => "
            "{ a.innerHTML = `<h2>${t}</h2>` })</script>"
        )
        payload = {"request": {"url": f"{site.url}/", "type": "chrome"}, "fields": [{"name": "t", "selector": "h2"}]}
        process = run(owner, create(owner, {**payload, "format": "JSON"}))
        until(lambda: site.hits["/api"])
        [worker] = [one for one in broken.children("worker:extraction") if len(one.children(recursive=True)) > 2]
        browser = worker.children(recursive=True)
        worker.kill()
        until(lambda: not [one for one in browser if is_alive(one)])
        busy.set()
        process = ended(owner, process, 90)
        assert (process["status"], process["cost"]) == ("finished", 5)
        assert json.loads(export(owner, process, "json")) == [{"t": "made"}]
