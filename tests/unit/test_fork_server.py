"""The fork server with small real programs: what they are, how they end, and what becomes of them when it dies."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from taskhub.embedded import CannotStart, ProcessRegister, ProgramSpec
from taskhub.embedded.process_registry import MARK, session_of
from taskhub.start.fork_client import ForkClient
from taskhub.start.supervisor import Backoff, Child, ProgramRun
from tests.hub import ROOT
from tests.yard import PATIENCE, POLITE, Yard, run_in_yard, stop_politely

Run = Callable[[Callable[["Forks"], Awaitable[None]]], Yard]
LOAD = "import os\npid = 0\ndef load():\n    global pid\n    pid = os.getpid()\n"
FOREVER = "import time; print('up', flush=True); time.sleep(600)"


class Forks:
    """A yard with a fork server, which has loaded the module `loaded`."""

    def __init__(self, yard: Yard) -> None:
        self.yard, self.heard = yard, yard.heard
        environment = {**os.environ, "PYTHONPATH": str(yard.home), "PYTHONUNBUFFERED": "1"}
        self.spec = ProgramSpec("fork-server", [], ROOT, environment)
        self.client = ForkClient(self.spec, "loaded", yard.register, yard.heard)

    def program(self, name: str, code: str, *arguments: str) -> ProgramSpec:
        (self.yard.home / f"{name}.py").write_text(code)
        argv = [sys.executable, "-m", name, *arguments]
        return replace(self.spec, name=name, argv=argv, cwd=self.yard.home)

    def child(self, name: str, code: str) -> Child:
        program = self.program(name, code)
        return Child(program, self.yard.register, self.heard, backoff=Backoff(first=0.01), launch=self.client.launch)

    async def run(self, program: ProgramSpec) -> tuple[int, list[str]]:
        """Its exit code, and what it said."""
        lines: list[str] = []
        run = ProgramRun(program, self.yard.register, lines.append, self.client.launch)
        await run.start()
        return await run.complete(), lines

    @property
    def server(self) -> psutil.Process:
        [entry] = [entry for entry in self.yard.register.read() if entry.name == "fork-server"]
        return psutil.Process(entry.pid)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a test's coroutine with a fork server; in the end nothing of it may live."""
    (tmp_path / "loaded.py").write_text(LOAD)

    async def main(test: Callable[[Forks], Awaitable[None]], yard: Yard) -> None:
        forks = Forks(yard)
        try:
            await test(forks)
        finally:
            await forks.client.stop()

    return lambda test: run_in_yard(tmp_path, partial(main, test))


SHOW = """
import json, os, signal, sys, threading
print("on stderr", file=sys.stderr)
print(json.dumps({
    "name": __name__,
    "argv": sys.argv[1:],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "leads": os.getsid(0) == os.getpid(),
    "input": sys.stdin.read(),
    "files": [int(n) for n in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{n}")],
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)],
    "threads": threading.active_count(),
}))"""


def test_a_forked_program_is_what_an_executed_one_is(run: Run) -> None:
    async def test(forks: Forks) -> None:
        program = forks.program("shown", SHOW, "--port", "8000")
        program = replace(program, environment={**program.environment, "OWN": "its own"})
        code, forked = await forks.run(program)
        executed = subprocess.run(
            program.argv,
            cwd=program.cwd,
            env={**program.environment, MARK: str(forks.yard.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            check=True,
        )
        assert (code, forked[0]) == (0, "on stderr")
        assert json.loads(forked[1]) == json.loads(executed.stdout)

    run(test)


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('a sentence')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(4)", 4),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_exit_code_is_told(run: Run, code: str, ends: int) -> None:
    async def test(forks: Forks) -> None:
        assert (await forks.run(forks.program("ending", code)))[0] == ends

    run(test)


def test_a_program_ends_as_the_interpreter_does(run: Run) -> None:
    code = """
import atexit, threading, time
atexit.register(print, "at exit")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()"""

    async def test(forks: Forks) -> None:
        assert await forks.run(forks.program("ending", code)) == (0, ["thread", "at exit"])

    run(test)


def test_programs_share_what_was_loaded_and_no_random_numbers(run: Run) -> None:
    code = """
import loaded, os, random, secrets, uuid_utils
print(loaded.pid == os.getppid(), random.random(), secrets.token_hex(), uuid_utils.uuid7())"""

    async def test(forks: Forks) -> None:
        program = forks.program("numbers", code)
        lines = [(await forks.run(program))[1][0].split() for _ in range(3)]
        assert [line[0] for line in lines] == ["True"] * 3
        assert len({number for line in lines for number in line[1:]}) == 9

    run(test)


def test_a_program_is_signalled_and_stopped(run: Run) -> None:
    run(lambda forks: stop_politely(forks.child("polite", POLITE), forks.heard))


def test_a_program_that_dies_is_forked_again(run: Run) -> None:
    async def test(forks: Forks) -> None:
        child = forks.child("shaky", "import os; print('pid', os.getpid()); raise SystemExit(3)")
        await forks.heard.hear("shaky", "pid", times=3)
        await child.stop()
        assert ("shaky", "ended with exit code 3; starting it again in 0.0 s") in forks.heard.lines

    run(test)


def test_the_programs_of_a_killed_fork_server_are_ended_and_started_again(run: Run) -> None:
    grandchild = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {FOREVER!r}])\n"

    async def test(forks: Forks) -> None:
        children = [forks.child(name, grandchild + FOREVER) for name in ("first", "second")]
        for name in ("first", "second"):
            await forks.heard.hear(name, "up", times=2)
        before = {entry.name: entry.pid for entry in forks.yard.register.read()}
        forks.server.kill()
        for name in ("first", "second"):
            await forks.heard.hear(name, "up", times=4)
        await forks.heard.hear("fork-server", "was ended by SIGKILL")
        after = {entry.name: entry.pid for entry in forks.yard.register.read()}
        assert not before.items() & after.items()
        assert not [process for pid in before.values() for process in session_of(pid)]
        for child in children:
            await child.stop()

    run(test)


def test_the_fork_server_ends_with_its_supervisor_and_its_programs_are_found(tmp_path: Path) -> None:
    (tmp_path / "loaded.py").write_text(LOAD)
    (tmp_path / "lasting.py").write_text(FOREVER)
    supervisor = f"""
import asyncio, os, sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}]
from tests.unit.test_fork_server import FOREVER, Forks
from tests.yard import Yard

async def main():
    forks = Forks(Yard(Path({str(tmp_path)!r})))
    child = forks.child("lasting", FOREVER)
    await forks.heard.hear("lasting", "up")
    print("ready", flush=True)
    await child.task

asyncio.run(main())"""
    with subprocess.Popen([sys.executable, "-c", supervisor], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        entries = {entry.name: psutil.Process(entry.pid) for entry in ProcessRegister(tmp_path).read()}
        process.kill()
    gone, _ = psutil.wait_procs([entries["fork-server"]], PATIENCE)
    assert gone == [entries["fork-server"]]
    [left] = ProcessRegister(tmp_path).leftovers()
    assert left == entries["lasting"]
    (tmp_path / "processes.json").unlink()
    assert ProcessRegister(tmp_path).leftovers() == [left], "It carries the mark, too."
    left.kill()


@pytest.mark.parametrize(
    ("load", "sentence", "told"),
    [
        ("from taskhub.embedded import CannotStart\ndef load(): raise CannotStart('It is wrong.')", "It is wrong.", ""),
        ("def load(): 1 / 0", "The hub's code cannot be loaded.", "ZeroDivisionError"),
        ("import os\ndef load(): os._exit(0)", "The hub's code cannot be loaded.", ""),
    ],
)
def test_code_that_cannot_be_loaded_is_told(run: Run, tmp_path: Path, load: str, sentence: str, told: str) -> None:
    (tmp_path / "loaded.py").write_text(load)

    async def test(forks: Forks) -> None:
        with pytest.raises(CannotStart) as refusal:
            await forks.client.await_loaded()
        assert str(refusal.value) == sentence
        assert any(told in line for _, line in forks.heard.lines) == bool(told)

    run(test)


def test_code_that_starts_threads_is_not_forked(run: Run, tmp_path: Path) -> None:
    thread = "import threading, time\ndef load(): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    (tmp_path / "loaded.py").write_text(thread)

    async def test(forks: Forks) -> None:
        program = forks.program("own", "import sys; print('loaded' in sys.modules)")
        assert await forks.run(program) == (0, ["False"])
        await forks.heard.hear("fork-server", "the code has 2 threads once it is loaded")

    run(test)


def test_a_program_that_cannot_be_forked_at_present_is_forked_later(run: Run, tmp_path: Path) -> None:
    """As where the system has too many processes. The others go on."""
    (tmp_path / "loaded.py").write_text("""
import errno, os
fork, refusals = os.fork, [1, 2]
def fork_later():
    if os.path.exists(os.environ['PYTHONPATH'] + '/crowded') and refusals:
        raise OSError(errno.EAGAIN, str(refusals.pop()))
    return fork()
def load():
    os.fork = fork_later
""")

    async def test(forks: Forks) -> None:
        first = forks.child("first", FOREVER)
        await forks.heard.hear("first", "up")
        (tmp_path / "crowded").touch()
        second = forks.child("second", FOREVER)
        await forks.heard.hear("second", "cannot be forked: Resource temporarily unavailable", times=2)
        await forks.heard.hear("second", "up")
        assert [line for line in forks.heard.lines if line[0] == "first"] == [("first", "up")]
        await first.stop()
        await second.stop()

    run(test)


def test_the_supervisor_loads_no_django() -> None:
    code = "import manage, sys; print({'django', 'celery', 'psycopg', 'redis'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
