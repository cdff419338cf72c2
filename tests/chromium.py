"""Chromium for tests that cannot do without one."""

from extraction.fetch.browser import executable, why_no_browser
from tests.requirements import miss


def required() -> str:
    """Its program. Where there is none the test is skipped, and says why; or fails, where nothing may be skipped."""
    if words := why_no_browser():
        miss(words)
    return executable()
