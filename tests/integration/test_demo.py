"""`manage.py demo` as a newcomer runs it, and what is left when it ends: nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import psutil
import pytest
from django.core.management import CommandError, call_command

from taskhub.demo import tour
from taskhub.demo.chapters import CHAPTERS
from taskhub.management.commands import demo
from tests.hub import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("starts"), pytest.mark.timeout(300)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the demonstration may put its home. The servers' account can reach it, as it can /tmp."""
    with TemporaryDirectory(prefix="demo-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo"],
        cwd=ROOT,
        env=environment(folder) | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT / "client" / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_over(folder: Path) -> list[object]:
    """Files in the folder, and processes that were started for a home in it."""
    found: list[object] = list(folder.rglob("*"))
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TASKHUB_HOME", "").startswith(f"{folder}/"):
                found.append(process)
    return found


def test_shows_every_chapter_and_leaves_nothing(folder: Path) -> None:
    with start(folder) as running:
        output, _ = running.communicate()

    assert running.returncode == 0, output
    titles = [f"{number}. {chapter.__doc__}" for number, chapter in enumerate(CHAPTERS, 1)]
    assert [line for line in output.splitlines() if line[0].isdigit()] == titles
    assert "2 of 3, awake\n" in output
    assert "ten minutes: REVOKED" in output
    assert output.splitlines()[-1].startswith("All went well")
    assert left_over(folder) == []


def test_leaves_nothing_when_it_is_ended_in_the_middle(folder: Path) -> None:
    with start(folder) as running:
        assert running.stdout is not None
        said = next((line for line in running.stdout if line.startswith("1. ")), "")
        assert left_over(folder)
        running.send_signal(signal.SIGTERM)
        running.communicate()

    assert said
    assert running.returncode == 1
    assert left_over(folder) == []


class Broken(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(500)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the output of the tests clean."""


@pytest.fixture
def broken_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In place of the hub, a server that fails at everything."""

    @contextmanager
    def broken(tail: object) -> Iterator[str]:
        with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    monkeypatch.setattr(tour, "running_hub", broken)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_says_what_went_wrong_and_exits_with_one(broken_hub: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match=r"The demonstration failed: .*500") as failure:
        call_command("demo")

    assert failure.value.returncode == 1
    assert "All went well" not in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["taskhub_client", "httpx"])
def test_without_the_client_it_says_what_brings_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(CommandError, match="make demo"):
        call_command("demo")
