"""Walkers that are killed, hang and race, installed in the hub that tests break."""

import asyncio
import math
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

from django.db import connection, transaction

from taskhub.runs.queue import ends
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker


class Mark(Walker):
    """One run, one node: the effect that is counted."""

    tag: str
    seconds: float = 0

    def visit(self, here: Place) -> None:
        here.spawn("mark", {"tag": self.tag})
        time.sleep(self.seconds)


class Linger(Walker):
    """Has its effect, and goes on until `flag` is there."""

    tag: str
    flag: str

    def visit(self, here: Place) -> None:
        here.spawn("mark", {"tag": self.tag})
        while not Path(self.flag).exists():
            self.progress(0, 1, "waits")
            time.sleep(0.05)


class Die(Walker):
    """Has its effect, and takes its process down before or after the commit; `always`, or at its first attempt."""

    tag: str
    when: Literal["before the commit", "after the commit"]
    flag: str
    always: bool = False

    def visit(self, here: Place) -> None:
        here.spawn("mark", {"tag": self.tag})
        if not (_first(self.flag) or self.always):
            return
        if self.when == "before the commit":
            _end_process()
        transaction.on_commit(_end_process)


class FailAndDie(Walker):
    """Fails, and takes its process down, at its first attempt, while its end is stored, or right after that."""

    when: Literal["before the commit", "after the commit"]
    flag: str

    def visit(self, here: Place) -> None:
        if _first(self.flag):
            connection.execute_wrappers.append(self._die_at_the_end)
        raise RuntimeError("no tea")

    def _die_at_the_end(self, execute: Callable[..., Any], sql: str, *more: Any) -> Any:
        if "INTO runs_notificationmessage" in sql.replace('"', "") and self.when == "before the commit":
            _end_process()
        if ends._END_CLAIMED._execute in sql and self.when == "after the commit":
            transaction.on_commit(_end_process)  # the first of what is done then: no worker is notified of the messages
        return execute(sql, *more)


class Stuck(Walker):
    """Has its effect, touches `flag`, and hangs in one of many ways."""

    tag: str
    flag: str
    how: Literal["sleep", "socket", "statement", "loop", "await", "regex", "sum", "swallow"]

    def visit(self, here: Place) -> None:
        here.spawn("mark", {"tag": self.tag})
        Path(self.flag).touch()
        HANGS[self.how]()


class Limited(Stuck):
    """The same, for a second."""

    time_limit: ClassVar[float] = 1

    def visit(self, here: Place) -> None:
        super().visit(here)


class Start(Walker):
    """Starts programs, each of which writes its pid to a file in `folder`, and then hangs, or ends."""

    folder: str
    how: Literal["shell", "sum", "end"]

    def visit(self, here: Place) -> None:
        for name, command in ORPHANS.items():
            subprocess.run(command.format(program=_program(self.folder, name)), shell=True)
            while not Path(self.folder, name).exists():
                time.sleep(0.01)
        if self.how == "shell":
            subprocess.run(f"{_program(self.folder, SHELL)}; true", shell=True)
        elif self.how == "sum":
            HANGS["sum"]()


class StartLimited(Start):
    """The same; its time is over once it has started all of them, however long that takes."""

    def visit(self, here: Place) -> None:
        threading.Thread(target=self._be_overdue, daemon=True).start()
        super().visit(here)

    def _be_overdue(self) -> None:
        while not Path(self.folder, SHELL).exists():
            time.sleep(0.05)
        assert self._walk.execution is not None
        self._walk.execution.overdue_at = 0.0


class Failing(Walker):
    """Fails in the database with its password in the statement."""

    password: str

    def visit(self, here: Place) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::text::integer", [self.password])


# What is left alone by its parent: in the walker's session, in one of its own, and without an environment.
SHELL = "child of a shell"
ORPHANS = {"orphan": "{program} &", "daemon": "setsid {program} &", "bare": "env -i {program} &"}


def _program(folder: str, name: str) -> str:
    return f"""sh -c 'echo $$ > "{folder}/{name}.new"; mv "{folder}/{name}.new" "{folder}/{name}"; exec sleep 3600'"""


def _first(flag: str) -> bool:
    try:
        Path(flag).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _end_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _read() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.recv(1)


def _ask() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(3600)")


def _loop() -> None:
    while True:
        pass


def _swallow() -> None:
    while True:
        with suppress(BaseException):
            time.sleep(3600)


HANGS: dict[str, Callable[[], object]] = {
    "sleep": lambda: time.sleep(3600),
    "socket": _read,
    "statement": _ask,
    "loop": _loop,
    "await": lambda: asyncio.run(asyncio.sleep(3600)),
    "swallow": _swallow,
    # Both keep the interpreter to themselves for hours; the first looks at signals now and then, the other never.
    "regex": lambda: re.match(r"(a|a?)+$", "a" * 60 + "b"),
    "sum": lambda: sum(range(math.factorial(15))),
}
