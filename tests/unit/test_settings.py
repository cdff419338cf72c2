"""Settings that do not go together stop the start, with a sentence that names them."""

import os
import subprocess
import sys

from taskhub.programs import WEB_THREADS
from tests.hub import ROOT


def start(**variables: str) -> str:
    """What a process says that reads the settings."""
    environ = {
        **os.environ,
        "TASKHUB_SECRET_KEY": "x" * 50,
        "DATABASE_URL": "postgres:///none",
        "REDIS_URL": "redis://x",
    }
    read = [sys.executable, "-c", "import taskhub.settings; print('fine')"]
    return subprocess.run(
        read, cwd=ROOT, env=environ | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout.splitlines()[-1]


def test_walks_leave_connections_for_the_other_calls() -> None:
    assert start(TASKHUB_DATABASE_POOL="13") == "fine"
    refusal = start(TASKHUB_DATABASE_POOL="12")
    assert "ImproperlyConfigured: TASKHUB_WALKS_AT_ONCE (12) must be less than TASKHUB_DATABASE_POOL (12)" in refusal
    assert start(TASKHUB_DATABASE_POOL="0", TASKHUB_WALKS_AT_ONCE="100") == "fine"


def test_waits_leave_threads_for_the_other_calls() -> None:
    assert start(TASKHUB_OPEN_WAITS_MAX=str(WEB_THREADS - 1)) == "fine"
    refusal = start(TASKHUB_OPEN_WAITS_MAX=str(WEB_THREADS))
    assert f"ImproperlyConfigured: TASKHUB_OPEN_WAITS_MAX must be less than {WEB_THREADS}" in refusal
