"""`make bench` measures what it says. How fast anything is, is no test's business."""

import subprocess
import sys
from typing import Any

import pytest

from tests.benchmarks import request_rows
from tests.benchmarks.__main__ import ROWS, Table, main
from tests.benchmarks.row import Measured, Row
from tests.benchmarks.stage import stage_on
from tests.hub import ROOT, Hub

NAMES = [
    "submit",
    "batch",
    "batch, procrastinate",
    "sync",
    "drain",
    "wait",
    "many waits",
    "logging",
    "queue_check",
    "sequence",
    "sequences at once",
    "parallel",
    "schedules",
    "upload small",
    "upload large",
    "again",
    "upload memory",
    "export",
    "changes",
    "delete task",
    "extract list",
    "list, Scrapy",
    "list, Crawlee",
    "extract details",
    "details, Scrapy",
    "details, Crawlee",
    "extract next",
    "extract cost",
    "extract memory",
    "two workers",
    "rendered",
    "webhooks",
    "xlsx",
    "interpreter",
    "first views",
    "start",
    "idle",
]


def test_the_rows_have_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert [row.name for row in ROWS] == NAMES
    assert main(["nonsense"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)


def test_a_row_is_measured_against_its_floor_on_a_running_hub(hub: Hub) -> None:
    measured = request_rows.sync(stage_on(hub.url, hub.home, slices=1, seconds=0.1, clients=2))
    assert measured.floor
    assert measured.ours > 0
    assert measured.value == measured.ours / measured.floor


@pytest.mark.parametrize(
    ("sense", "bar", "holds"), [(">=", 0.5, True), (">=", 0.6, False), ("<=", 0.5, True), ("<=", 0.4, False)]
)
def test_the_table_says_whether_a_bar_holds(
    sense: Any, bar: float, holds: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("name", "what", "floor", sense, bar, request_rows.sync)
    cells = row.cells(Measured(1000.0, 500.0, "/s"))
    assert cells[3:] == ("1,000 /s", "500 /s", "0.50", f"{sense} {bar:g}", "holds" if holds else "falls short")
    Table([row]).show(cells)
    assert [line.count("|") for line in capsys.readouterr().out.splitlines()] == [0, 9, 9, 9]


def test_a_bar_without_a_floor_is_in_seconds() -> None:
    row = Row("start", "what", "", "<=", 10, request_rows.sync)
    assert row.cells(Measured(None, 7.5, "s"))[3:] == ("", "7.50 s", "", "<= 10 s", "holds")


def test_memory_is_that_of_the_process_itself() -> None:
    """Not of the large one that it was forked from."""
    ballast = b"x" * (300 * 2**20)
    code = "from tests.benchmarks.peers.memory import peak_mib; print(peak_mib())"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(ballast) / 2**20 > float(said) > 1
