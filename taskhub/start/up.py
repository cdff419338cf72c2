"""`manage.py up`: everything a hub needs, started in order under one supervisor, and ended in order.

The supervisor lives as long as the hub and only watches; so it loads no Django. What needs the hub's code runs in
programs that the fork server forks.
"""

import argparse
import asyncio
import http.client
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from taskhub.embedded import (
    OWNER,
    START_SECONDS,
    CannotStart,
    Home,
    ProcessRegister,
    ProgramSpec,
    Servers,
    StopSignals,
    describe_this_process,
)
from taskhub.start.fork_client import ForkClient
from taskhub.start.programs import commands
from taskhub.start.supervisor import Child, Launch, Printer, ProgramRun, stop_in_order

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = "Starts taskhub in the foreground: PostgreSQL, Redis, web server, workers and beat. Ctrl-C ends it."
COMPLAIN_SECONDS = 30.0
SECRETS = {"TASKHUB_ADMIN_PASSWORD"}  # once it has been used; walkers are not to find it
CHILDREN = {
    "PYTHONUNBUFFERED": "1",  # lines are shown when they are written
    "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",  # said by every worker at length
    "CELERY_SKIP_CHECKS": "1",  # every worker would load all pages of the site to check them, which tests have done
}
PRELOAD = "taskhub.start.preload"
CREDENTIALS = "the first superuser is "  # as the program begins its line about them
PREPARE = [sys.executable, "-m", "taskhub.management.startup"]
WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
PORT_MAX = 65_535
STOP_SIGNALS: dict[str, StopSignals] = {
    "beat": ((signal.SIGTERM, 5.0),),
    "web": ((signal.SIGTERM, 15.0),),
    # Time for runs to end. Those that do not are killed, and tried again when their lease is over: Celery's cold
    # shutdown would raise SystemExit in the middle of a walker, as if it had left by itself.
    "worker": ((signal.SIGTERM, 30.0),),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (127.0.0.1).")
    parser.add_argument("--port", type=int, default=8000, help="Port to listen on (8000); 0 takes a free one.")
    parser.add_argument(
        "--workers", type=_positive, default=max(4, os.cpu_count() or 1), help="Processes that run walkers."
    )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("manage.py up", description=DESCRIPTION)
    add_arguments(parser)
    parsed = parser.parse_args(arguments)
    run_hub(parsed.host, parsed.port, parsed.workers)


def run_hub(host: str, port: int, workers: int) -> None:
    """Runs the hub in the foreground, until a signal ends it. Raises `CannotStart`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each connection to the web server is a file
    home = Home()
    with home.lock(OWNER) as owner:
        if not owner.try_take(describe_this_process()):
            raise CannotStart(
                f"The home {home.path} is in use by {owner.holder()}: stop that, or set TASKHUB_HOME to another folder."
            )
        write = Printer(sys.stdout, as_json=os.environ.get("TASKHUB_LOG_FORMAT", "").strip().lower() == "json")
        register = ProcessRegister(home.path)
        servers = Servers.of(home)
        if left := servers.end_leftovers(register):
            write("up", f"ended {len(left)} processes left over from an earlier start")
        with claimed_port(host, port) as port:
            asyncio.run(Hub(servers, register, write, host, port, workers).run())


class Hub:
    """One hub from its start to its end."""

    def __init__(
        self, servers: Servers, register: ProcessRegister, write: Printer, host: str, port: int, workers: int
    ) -> None:
        self.servers, self.register, self.write = servers, register, write
        self.host, self.port, self.workers = host, port, workers
        self.stopping, self.cold = asyncio.Event(), asyncio.Event()
        self.children: dict[str, Child] = {}
        self.credentials: list[str] = []  # of the first user: shown when they are made, and once more at the end

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        server = ProgramSpec("fork-server", [], ROOT, self.environment())
        self.forks = ForkClient(server, PRELOAD, self.register, self.write)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup wants to outlive the terminal
                loop.add_signal_handler(number, self.on_signal)
        try:
            for step in (self.start_servers, self.prepare_database, self.start_programs, self.await_health):
                if not self.stopping.is_set():
                    await step()
            await self.stopping.wait()
        finally:
            await self.stop()

    def on_signal(self) -> None:
        if self.stopping.is_set():
            self.cold.set()
            self.write("up", "stopping at once")
        else:
            self.stopping.set()
            self.write("up", "stopping; once more to stop without waiting for what runs")

    async def start_servers(self) -> None:
        if self.servers.data != self.servers.home.path:
            self.write("up", f"the data is in {self.servers.data}, which the servers' account can reach")
        self.servers.make_folders()
        private = self.servers.private
        programs = await asyncio.gather(*(asyncio.to_thread(server.prepare) for server in private))
        for server, program in zip(private, programs, strict=True):
            self.keep(program, server.prepare)
        deadline = time.monotonic() + START_SECONDS
        while not self.servers.are_ready() and not self.stopping.is_set():
            fallen = [child for child in self.children.values() if child.fallen or time.monotonic() > deadline]
            if fallen:
                raise CannotStart(f"The private {fallen[0].program.name} did not start: {' '.join(fallen[0].tail)}")
            await asyncio.sleep(0.02)

    async def prepare_database(self) -> None:
        self.write("up", "the database is being prepared, which takes longer the first time")
        await self.forks.await_loaded()
        secrets = {name: value for name, value in os.environ.items() if name in SECRETS}
        program = ProgramSpec("prepare", PREPARE, ROOT, self.environment() | secrets)
        lines: list[str] = []
        run = ProgramRun(program, self.register, lines.append, self.forks.launch)
        try:
            await run.start()
        except OSError as error:
            raise CannotStart(f"The database could not be prepared: {error}.") from None
        code = await run.complete()
        refusal = lines.pop() if code == 2 and lines else ""
        for line in lines:
            self.write("up", line)
        self.credentials = [line for line in lines if line.startswith(CREDENTIALS)]
        if code:
            raise CannotStart(refusal or "The database could not be prepared.")

    async def start_programs(self) -> None:
        for name, argv in commands(self.host, self.port, self.workers).items():
            program = ProgramSpec(name, argv, ROOT, self.environment(), stop_signals=STOP_SIGNALS[kind_of(name)])
            self.keep(program, launch=self.forks.launch)

    def environment(self) -> dict[str, str]:
        """The environment of the programs."""
        given = {name: value for name, value in os.environ.items() if name not in SECRETS}
        address = os.environ.get("TASKHUB_PUBLIC_URL") or self.address
        return {**CHILDREN, **given, "TASKHUB_BOUND_HOST": self.host, "TASKHUB_PUBLIC_URL": address}

    async def await_health(self) -> None:
        complain_at = time.monotonic() + COMPLAIN_SECONDS
        while not self.stopping.is_set():
            status, answer = await asyncio.to_thread(ask_health, self.host, self.port)
            if status == 200:
                self.write("up", f"Redis is {answer['versions'].get('redis', 'of an unknown version')}")
                self.write("up", f"taskhub is ready at {self.address}")
                self.write("up", f"administration: {self.address}/admin/")
                self.write("up", f"documentation of the API: {self.address}/docs/")
                for line in self.credentials:
                    self.write("up", line)
                return
            if time.monotonic() > complain_at:
                complain_at += COMPLAIN_SECONDS
                self.write("up", f"not ready yet: {json.dumps(answer.get('checks', 'the web server does not answer'))}")
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        await stop_in_order([self.kept("beat"), self.kept("web"), self.kept("worker")], self.cold)
        await self.forks.stop()
        await stop_in_order([self.kept("redis"), self.kept("postgres")])
        await asyncio.to_thread(self.servers.end_leftovers, self.register)  # such as daemons of walkers
        self.servers.clear_folders()

    def keep(
        self, program: ProgramSpec, prepare: Callable[[], ProgramSpec] | None = None, launch: Launch | None = None
    ) -> None:
        self.children[program.name] = Child(program, self.register, self.write, prepare, launch=launch)

    def kept(self, kind: str) -> list[Child]:
        return [child for name, child in self.children.items() if kind_of(name) == kind]

    @property
    def address(self) -> str:
        host = reachable(self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def kind_of(name: str) -> str:
    """worker:walkers is a worker."""
    return name.partition(":")[0]


def reachable(host: str) -> str:
    """The host to speak to for what listens on `host`."""
    return "127.0.0.1" if host in WILDCARDS else host


def free_port(host: str, port: int) -> int:
    """The port to listen on, seen to be free; 0 becomes one that is. Raises CannotStart."""
    if not 0 <= port <= PORT_MAX:  # some systems would take what is left of it after dividing
        raise CannotStart(f"There is no port {port}: choose one up to {PORT_MAX} with --port.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotStart(
            f"Port {port} of {host} cannot be had ({reason}): choose others with --port, --host."
        ) from None


@contextmanager
def claimed_port(host: str, port: int) -> Iterator[int]:
    """The port to listen on, which nobody else takes while the web server does not listen. Raises CannotStart.

    Until then nobody sees that the port is wanted. Two servers of one account may share it: so a hub claims it by a
    name. The system may give it to somebody's connection: so it is bound here, and once more by the web server.
    """
    if sys.platform != "linux":  # where such names are no files, and go with their process
        yield free_port(host, port)
        return
    with socket.socket(socket.AF_UNIX) as claim:
        if port:  # else it is not known yet
            _claim(claim, host, port)
        free = free_port(host, port)
        if not port:
            _claim(claim, host, free)
        family, kind, protocol, _, address = socket.getaddrinfo(host, free, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as held:
            # Without SO_REUSEADDR: `free_port` of a hub that calls the host by another name shall see it.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with suppress(OSError):  # it was free just now; the web server will say who has it
                held.bind(address)
            yield free


def _claim(claim: socket.socket, host: str, port: int) -> None:
    try:
        claim.bind(f"\0taskhub {host}:{port}")
    except OSError:
        raise CannotStart(
            f"Port {port} of {host} is that of another hub, which has begun to start: choose another."
        ) from None


def ask_health(host: str, port: int) -> tuple[int, dict[str, Any]]:
    """Status (0: no answer) and body of GET /healthz."""
    client = http.client.HTTPConnection(reachable(host), port, timeout=5)
    try:
        client.request("GET", "/healthz")
        answer = client.getresponse()
        return answer.status, json.load(answer)
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        client.close()


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(text)
