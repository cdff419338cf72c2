"""The editor of sequences in a real browser: what somebody sees while a sequence is written, tried and stored."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.sessions import sign_in
from tests.browser.test_console import check, troubles
from tests.browser.test_pages import PATIENCE
from tests.hub import Hub
from tests.integration.sequence_servers import bundled_api

pytestmark = pytest.mark.slow


def text_of(page: Page) -> str:
    return page.get_by_label("Sequence", exact=True).input_value()


def test_a_sequence_is_written_mended_tried_run_and_stored(visit: Visit, hub: Hub) -> None:
    page = visit.page
    sign_in(page, hub, hub.admin.email)
    page.goto(f"{hub.url}/console/sequences/new")
    editor, beside = page.get_by_label("Sequence", exact=True), page.locator("#beside")
    with bundled_api() as shop:
        editor.press("Control+a")
        page.keyboard.press("Delete")
        editor.press_sequentially(
            f'{{\n"requests": [\n{{"method": "GET", "url": "{shop}/users", "timeuot": 3}},\n'
            f'{{"method": "POST", "url": "{shop}/echo", "body": "{{{{$.data.0.name}}}}"'
        )
        assert json.loads(text_of(page))["requests"][1]["body"] == "{{$.data.0.name}}"  # with the brackets closed

        faults = page.locator("#editor-sequence-faults")
        expect(faults).to_contain_text("requests[0].timeuot")
        expect(faults.get_by_role("button")).to_have_text([f"Line 3, column {40 + len(shop)}"])
        expect(page.locator(".editor-fault")).to_have_text('"timeuot": 3')
        expect(page.locator(".editor-numbers b")).to_have_text("3")
        expect(editor).to_have_attribute("aria-invalid", "true")
        check(visit, "faulty")

        faults.get_by_role("button").click()
        page.keyboard.type('"timeout": 3')  # in place of what is marked
        expect(faults).to_contain_text("No faults.")
        expect(page.locator(".editor-fault")).to_have_count(0)

        keys = page.locator("#editor-sequence-keys")
        page.keyboard.type(", ")
        expect(keys).to_contain_text("save_to")
        page.keyboard.press("Control+Space")
        expect(keys.get_by_role("button").first).to_be_focused()
        keys.get_by_role("button", name="save_to", exact=True).click()
        page.keyboard.type("users")
        assert json.loads(text_of(page))["requests"][0]["save_to"] == "users"
        page.keyboard.press("Control+z")
        assert '"users"' not in text_of(page)
        page.keyboard.press("Control+Shift+z")

        page.get_by_role("button", name="Dry run").click()
        expect(beside).to_contain_text("It would send 2 requests")
        expect(beside).to_contain_text("$.data.0.name")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(beside.locator(".state")).to_have_text("success", timeout=PATIENCE)
        expect(beside).to_contain_text("Ada", timeout=PATIENCE)
        expect(beside.locator(".requests li")).to_have_count(2)
        check(visit, "tried")

        page.get_by_text("Begin with a recipe, or import").click()
        written = text_of(page)
        page.get_by_label("curl commands").fill("curl -L http://shop.example/imported")
        page.get_by_role("button", name="Import").click()
        imported = {"requests": [{"method": "GET", "url": "http://shop.example/imported"}]}
        expect(editor).to_have_value(json.dumps(imported, indent=2))
        page.keyboard.press("Control+z")
        expect(editor).to_have_value(written)

        editor.press("Escape")
        page.keyboard.press("Tab")
        expect(editor).not_to_be_focused()
        page.get_by_label("Name").fill("browser-test")
        page.get_by_role("button", name="Save", exact=True).click()
        page.wait_for_url(f"{hub.url}/console/sequences/stored/browser-test")
        expect(page.get_by_label("What it does")).to_have_value(written)
        check(visit, "stored")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete it").click()
        expect(page.get_by_text("browser-test is deleted.")).to_be_visible()
    assert (visit.strange_urls(hub.url), troubles(visit)) == ([], [])
