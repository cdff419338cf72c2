"""The lines of a text are those that a browser has."""

from playwright.sync_api import Browser

from tests.unit.test_visible_text import TEXTS


def test_lines_are_the_inner_text(browser: Browser) -> None:
    known = {name: (content, lines) for name, (content, _, lines) in TEXTS.items() if lines is not None}
    page = browser.new_page()
    page.set_content("".join(f"<section>{content}</section>" for content, _ in known.values()))
    shown = page.evaluate("[...document.querySelectorAll('body > section')].map(one => one.innerText)")
    assert dict(zip(known, shown, strict=True)) == {name: lines for name, (_, lines) in known.items()}
