"""Programs that some tests need, and that not every machine has."""

import os
import shutil
from typing import NoReturn

import pytest


def miss(words: str) -> NoReturn:
    """Skips the test, and says what is missing; or fails it, where nothing may be skipped."""
    if os.environ.get("TASKHUB_TEST_NO_SKIPS") == "1":
        pytest.fail(words, pytrace=False)
    pytest.skip(words)


def required_program(name: str, words: str) -> str:
    """The path of a program; a test without it is missed."""
    return shutil.which(name) or miss(words)
