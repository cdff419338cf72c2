"""Tests that never end, for test_interruption.py; by its name this file is none of the suite's."""

import os
import time
from pathlib import Path

import pytest

from tests.hub import Hub
from tests.integration.test_interruption import FLAG


@pytest.mark.parametrize("number", [1, 2])
def test_endless(hub: Hub, number: int) -> None:
    Path(os.environ[FLAG]).touch()
    time.sleep(600)
