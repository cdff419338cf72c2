"""A place in which tests let a supervisor run small real programs."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from taskhub.embedded import ProcessRegister, ProgramSpec
from taskhub.start.supervisor import Backoff, Child

PATIENCE = 30.0  # seconds until a test that waits in vain fails
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("finished"), sys.exit()))
print("up"); time.sleep(600)"""


class Heard:
    """Everything the children said, and a way to wait for a line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._news.set()

    async def hear(self, name: str, word: str, times: int = 1) -> str:
        async with asyncio.timeout(PATIENCE):
            while len(found := [line for speaker, line in self.lines if speaker == name and word in line]) < times:
                self._news.clear()
                await self._news.wait()
        return found[-1]


class Yard:
    """A place for children: a register in a folder of its own, and their voices."""

    def __init__(self, home: Path) -> None:
        self.register = ProcessRegister(home)
        self.heard = Heard()
        self.home = home

    def program(self, name: str, code: str, *stop_signals: tuple[signal.Signals, float]) -> ProgramSpec:
        argv = [sys.executable, "-u", "-c", code]
        return ProgramSpec(
            name, argv, self.home, dict(os.environ), stop_signals=stop_signals or ((signal.SIGTERM, PATIENCE),)
        )

    def child(self, name: str, code: str, *stop_signals: tuple[signal.Signals, float]) -> Child:
        return Child(self.program(name, code, *stop_signals), self.register, self.heard, backoff=Backoff(first=0.01))


async def stop_politely(child: Child, heard: Heard) -> None:
    """Stops a child that runs `POLITE`, and waits for its last word."""
    await heard.hear("polite", "up")
    await child.stop()
    await heard.hear("polite", "finished")


def run_in_yard(home: Path, test: Callable[[Yard], Awaitable[None]]) -> Yard:
    """Runs a test's coroutine with a yard; in the end nothing of it may live."""

    async def main() -> Yard:
        yard = Yard(home)
        await test(yard)
        return yard

    yard = asyncio.run(main())
    assert yard.register.entries == {}
    assert ProcessRegister(home).leftovers() == []
    return yard
