"""What web processes work on is told of those that died, and of no other."""

import logging
import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from taskhub.web.front import request_register
from taskhub.web.front.request_register import RequestRegister

SERVER, PROCESSES, ROUNDS = 4711, 8, 10


@pytest.fixture(autouse=True)
def one_server(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.HOME = str(tmp_path)
    monkeypatch.setattr(os, "getppid", lambda: SERVER)


def start(begin: Any, end: Any, said: Any) -> None:
    """A web process: says what its register logs, and goes on until all others have begun."""
    handler = logging.Handler()
    handler.emit = lambda record: said.put(record.getMessage())  # type: ignore[method-assign]
    request_register.log.handlers = [handler]
    request_register.log.propagate = False
    begin.wait(60)
    register = RequestRegister()
    register.open()
    end.wait(60)


def test_processes_that_start_at_once_tell_only_of_those_before_them_and_each_once() -> None:
    fork = get_context("fork")
    before: list[str] = []
    for _round in range(ROUNDS):
        begin, end, said = fork.Barrier(PROCESSES), fork.Barrier(PROCESSES + 1), fork.SimpleQueue()
        processes = [fork.Process(target=start, args=(begin, end, said), daemon=True) for _ in range(PROCESSES)]
        for process in processes:
            process.start()
        end.wait(60)
        for process in processes:
            process.join(60)
        lines = []
        while not said.empty():
            lines.append(said.get())
        died = sorted(line.split()[2] for line in lines)
        assert died == before, lines
        before = sorted(str(process.pid) for process in processes)


def test_the_requests_of_a_dead_process_are_told(caplog: pytest.LogCaptureFixture) -> None:
    fork = get_context("fork")

    def work_and_die() -> None:
        register = RequestRegister()
        register.open()
        with register.entry("GET /runs"):
            register.add("by 12")
            os._exit(9)

    process = fork.Process(target=work_and_die)
    process.start()
    process.join(60)
    register = RequestRegister()
    register.open()
    register.close()
    (line,) = caplog.messages
    assert line.startswith(f"Web process {process.pid} died; its threads worked on GET /runs by 12 (since ")
