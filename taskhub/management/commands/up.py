"""`manage.py up`: everything a hub needs, started in order under one supervisor, and ended in order."""

import argparse
import asyncio
import http.client
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError, IntegrityError, connection, connections

from taskhub.embedded import OWNER, START_SECONDS, CannotStart, Home, Program, Register, Servers, whoami
from taskhub.programs import commands
from taskhub.supervisor import Child, stop_in_order

ROOT = Path(__file__).resolve().parents[3]
COMPLAIN_SECONDS = 30.0
COLOURS = (36, 33, 32, 35, 34, 31)
WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
CHILDREN = {
    "PYTHONUNBUFFERED": "1",  # lines are shown when they are written
    "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",  # said by every worker at length
    "CELERY_SKIP_CHECKS": "1",  # every worker would load all pages of the site to check them, which tests have done
}
FAREWELLS: dict[str, Any] = {
    "beat": ((signal.SIGTERM, 5.0),),
    "web": ((signal.SIGTERM, 15.0),),
    "worker": ((signal.SIGTERM, 30.0), (signal.SIGQUIT, 5.0)),  # warm: lets runs end; cold: gives them back
}


class Command(BaseCommand):
    help = "Starts taskhub in the foreground: PostgreSQL, Redis, web server, workers and beat. Ctrl-C ends it."
    requires_system_checks: list[str] = []  # the tests run them; here they would delay every start

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (127.0.0.1).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on (8000); 0 takes a free one.")
        parser.add_argument(
            "--workers", type=_positive, default=max(2, os.cpu_count() or 1), help="Processes that run walkers."
        )

    def handle(self, *, host: str, port: int, workers: int, **options: Any) -> None:
        home = Home()
        with home.lock(OWNER) as owner:
            if not owner.try_take(whoami()):
                raise CannotStart(
                    f"The home {home.path} is in use by {owner.holder()}: stop that,"
                    " or set TASKHUB_HOME to another folder."
                )
            write = Printer(sys.stdout)
            register = Register(home.path)
            servers = Servers.of(home)
            for process in servers.end_leftovers(register):
                write("up", f"ended process {process.pid}, left over from an earlier start")
            hub = Hub(servers, register, write, host, free_port(host, port), workers)
            asyncio.run(hub.run())


class Hub:
    """One hub from its start to its end."""

    def __init__(
        self, servers: Servers, register: Register, write: "Printer", host: str, port: int, workers: int
    ) -> None:
        self.servers, self.register, self.write = servers, register, write
        self.host, self.port, self.workers = host, port, workers
        self.stopping, self.cold = asyncio.Event(), asyncio.Event()
        self.children: dict[str, Child] = {}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
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
        await asyncio.to_thread(in_thread, check_reachable, migrate, self.first_superuser)

    async def start_programs(self) -> None:
        environment = {"TASKHUB_PUBLIC_URL": self.address, **CHILDREN, **os.environ}
        for name, argv in commands(self.host, self.port, self.workers, settings.QUEUES).items():
            self.keep(Program(name, argv, ROOT, environment, farewell=FAREWELLS[name.partition(":")[0]]))

    async def await_health(self) -> None:
        complain_at = time.monotonic() + COMPLAIN_SECONDS
        while not self.stopping.is_set():
            status, answer = await asyncio.to_thread(ask_health, self.host, self.port)
            if status == 200:
                self.write("up", f"taskhub is ready at {self.address}")
                return
            if time.monotonic() > complain_at:
                complain_at += COMPLAIN_SECONDS
                self.write("up", f"not ready yet: {json.dumps(answer.get('checks', 'the web server does not answer'))}")
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        apart = {"beat", "web", "redis", "postgres"}
        workers = [child for name, child in self.children.items() if name not in apart]
        one = {name: [self.children[name]] for name in apart & self.children.keys()}
        await stop_in_order([one.get("beat", []), one.get("web", []), workers], self.cold)
        await stop_in_order([one.get("redis", []), one.get("postgres", [])])
        self.servers.clear_folders()

    def keep(self, program: Program, prepare: Callable[[], Program] | None = None) -> None:
        self.children[program.name] = Child(program, self.register, self.write, prepare)

    @property
    def address(self) -> str:
        return f"http://{bracketed(reachable(self.host))}:{self.port}"

    def first_superuser(self) -> None:
        """So that somebody can sign in; nothing happens when there is one."""
        users = get_user_model()._default_manager
        if users.filter(is_superuser=True).exists():
            return
        email = os.environ.get("TASKHUB_ADMIN_EMAIL") or "admin@example.com"
        password = os.environ.get("TASKHUB_ADMIN_PASSWORD") or ""
        chosen = password or secrets.token_urlsafe(12)
        try:
            users.create_superuser(email=email, password=chosen)
        except IntegrityError:
            raise CannotStart(f"There is no superuser, and {email} is a user: set TASKHUB_ADMIN_EMAIL.") from None
        if not password:
            self.write("up", f"the first superuser is {email} with the password {chosen} (shown this once)")


class Printer:
    """Writes lines with the name of their program, coloured on a terminal only."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.coloured = stream.isatty() and "NO_COLOR" not in os.environ
        self.colours: dict[str, int] = {}

    def __call__(self, name: str, line: str) -> None:
        with suppress(OSError, ValueError):  # a closed terminal must not end the hub
            self.stream.write(f"{self.prefix(name)} | {line}\n")
            self.stream.flush()

    def prefix(self, name: str) -> str:
        if not self.coloured:
            return name
        colour = self.colours.setdefault(name, COLOURS[len(self.colours) % len(COLOURS)])
        return f"\033[{colour}m{name}\033[0m"


def free_port(host: str, port: int) -> int:
    """The port to listen on, seen to be free; 0 becomes one that is. Raises CannotStart."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotStart(
            f"Port {port} of {host} cannot be had ({reason}): choose another with --port or --host."
        ) from None


def in_thread(*steps: Callable[[], None]) -> None:
    try:
        for step in steps:
            step()
    finally:
        connections.close_all()


def migrate() -> None:
    call_command("migrate", interactive=False, verbosity=0)


def check_reachable() -> None:
    """Raise CannotStart when a server does not answer. What is said holds no password: the drivers leave it out."""
    import redis
    from kombu.exceptions import OperationalError

    from taskhub.celery import app

    try:
        connection.ensure_connection()
    except DatabaseError as error:
        raise CannotStart(f"The database of DATABASE_URL cannot be reached: {one_line(error)}") from None
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=4, socket_timeout=4) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        raise CannotStart(f"The Redis of REDIS_URL cannot be reached: {one_line(error)}") from None
    try:
        with app.connection_for_write(connect_timeout=4) as broker:
            broker.ensure_connection(max_retries=1, timeout=4)
    except (OperationalError, OSError) as error:
        raise CannotStart(f"The broker of CELERY_BROKER_URL cannot be reached: {one_line(error)}") from None


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


def reachable(host: str) -> str:
    return "127.0.0.1" if host in WILDCARDS else host


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(text)
