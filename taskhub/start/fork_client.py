"""The fork server as the supervisor sees it: starts it, has it fork programs, and hears of their ends."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, replace

from taskhub.embedded import CannotStart, ProcessRegister, ProgramSpec
from taskhub.start.fork_server import Request
from taskhub.start.supervisor import ProgramRun, RunningProgram, Write, describe, execute

STOP_SECONDS = 5.0
UNKNOWN_END = -signal.SIGKILL  # of a program whose fork server died: the supervisor ends it then


@dataclass(frozen=True)
class ForkedProgram:
    """A program that the fork server forked. `ended` gets its exit code."""

    pid: int
    ended: "asyncio.Future[int]"

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)

    def send_signal(self, number: int, /) -> None:
        if self.ended.done():
            raise ProcessLookupError
        os.kill(self.pid, number)


class ForkServerProcess:
    """One process of the fork server, which loads the code with `load()` of a module."""

    def __init__(self, program: ProgramSpec, module: str, register: ProcessRegister, write: Write) -> None:
        self._module, self._register, self._write = module, register, write
        self._run = ProgramRun(program, register, self._hear, self._execute)
        self._requests, self._incoming = socket.socketpair()
        self._reports, self._outgoing = os.pipe()
        self._lines: list[str] = []  # of its output, while it loads
        self._loaded: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._forked: asyncio.Queue[ForkedProgram | OSError] = asyncio.Queue()
        self._programs: dict[int, ForkedProgram] = {}
        self._turn = asyncio.Lock()
        self._is_loaded = self._stopping = False

    async def load(self) -> int:
        """Starts the process; the number of its threads once it has loaded the code. Raises `CannotStart`."""
        self._reading = asyncio.create_task(self._read())
        try:
            await self._run.start()
        finally:
            self._incoming.close()
            os.close(self._outgoing)
        self._completion = asyncio.create_task(self._complete())
        threads = await self._loaded
        if threads is None:
            code = await self._completion
            sentence = self._lines.pop() if code == 2 and self._lines else "The hub's code cannot be loaded."
            self._tell_lines()
            raise CannotStart(sentence)
        self._is_loaded = True
        self._tell_lines()
        return threads

    async def fork(self, program: ProgramSpec, output: int) -> ForkedProgram:
        """Forks the program, which must be `python -m`. Raises `OSError` if it cannot, or is not there."""
        module, *arguments = program.argv[2:]
        environment = self._register.options(program)["env"]
        request = Request(program.name, module, arguments, str(program.cwd), environment)
        async with self._turn:
            socket.send_fds(self._requests, [json.dumps(request._asdict()).encode() + b"\n"], [output])
            forked = await self._forked.get()
        if isinstance(forked, OSError):
            raise forked
        return forked

    @property
    def has_ended(self) -> bool:
        return self._reading.done()

    async def stop(self) -> None:
        """Lets the process end. Programs that still run are left alone."""
        self._stopping = True
        self._requests.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._completion), STOP_SECONDS)
            return
        self._run.signal(signal.SIGKILL)
        await self._completion

    async def _complete(self) -> int:
        code = await self._run.complete()
        await self._reading
        self._requests.close()
        if self._is_loaded and not self._stopping:
            self._write(self._run.program.name, f"{describe(code)}, and its programs with it")
        return code

    async def _execute(self, program: ProgramSpec, output: int) -> RunningProgram:
        descriptors = self._incoming.fileno(), self._outgoing
        argv = [sys.executable, "-m", "taskhub.start.fork_server", self._module, *map(str, descriptors)]
        return await execute(replace(program, argv=argv), output, self._register, pass_fds=descriptors)

    def _hear(self, line: str) -> None:
        if self._is_loaded:
            self._write(self._run.program.name, line)
        else:
            self._lines.append(line)

    def _tell_lines(self) -> None:
        for line in self._lines:
            self._write(self._run.program.name, line)

    async def _read(self) -> None:
        """Reads what the process reports. Its end is the end of all its programs: nobody hears of theirs any more."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._reports, "rb")
        )
        try:
            while line := await reader.readline():
                self._note(json.loads(line))
        finally:
            transport.close()
            if not self._loaded.done():
                self._loaded.set_result(None)
            self._forked.put_nowait(ConnectionResetError("the fork server ended"))
            for program in self._programs.values():
                program.ended.set_result(UNKNOWN_END)

    def _note(self, report: dict[str, int]) -> None:
        match report:
            case {"loaded": threads}:
                self._loaded.set_result(threads)
            case {"forked": pid}:
                self._programs[pid] = program = ForkedProgram(pid, asyncio.get_running_loop().create_future())
                self._forked.put_nowait(program)
            case {"refused": number}:
                self._forked.put_nowait(OSError(number, f"cannot be forked: {os.strerror(number)}"))
            case {"ended": pid, "code": code}:
                self._programs.pop(pid).ended.set_result(code)


class ForkClient:
    """Keeps a fork server, and launches programs through it. The code is being loaded from the beginning."""

    def __init__(self, program: ProgramSpec, module: str, register: ProcessRegister, write: Write) -> None:
        self._program, self._module, self._register, self._write = program, module, register, write
        self._starting = asyncio.create_task(self._start())

    async def await_loaded(self) -> None:
        """Raises `CannotStart` if the code cannot be loaded."""
        await self._starting

    async def launch(self, program: ProgramSpec, output: int) -> RunningProgram:
        """Forks the program, or executes it where the loaded code cannot be forked.

        A fork server that died is started again. Raises `CannotStart` or `OSError`.
        """
        if self._starting.done() and self._is_lost(self._starting):
            self._starting = asyncio.create_task(self._start())
        server = await asyncio.shield(self._starting)
        if server is None:
            return await execute(program, output, self._register)
        return await server.fork(program, output)

    async def stop(self) -> None:
        with suppress(CannotStart, OSError):
            if server := await self._starting:
                await server.stop()

    async def _start(self) -> ForkServerProcess | None:
        server = ForkServerProcess(self._program, self._module, self._register, self._write)
        threads = await server.load()
        if threads == 1:
            return server
        await server.stop()
        told = f"the code has {threads} threads once it is loaded, so that it cannot be forked"
        self._write(self._program.name, f"{told}: each program loads it for itself")
        return None

    @staticmethod
    def _is_lost(starting: "asyncio.Task[ForkServerProcess | None]") -> bool:
        if starting.exception():
            return True
        server = starting.result()
        return server is not None and server.has_ended
