"""The fork server: has loaded the hub's code, and forks the programs that the supervisor asks for.

A program that is forked has paid for its imports already, and shares the memory of what they loaded until it writes to
it. `python -m taskhub.start.fork_server MODULE REQUESTS REPORTS` calls `load()` of MODULE, then serves two descriptors:

- REQUESTS, a socket: a line of JSON with the `Request`, and with it (SCM_RIGHTS) the descriptor for the output.
- REPORTS, a pipe: lines of JSON. `{"loaded": n}` has the number of threads after loading; `{"forked": pid}` or
  `{"refused": errno}` answers a request; `{"ended": pid, "code": n}` tells of a program's end, as `subprocess` writes
  exit codes.

Only a process with one thread can be forked safely: locks that other threads hold would stay locked for ever. So
nothing here or in `load()` may start threads, connect to anything or run an event loop.

It ends when the supervisor has closed REQUESTS or is gone. Its programs go on: the supervisor ends them, or the next
start, which knows them by the register and by the mark in the environment with which this process was started.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import psutil

from taskhub.embedded import CannotStart

LONGEST_REQUEST = 1 << 20
COMMAND_NAME = Path("/proc/self/comm")  # what `ps -o comm` and `top` show; on Linux only


class Request(NamedTuple):
    """A program to fork: `module` is what `python -m` would run, with `arguments`."""

    name: str
    module: str
    arguments: Sequence[str]
    cwd: str
    environment: Mapping[str, str]


class ForkServer:
    """Takes requests, and reports what became of their programs."""

    def __init__(self, requests: socket.socket, reports: int) -> None:
        self._requests, self._reports = requests, reports
        self._woken, self._wake = os.pipe()
        for descriptor in (self._woken, self._wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # it must have a handler to be written to the pipe
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def serve(self) -> Request | None:
        """Returns twice or more: in each forked process the request that it is for, here None when all is over."""
        while True:
            ready, _, _ = select.select([self._requests.fileno(), self._woken], [], [])
            if self._woken in ready:
                self._reap()
            if self._requests.fileno() in ready:
                received = self._receive()
                if received is None:
                    return None
                request, output = received
                try:
                    pid = os.fork()
                except OSError as error:  # too many processes, or too little memory, at present
                    self.report(refused=error.errno or 0)
                else:
                    if pid == 0:
                        self._leave(output)
                        return request
                    self.report(forked=pid)
                os.close(output)

    def report(self, **values: int) -> None:
        with suppress(BrokenPipeError):  # the end of the requests comes next
            os.write(self._reports, json.dumps(values).encode() + b"\n")

    def _receive(self) -> tuple[Request, int] | None:
        data, descriptors, _, _ = socket.recv_fds(self._requests, LONGEST_REQUEST, 1)
        while data and not data.endswith(b"\n"):
            data += (more := self._requests.recv(LONGEST_REQUEST))
            if not more:
                return None
        return (Request(**json.loads(data)), descriptors[0]) if data else None

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self.report(ended=found[0], code=os.waitstatus_to_exitcode(found[1]))

    def _leave(self, output: int) -> None:
        """In the forked process: gives up all that is the server's, and begins a session with an output of its own."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._requests.close()
        for descriptor in (self._reports, self._woken, self._wake):
            os.close(descriptor)
        os.setsid()
        for stream in (1, 2):
            os.dup2(output, stream)
        os.close(output)


def become(request: Request) -> None:
    """Runs the program in this process, as `python -m` would."""
    with suppress(OSError):
        COMMAND_NAME.write_text(request.name[:15])
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = [request.module, *request.arguments]
    runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def main() -> None:
    module, requests, reports = sys.argv[1:]
    gc.disable()  # nothing of what is loaded is garbage
    try:
        import_module(module).load()
    except CannotStart as error:
        print(error, file=sys.stderr)  # the one sentence for the person at the terminal
        sys.exit(2)
    gc.freeze()  # the collector would write to all of it, and so nothing would be shared
    gc.enable()
    with socket.socket(fileno=int(requests)) as incoming:
        server = ForkServer(incoming, int(reports))
        server.report(loaded=psutil.Process().num_threads())
        request = server.serve()
    if request is not None:
        become(request)


if __name__ == "__main__":
    main()
