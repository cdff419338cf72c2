"""Keeps programs running: starts them, passes on their output, restarts them, and ends them in order.

It knows nothing of what it runs, nor of Django, and works on the running event loop.
"""

import asyncio
import json
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from taskhub.embedded import CannotStart, ProcessRegister, ProgramSpec, end_session
from taskhub.security.log_lines import escape_controls

Write = Callable[[str, str], None]  # name of a program, one line of its output
LONGEST_LINE = 64 * 1024  # bytes; a longer one is passed on in pieces
COLOURS = (36, 33, 32, 35, 34, 31)


@dataclass
class Backoff:
    """The delay before a restart: it doubles while the program keeps failing, and is reset by a healthy run."""

    first: float = 0.2
    ceiling: float = 10.0
    healthy: float = 10.0
    falls: int = 0

    def delay(self, lived: float) -> float:
        """The delay, in seconds, after a program that ran for `lived` seconds."""
        self.falls = 0 if lived >= self.healthy else self.falls
        self.falls += 1
        return min(self.first * 2.0 ** min(self.falls - 1, 32), self.ceiling)


@dataclass
class OutputLines:
    """Cuts a stream of bytes into lines of text."""

    rest: bytes = b""

    def feed(self, data: bytes) -> list[str]:
        *whole, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LONGEST_LINE:
            whole, self.rest = [*whole, self.rest], b""
        return [_text(line) for line in whole]

    def flush(self) -> list[str]:
        rest, self.rest = self.rest, b""
        return [_text(rest)] if rest else []


class Printer:
    """Writes lines with the name of their program, coloured on a terminal only.

    `as_json`: each is an object of JSON, with its program as `program`; one that is none is the `message` of one.
    """

    def __init__(self, stream: TextIO, *, as_json: bool = False) -> None:
        self.stream = stream
        self.as_json = as_json
        self.coloured = stream.isatty() and "NO_COLOR" not in os.environ
        self.colours: dict[str, int] = {}

    def __call__(self, name: str, line: str) -> None:
        try:
            text = _json_line(name, line) if self.as_json else f"{self.prefix(name)} | {escape_controls(line)}"
            self.stream.write(f"{text}\n")
            self.stream.flush()
        except BrokenPipeError:  # the reader is gone; the hub goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        except OSError:  # the terminal is gone, or the disk is full for now
            return

    def prefix(self, name: str) -> str:
        if not self.coloured:
            return name
        colour = self.colours.setdefault(name, COLOURS[len(self.colours) % len(COLOURS)])
        return f"\033[{colour}m{name}\033[0m"


def _json_line(program: str, line: str) -> str:
    """What a program says as one object of JSON."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):  # whatever it prints must not end the supervisor
        said = None
    return json.dumps({**(said if isinstance(said, dict) else {"message": line}), "program": program})


class RunningProgram(Protocol):
    """What the supervisor needs of a process; asyncio's `Process` is one."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int: ...

    def send_signal(self, signal: int, /) -> None: ...


Launch = Callable[[ProgramSpec, int], Awaitable[RunningProgram]]  # the descriptor is for the output


async def execute(
    program: ProgramSpec, output: int, register: ProcessRegister, pass_fds: Sequence[int] = ()
) -> RunningProgram:
    options = register.options(program)
    return await asyncio.create_subprocess_exec(*program.argv, stdout=output, pass_fds=pass_fds, **options)


@dataclass
class ProgramRun:
    """One run of a program, from its launch until its session is over. `hear` gets each line of its output.

    Whoever calls `start` has to call `complete`.
    """

    program: ProgramSpec
    register: ProcessRegister
    hear: Callable[[str], None]
    launch: Launch | None = None  # by default it is executed

    async def start(self) -> RunningProgram:
        reading, writing = os.pipe()
        self._pump = asyncio.create_task(self._pass_on(reading))
        try:
            launching = (
                self.launch(self.program, writing) if self.launch else execute(self.program, writing, self.register)
            )
            self._process = await launching
        finally:
            os.close(writing)
        return self._process

    async def complete(self) -> int:
        """The exit code, once the program has ended and whatever it left in its session, too."""
        pid = self._process.pid
        try:
            self.register.record(self.program.name, pid)
            return await self._process.wait()
        finally:  # whatever failed: a program that is not waited for would run beside the next one
            await asyncio.to_thread(end_session, pid)
            self.register.forget(pid)
            await asyncio.wait([self._pump], timeout=1)  # a daemon of its own may hold the pipe for ever
            self._pump.cancel()

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _pass_on(self, reading: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
        )
        lines = OutputLines()
        try:
            while data := await reader.read(LONGEST_LINE):
                self._show(lines.feed(data))
            self._show(lines.flush())
        finally:
            transport.close()

    def _show(self, lines: Iterable[str]) -> None:
        for line in lines:
            if not any(words in line for words in self.program.harmless):
                self.hear(line)


@dataclass
class Child:
    """One program that is kept running until `stop`. `prepare` is called before it is started again."""

    program: ProgramSpec
    register: ProcessRegister
    write: Write
    prepare: Callable[[], ProgramSpec] | None = None
    backoff: Backoff = field(default_factory=Backoff)
    launch: Launch | None = None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=3))
    process: RunningProgram | None = None

    def __post_init__(self) -> None:
        self._stopping = asyncio.Event()
        self.task = asyncio.create_task(self._keep(), name=self.program.name)

    @property
    def fallen(self) -> bool:
        """Whether the program ended by itself."""
        return self.backoff.falls > 0

    async def stop(self, cold: asyncio.Event | None = None) -> None:
        """Ends the program and its children; once `cold` is set, without waiting for their work."""
        self._stopping.set()
        for number, seconds in self.program.stop_signals:
            self._signal(number)
            if await self._ended(seconds, cold):
                break
            if cold and cold.is_set():
                break
        self._signal(signal.SIGKILL)
        await self.task

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            reason = await self._attempt()
            if self._stopping.is_set():
                return
            delay = self.backoff.delay(loop.time() - began)
            self.write(self.program.name, f"{reason}; starting it again in {delay:.1f} s")
            if await _wait_for(self._stopping, delay):
                return

    async def _attempt(self) -> str:
        """Runs the program once; returns how it ended, in words."""
        try:
            if self.fallen and self.prepare:
                self.program = await asyncio.to_thread(self.prepare)
            return "" if self._stopping.is_set() else describe(await self._run())
        except (CannotStart, OSError) as error:
            return str(error)
        except Exception as error:  # whatever it was: the hub needs this program
            return f"could not be run ({error!r})"

    async def _run(self) -> int:
        run = ProgramRun(self.program, self.register, self._hear, self.launch)
        self.process = await run.start()
        if self._stopping.is_set():  # `stop` came while it was being started, and had nobody to signal
            self._signal(self.program.stop_signals[0][0])
        return await run.complete()

    def _hear(self, line: str) -> None:
        self.tail.append(line)
        self.write(self.program.name, line)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self.process is not None:
                self.process.send_signal(number)

    async def _ended(self, seconds: float, cold: asyncio.Event | None) -> bool:
        waiter = asyncio.create_task((cold or asyncio.Event()).wait())
        done, _ = await asyncio.wait({self.task, waiter}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        return self.task in done


async def stop_in_order(groups: Sequence[Sequence[Child]], cold: asyncio.Event | None = None) -> None:
    """Ends one group after the other, the members of a group at once."""
    for group in groups:
        await asyncio.gather(*(child.stop(cold) for child in group))


def describe(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _text(line: bytes) -> str:
    return escape_controls(line.rstrip(b"\r").decode(errors="replace"))


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
