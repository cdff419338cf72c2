"""Supervision with small real programs: no database, no broker."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.embedded import ProcessRegister, ProgramSpec
from taskhub.embedded.process_registry import MARK, end, session_of
from taskhub.start.supervisor import LONGEST_LINE, Backoff, Child, OutputLines, Printer, describe, stop_in_order
from tests.yard import PATIENCE, POLITE, Yard, run_in_yard, stop_politely

FOREVER = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Yard], Awaitable[None]]], Yard]:
    return partial(run_in_yard, tmp_path)


# Pure parts


def test_backoff_doubles_up_to_its_ceiling_and_starts_anew_after_health() -> None:
    backoff = Backoff(first=1, ceiling=5, healthy=10)
    assert [backoff.delay(0.1) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert [backoff.delay(10), backoff.delay(0.1)] == [1, 2]


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=200))
def test_backoff_stays_within_its_bounds(lives: list[float]) -> None:
    backoff = Backoff()
    assert all(backoff.first <= backoff.delay(lived) <= backoff.ceiling for lived in lives)


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])), max_size=20), st.data())
def test_lines_come_out_whole_however_the_stream_is_cut(texts: list[str], data: st.DataObject) -> None:
    stream = "\n".join(texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    lines, found = OutputLines(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += lines.feed(stream[start:stop])
    assert found + lines.flush() == (texts if texts and texts[-1] else texts[:-1])


def test_a_line_without_end_is_passed_on_in_pieces() -> None:
    lines = OutputLines()
    assert lines.feed(b"x" * LONGEST_LINE) == []
    assert lines.feed(b"y") == ["x" * LONGEST_LINE + "y"]
    assert lines.flush() == []


def test_ends_are_described() -> None:
    assert describe(3) == "ended with exit code 3"
    assert describe(-9) == "was ended by SIGKILL"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_name_their_program_and_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        Printer(stream)("web", "hello")
    assert plain.getvalue() == "web | hello\n"
    assert terminal.getvalue() == "\033[36mweb\033[0m | hello\n"
    monkeypatch.setenv("NO_COLOR", "1")
    Printer(bare := Terminal())("web", "hello")
    assert bare.getvalue() == "web | hello\n"


def test_a_reader_that_went_away_harms_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:
        write = Printer(stream)
        write("web", "hello")
        write("web", "again")
        assert os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))


# Children


def test_a_child_that_dies_is_started_again(run: Callable[..., Yard]) -> None:
    async def test(yard: Yard) -> None:
        child = yard.child("shaky", "import os; print('pid', os.getpid()); raise SystemExit(3)")
        await yard.heard.hear("shaky", "pid", times=3)
        await child.stop()

    yard = run(test)
    assert ("shaky", "ended with exit code 3; starting it again in 0.0 s") in yard.heard.lines
    assert len({line for _, line in yard.heard.lines if line.startswith("pid")}) >= 3


def test_it_is_prepared_before_it_is_started_again(run: Callable[..., Yard]) -> None:
    async def test(yard: Yard) -> None:
        healed = yard.program("server", FOREVER)
        child = Child(
            yard.program("server", "raise SystemExit(1)"),
            yard.register,
            yard.heard,
            lambda: healed,
            Backoff(first=0.01),
        )
        await yard.heard.hear("server", "up")
        await child.stop()
        assert child.program is healed

    run(test)


def test_a_program_that_cannot_be_started_is_told_and_tried_again(run: Callable[..., Yard]) -> None:
    async def test(yard: Yard) -> None:
        absent = ProgramSpec("absent", [str(yard.home / "no such program")], yard.home, {})
        child = Child(absent, yard.register, yard.heard, backoff=Backoff(first=0.01))
        assert "No such file" in await yard.heard.hear("absent", "starting it again", times=2)
        assert child.fallen
        await child.stop()

    run(test)


def test_a_program_is_kept_while_the_register_cannot_be_written(run: Callable[..., Yard]) -> None:
    async def test(yard: Yard) -> None:
        obstacle = yard.home / "processes.draft"
        obstacle.mkdir()
        child = yard.child("worker", FOREVER)
        for times in range(1, 4):
            await yard.heard.hear("worker", "up", times)
            assert child.process is not None
            assert [left.pid for left in ProcessRegister(yard.home).leftovers()] == [child.process.pid]
            child.process.send_signal(signal.SIGKILL)
        await yard.heard.hear("worker", "up", 4)
        obstacle.rmdir()
        assert child.process is not None
        child.process.send_signal(signal.SIGKILL)
        await yard.heard.hear("worker", "up", 5)
        assert [entry.pid for entry in ProcessRegister(yard.home).read()] == list(yard.register.entries)
        await child.stop()

    run(test)


def test_a_program_is_ended_when_its_keeper_fails(run: Callable[..., Yard], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no room")

    async def test(yard: Yard) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(ProcessRegister, "record", fail)
            child = yard.child("worker", FOREVER)
            await yard.heard.hear("worker", "no room", times=3)
        async with asyncio.timeout(PATIENCE):
            while not yard.register.entries:
                await asyncio.sleep(0.01)
        assert [left.pid for left in ProcessRegister(yard.home).leftovers()] == list(yard.register.entries)
        await child.stop()

    run(test)


def test_stop_lets_a_child_finish(run: Callable[..., Yard]) -> None:
    run(lambda yard: stop_politely(yard.child("polite", POLITE), yard.heard))


def test_a_child_that_ignores_its_signals_is_killed(run: Callable[..., Yard]) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(600)"

    async def test(yard: Yard) -> None:
        child = yard.child("deaf", code, (signal.SIGTERM, 0.1))
        await yard.heard.hear("deaf", "up")
        await child.stop()
        assert isinstance(child.process, Process)
        assert child.process.returncode == -signal.SIGKILL

    run(test)


def test_a_cold_stop_does_not_wait_for_work(run: Callable[..., Yard]) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('busy')); print('up'); time.sleep(600)"

    async def test(yard: Yard) -> None:
        cold = asyncio.Event()
        child = yard.child("busy", code + "; time.sleep(600)", (signal.SIGTERM, 600.0))
        await yard.heard.hear("busy", "up")
        stopping = asyncio.create_task(child.stop(cold))
        await yard.heard.hear("busy", "busy")
        cold.set()
        await asyncio.wait_for(stopping, PATIENCE)

    run(test)


def test_a_child_is_stopped_while_it_waits_to_be_started_again(run: Callable[..., Yard]) -> None:
    async def test(yard: Yard) -> None:
        child = Child(
            yard.program("gone", "raise SystemExit(1)"), yard.register, yard.heard, backoff=Backoff(600, 600, 600)
        )
        await yard.heard.hear("gone", "starting it again in 600.0 s")
        await asyncio.wait_for(child.stop(), PATIENCE)

    run(test)


def test_grandchildren_do_not_outlive_their_leader(run: Callable[..., Yard]) -> None:
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-u", "-c", {FOREVER!r}], stdout=subprocess.PIPE)
child.stdout.readline(); print("grandchild", child.pid); sys.stdin.read(); raise SystemExit(0)"""

    async def test(yard: Yard) -> None:
        child = yard.child("parent", code)
        pid = int((await yard.heard.hear("parent", "grandchild")).split()[1])
        await yard.heard.hear("parent", "starting it again")
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        await child.stop()

    run(test)


def test_groups_end_one_after_the_other(run: Callable[..., Yard]) -> None:
    code = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.1), print("down"), sys.exit()))
print("up"); time.sleep(600)"""

    async def test(yard: Yard) -> None:
        names = ("beat", "web", "a", "b", "redis")
        children = {name: yard.child(name, code) for name in names}
        for name in names:
            await yard.heard.hear(name, "up")
        await stop_in_order(
            [[children["beat"]], [children["web"]], [children["a"], children["b"]], [children["redis"]]]
        )

    yard = run(test)
    down = [name for name, line in yard.heard.lines if line == "down"]
    assert down[:2] == ["beat", "web"]
    assert down[4:] == ["redis"]


# What a killed supervisor leaves


def start(home: Path, code: str, *, mark: str) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-u", "-c", code]
    environment = {**os.environ, MARK: mark}
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.stdout.close()
    return process


def write_register(home: Path, process: "subprocess.Popen[bytes]", started: float) -> None:
    (home / "processes.json").write_text(json.dumps([{"name": "web", "pid": process.pid, "started": started}]))


def test_leftovers_are_found_by_pid_and_start_time(tmp_path: Path) -> None:
    with start(tmp_path, FOREVER, mark="elsewhere") as process:
        try:
            write_register(tmp_path, process, psutil.Process(process.pid).create_time())
            assert [found.pid for found in ProcessRegister(tmp_path).leftovers()] == [process.pid]
        finally:
            process.kill()


def test_a_stranger_with_a_recycled_pid_is_left_alone(tmp_path: Path) -> None:
    with start(tmp_path, FOREVER, mark="elsewhere") as process:
        try:
            write_register(tmp_path, process, psutil.Process(process.pid).create_time() - 3600)
            assert ProcessRegister(tmp_path).leftovers() == []
        finally:
            process.kill()


def test_leftovers_are_found_by_their_mark_when_their_leader_is_gone(tmp_path: Path) -> None:
    orphan = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {FOREVER!r}])"""
    with start(tmp_path, orphan, mark=str(tmp_path)) as process:
        process.wait()
    [found] = ProcessRegister(tmp_path).leftovers()
    assert os.getsid(found.pid) == process.pid
    end([found], ((signal.SIGTERM, PATIENCE),))
    assert session_of(process.pid) == []


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"pid": "x"}]', '{"pid": 1}', "null"])
def test_a_damaged_register_leaves_everybody_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "processes.json").write_text(text)
    assert ProcessRegister(tmp_path).leftovers() == []
