"""Chromium for tests that cannot do without one."""

import os

import pytest

from extraction.fetch.browser import executable, why_no_browser


def required() -> str:
    """Its program. Where there is none the test is skipped, and says why; or fails, where nothing may be skipped."""
    if words := why_no_browser():
        if os.environ.get("TASKHUB_TEST_NO_SKIPS") == "1":
            pytest.fail(words, pytrace=False)
        pytest.skip(words)
    return executable()
