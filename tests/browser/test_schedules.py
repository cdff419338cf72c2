"""The form of schedules, in a real browser on a running hub: a documented sequence from the form to its steps."""

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.sessions import sign_in
from tests.browser.test_pages import PATIENCE
from tests.document_sequences import Printed
from tests.hub import Hub

pytestmark = pytest.mark.slow


def add_interval(page: Page, hub: Hub) -> str:
    """Every minute; its label."""
    page.goto(f"{hub.url}/admin/django_celery_beat/intervalschedule/add/")
    page.get_by_label("Number of Periods").fill("1")
    page.get_by_label("Interval Period").select_option("minutes")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was added")
    return "every minute"


def test_a_documented_sequence_from_the_form_to_its_steps(visit: Visit, hub: Hub) -> None:
    page, printed, name = visit.page, Printed(hub, "sequence_v2.jsonc"), f"nightly {uuid4().hex}"
    sign_in(page, hub, hub.admin.email)
    label = add_interval(page, hub)

    page.goto(f"{hub.url}/admin/django_celery_beat/periodictask/add/")
    page.get_by_label("Name:").fill(name)
    page.get_by_label("Task:").select_option("sequences.tasks.ScheduledSequence")
    page.get_by_text("Arguments of sequences.tasks.ScheduledSequence").click()
    expect(page.get_by_text("// ! == current index :: default 0")).to_be_visible()
    page.locator(".field-interval .select2-selection").click()
    page.get_by_role("option", name=label, exact=True).click()
    page.get_by_label("Arguments:").fill(printed.text.replace('"or": [', '"xor": [', 1))
    page.get_by_role("button", name="Save and continue editing").click()
    fault = page.locator(".field-arguments .errorlist")
    expect(fault).to_contain_text("requests[1].__def_loop__.filter[0]")

    page.get_by_label("Arguments:").fill(printed.with_master(hub.admin.id))
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")
    expect(page.locator(".field-following .readonly > div")).to_have_count(5)
    expect(page.locator(".field-owner .readonly")).to_have_text(hub.admin.email)
    expect(page.get_by_label("Arguments:")).to_have_value(re.compile("// optional if you just want"))

    page.get_by_role("button", name="Run now").click()
    page.get_by_role("button", name="Yes, I").click()
    expect(page.locator(".field-schedule .readonly")).to_have_text(name)
    run = page.locator(".field-id .readonly").inner_text()
    ended = hub.admin.get("/js/walker_queue_wait", {"task_id": run, "timeout": 60}).json()
    assert ended["state"] == "SUCCESS", ended
    printed.check_result(ended["result"])
    page.reload()
    page.locator(".field-more").get_by_role("link", name="steps", exact=True).click()
    expect(page.locator("tbody tr[aria-level='2']").first).to_contain_text("__def_loop__[0]")
    expect(page.locator("tbody tr[aria-level='1'] a").last).to_have_text("requests[3]")
    page.get_by_role("link", name="In time").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(8)
    expect(page.locator("#result_list tbody tr .field-path").last).to_have_text("requests[3]")

    page.goto(f"{hub.url}/admin/django_celery_beat/periodictask/?q={name}")
    row = page.locator("#result_list tbody tr")
    expect(row.locator(".field-last_state")).to_have_text("SUCCESS", timeout=PATIENCE)
    row.get_by_role("link", name=name).click()
    expect(page.locator(".field-latest table")).to_contain_text("by hand")
    assert hub.admin.post("/js/delete_scheduled_queue", {"name": name}).status_code == 200
    assert (visit.strange_urls(hub.url), visit.troubles) == ([], [])
