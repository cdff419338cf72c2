"""The pictures of docs/images/, of a hub on which much has been done: `make screenshots` draws them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

import psycopg
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from psycopg.types.json import Jsonb

from sequences.examples.recipes import read_recipes
from taskhub.embedded import Home, Servers
from taskhub.runs.domain import oldest_id
from tests.browser.conftest import Visit
from tests.browser.sessions import sign_in
from tests.browser.test_pages import PATIENCE
from tests.extraction_sites import bundled_site
from tests.hub import PASSWORD, ROOT, Caller, Hub
from tests.integration.sequence_servers import bundled_api

FOLDER = ROOT / "docs" / "images"
BYTES_MAX = 120_000
COLOURS = 256
ADA = "ada@example.com"
WORK = [
    ("walker", "import-orders"),
    ("sequence", "price-sync"),
    ("walker", "thumbnails"),
    ("sequence", "stock-report"),
    ("walker", "search-index"),
]
FAULTS = [
    {"type": "ConnectionError", "message": "erp.example.com:443 refused the connection"},
    {"type": "ValueError", "message": "Order 4711 has no currency."},
    {"type": "HttpError", "message": "requests[2]: 503 from https://shop.example.com/prices"},
]
# By name: the crontab, and on which days of the week (0 is Monday) at which hour it has fired before.
SCHEDULES = {
    "morning prices": ("30 6 * * 1-5", range(5), 6.5),
    "stock report": ("0 18 * * *", range(7), 18),
    "weekly digest": ("0 8 * * 1", range(1), 8),
    "clean up": ("15 2 * * 6", range(5, 6), 2.25),
}
DAYS = 40  # for which schedules have fired
STORE_RUN = """
INSERT INTO runs_run (
    id, kind, name, state, owner_id, arguments, result, error, progress, attempt, attempts, time_limit, ready, worker,
    schedule, schedule_id, due_at, created_at, started_at, finished_at, lease_until, revision
) VALUES (
    %(id)s, %(kind)s, %(name)s, %(state)s, %(owner)s, '{}', NULL, %(error)s, %(progress)s, 1, 3, 3600, false, '',
    %(schedule)s, %(schedule_id)s, %(due_at)s, %(created_at)s, %(started_at)s, %(finished_at)s, %(lease_until)s, 3
)
"""


def run_row(number: int, began: datetime, seconds: float, **values: Any) -> dict[str, Any]:
    """A run of the past. Of what `WORK` names it is the `number`-th; that makes its id its own, too."""
    kind, name = WORK[number % len(WORK)]
    is_failure = number % 43 == 7
    return {
        "id": UUID(int=oldest_id(began).int + number),
        "kind": kind,
        "name": name,
        "state": "FAILURE" if is_failure else "SUCCESS",
        "error": Jsonb(FAULTS[number % len(FAULTS)]) if is_failure else None,
        "progress": None,
        "schedule": "",
        "schedule_id": None,
        "due_at": None,
        "created_at": began - timedelta(milliseconds=20 + number * 37 % 400),
        "started_at": began,
        "finished_at": began + timedelta(seconds=seconds),
        "lease_until": None,
        **values,
    }


def ended_rows(now: datetime) -> Iterator[dict[str, Any]]:
    """Those of the last hour, more or less each minute."""
    number = 0
    for minute in range(1, 60):
        for _ in range(2 + minute * 7 % 5 + (minute % 20 < 6) * 3):
            number += 1
            seconds = 0.4 + number * 13 % 23 / 9 + minute % 20 / 12
            yield run_row(number, now - timedelta(minutes=minute, seconds=number * 7 % 50), seconds)


def running_rows(now: datetime) -> Iterator[dict[str, Any]]:
    for number, (done, total) in enumerate([(1840, 5000), (2, 3), (312, 480)]):
        progress = Jsonb({"done": done, "total": total, "message": f"{done:,} of {total:,}"})
        running = {"state": "PROGRESS", "progress": progress, "lease_until": now + timedelta(hours=1)}
        yield run_row(10_000 + number, now - timedelta(seconds=95 - number * 31), 0, finished_at=None, **running)


def fired_rows(now: datetime, schedules: dict[str, int]) -> Iterator[dict[str, Any]]:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = [
        (name, today - timedelta(days=days) + timedelta(hours=hour))
        for name, (_, weekdays, hour) in SCHEDULES.items()
        for days in range(1, DAYS)
        if (today - timedelta(days=days)).weekday() in weekdays
    ]
    for number, (name, due) in enumerate(moments, 20_000):
        fired = {"schedule": name, "schedule_id": schedules[name], "due_at": due}
        yield run_row(number, due + timedelta(milliseconds=300), 2.5, **fired)


@pytest.fixture
def ada(hub: Hub) -> Caller:
    """Staff, with schedules, and with runs that have ended and that go on."""
    signed_up = {"email": ADA, "password": PASSWORD, "name": "Ada"}
    assert hub.anonymous.post("/user/create/", signed_up).status_code == 201
    ada = hub.sign_in(ADA)
    assert hub.admin.patch(f"/users/{ada.id}", {"role": "operator"}).status_code == 200
    schedules = {}
    for name, (crontab, *_) in SCHEDULES.items():
        started = {"kind": "walker", "arguments": {"name": "echo", "ctx": {"value": name}}}
        answer = ada.post("/schedules", {"name": name, "when": {"crontab": crontab}, **started})
        assert answer.status_code == 201, answer.text
        schedules[name] = answer.json()["id"]
    now = datetime.now(UTC)
    rows = [*ended_rows(now), *running_rows(now), *fired_rows(now, schedules)]
    servers = Servers.of(Home(hub.home), hub.environment).environment()
    with psycopg.connect(servers["DATABASE_URL"]) as database, database.cursor() as cursor:
        cursor.executemany(STORE_RUN, [{"owner": ada.id, **row} for row in rows])
    return ada


def shoot(page: Page, name: str) -> None:
    """Keeps what is seen of a page, with few colours: pictures are read over slow lines, too."""
    picture = Image.open(BytesIO(page.screenshot(caret="initial"))).convert("RGB")
    path = FOLDER / f"{name}.png"
    picture.quantize(COLOURS).save(path, optimize=True)
    assert path.stat().st_size <= BYTES_MAX, path


def recipe(shop: str) -> str:
    (text,) = (one.text for one in read_recipes() if one.name == "fan_out_and_gather")
    return text.replace("http://shop", shop).replace('"requests": [{', '"requests": [\n        {')


def test_the_pictures_of_the_documents(visit: Visit, hub: Hub, ada: Caller) -> None:
    FOLDER.mkdir(exist_ok=True)
    page = visit.page
    page.set_viewport_size({"width": 1440, "height": 900})
    sign_in(page, hub, ada.email)
    page.goto(hub.url)
    expect(page.locator("#charts")).to_contain_text("Runs that ended", timeout=PATIENCE)
    shoot(page, "home")

    week_ago = datetime.now(UTC) - timedelta(days=7)
    page.goto(f"{hub.url}/console/schedules/calendar?day={week_ago:%Y-%m-%d}")
    shoot(page, "calendar")

    with bundled_api() as shop:
        text = recipe(shop)
        page.goto(f"{hub.url}/console/sequences/new")
        editor = page.get_by_label("Sequence", exact=True)
        editor.fill(text)
        expect(page.locator("#editor-sequence-faults")).to_contain_text("No faults.")
        page.get_by_label("Name").fill("stock-report")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("#summary .state")).to_have_text("success", timeout=PATIENCE)
        page.reload()  # without the message
        expect(page.locator("[data-log-note]")).to_contain_text("lines", timeout=PATIENCE)
        expect(page.locator("#story")).to_contain_text("/echo", timeout=PATIENCE)
        expect(page.locator("#values")).to_contain_text("names", timeout=PATIENCE)
        shoot(page, "run")

    page.goto(f"{hub.url}/console/sequences/stored/stock-report/edit")
    editor.fill(text.replace('"timeout"', '"timeuot"'))
    page.locator("#editor-sequence-faults").get_by_role("button").click()  # the fault is brought into sight
    expect(page.locator(".editor-fault")).to_have_text('"timeuot": 10')
    shoot(page, "sequence-editor")

    with bundled_site() as site:
        page.goto(f"{hub.url}/console/extraction/look")
        page.get_by_label("Address").fill(f"{site}/")
        page.get_by_role("button", name="Look", exact=True).click()
        expect(page.locator("#sample")).to_contain_text("Book 1", timeout=PATIENCE)
        shoot(page, "extraction")

    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.goto(f"{hub.url}/")
    expect(page.locator("#charts")).to_contain_text("Runs that ended", timeout=PATIENCE)
    shoot(page, "home-phone")
