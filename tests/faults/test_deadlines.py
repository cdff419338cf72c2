"""Each way in which the hub calls another server, and each way in which that keeps it waiting: it ends in its time.

The error names the server and, where time is over, the seconds. Real libraries, programs and Chromium; the servers are
on loopback.
"""

import asyncio
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import trustme
from botocore.config import Config as BotoConfig

from extraction.delivery import transfer
from extraction.domain.destinations import parse_destinations
from extraction.domain.process_status import PageFailure
from extraction.domain.render_job import RenderJob
from extraction.fetch.host_limits import HostLimits
from extraction.fetch.page_renderer import render
from extraction.fetch.proxy_turns import ProxyTurns
from extraction.fetch.robots import RobotsRules
from extraction.services import result_files
from sequences.domain.exchange import SendFailed, StepRequest
from sequences.folder_files import FolderFiles
from sequences.http_client import HttpClient
from taskhub.errors import Problem, Unavailable
from taskhub.outbound import Allow, Policy, Session, Unreachable
from taskhub.outbound.client import GateClient, GateRequest
from taskhub.outbound.proxy import GateProxy
from tests import chromium
from tests.faults.slow_servers import BEHAVIOURS, SlowServer, slow_server

POLICY = Policy(
    allow=Allow.parse(["loopback"]), connect_timeout=0.4, read_timeout=0.5, total_timeout=1.5, max_bytes=1_000_000
)
DELIVERY_SECONDS = 2.5  # a program of its own has to start in them
LARGE = 30_000_000  # more than the buffers between client and server take
TIME_IS_OVER = r"(took longer than|sent nothing for|stalled for|did not answer within) [\d.]+ seconds"
TOO_MUCH = "more than|more bytes"
ANSWERS = sorted(BEHAVIOURS.keys() - {"take_nothing"})  # what those who have sent their request wait for
# Of a gate that is asked for a tunnel. With another answer's body TLS does not begin, and the call fails at once.
TUNNELS = ["silent", "dribble_head", "stop_after_head"]
SERVICES = ["content.dropboxapi.com", "api.dropboxapi.com", "graph.microsoft.com"]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short_times(settings: Any) -> None:
    settings.EXTRACTION_DELIVERY_SECONDS = DELIVERY_SECONDS
    settings.OUTBOUND_ALLOW = ["loopback"]
    settings.OUTBOUND_CONNECT_TIMEOUT, settings.OUTBOUND_READ_TIMEOUT = POLICY.connect_timeout, POLICY.read_timeout
    settings.OUTBOUND_TOTAL_TIMEOUT, settings.OUTBOUND_MAX_BYTES = POLICY.total_timeout, POLICY.max_bytes


def send_step(url: str, body: Any = None, seconds: float = 60) -> None:
    with HttpClient(lambda: seconds, FolderFiles()) as client:
        client.send(StepRequest("POST", url, {}, body))


def fetch(url: str, **options: Any) -> None:
    async def get() -> None:
        async with GateClient(POLICY) as client:
            await client.call(GateRequest(url, **options))

    asyncio.run(get())


def deliver(values: dict[str, Any], size: int = 1000) -> None:
    [destination] = parse_destinations(values)
    policy = replace(POLICY, read_timeout=1)
    transfer.deliver(destination, "a.csv", BytesIO(b"x" * size), size, policy)


def deliver_to_bucket(server: SlowServer, kind: str, scheme: str = "http", size: int = 1000) -> None:
    values = {"type": kind, "bucket": "results", "endpoint": f"{scheme}://{server.authority}"}
    keys = {"accessKeyId": "a", "secretAccessKey": "b"} if kind == "s3" else {"accessToken": "t"}
    deliver(values | keys, size)


def deliver_by_sftp(server: SlowServer) -> None:
    host = {"host": "127.0.0.1", "port": server.port, "hostKey": "SHA256:" + "a" * 43}
    deliver({"type": "sftp", "user": "ann", "password": "p", **host})


IN_PLACE_OF_GATE: ContextVar[SlowServer | None] = ContextVar("in place of the gate", default=None)
BEHIND_GATE: ContextVar[SlowServer | None] = ContextVar("behind the gate", default=None)
GATE = transfer.gate


@contextmanager
def gate_of_account(policy: Policy, tunnel_scheme: str) -> Iterator[Any]:
    """The gate; for the threads of `deliver_by_account` with what they set in its place, or as a proxy behind it."""
    if server := IN_PLACE_OF_GATE.get():
        yield SimpleNamespace(address=f"http://{server.authority}", refused=[])
        return
    with GATE(policy, tunnel_scheme) as proxy:
        if server := BEHIND_GATE.get():
            proxy.upstream, proxy._resolver = f"http://{server.authority}", lambda name, port: ["127.0.0.1"]
        yield proxy


@pytest.fixture(autouse=True)
def _gate_by_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "gate", gate_of_account)


@pytest.fixture(autouse=True)
def _nothing_known_of_hosts(settings: Any) -> None:
    """An earlier test's server had the same port, perhaps, and its robots.txt is kept for an hour."""
    settings.CHANNEL_PREFIX = f"deadlines-{uuid4().hex}"


def deliver_by_account(server: SlowServer, kind: str, place: ContextVar[SlowServer | None] = IN_PLACE_OF_GATE) -> None:
    """To a service whose address is its library's own; here the gate itself keeps the program waiting, or the service
    does, inside of its TLS."""
    token = place.set(server)
    try:
        deliver({"type": kind, "accessToken": "t"})
    finally:
        place.reset(token)


def ask_robots(server: SlowServer) -> None:
    async def ask() -> None:
        async with HostLimits(f"of {server.authority}") as hosts, GateClient(POLICY) as client:
            await RobotsRules(client, hosts, ProxyTurns((), "", hosts)).allows(f"http://{server.authority}/")

    asyncio.run(ask())


def render_page(server: SlowServer) -> None:
    from extraction.fetch.browser import browser_thread

    job = RenderJob(f"http://{server.authority}/", seconds=1.5, max_bytes=POLICY.max_bytes)
    asyncio.run(browser_thread.get().run(render(job, POLICY, lambda answer: None)))


DOORS: dict[str, tuple[Callable[[SlowServer], None], list[str]]] = {
    "step of a sequence": (lambda server: send_step(f"http://{server.authority}/"), ANSWERS),
    "step at the end of its sequence": (lambda server: send_step(f"http://{server.authority}/", None, 0.3), ANSWERS),
    "large body of a step": (lambda server: send_step(f"http://{server.authority}/", "x" * LARGE), ["take_nothing"]),
    "step, over TLS": (lambda server: send_step(f"https://{server.authority}/"), ["silent", "take_nothing"]),
    "page": (lambda server: fetch(f"http://{server.authority}/"), ANSWERS),
    "page, over TLS": (lambda server: fetch(f"https://{server.authority}/"), ["silent", "take_nothing"]),
    "form of a page": (
        lambda server: fetch(f"http://{server.authority}/", method="POST", body=b"a=" + b"x" * 900_000),
        ["take_nothing"],
    ),
    "page, through a proxy": (
        lambda server: fetch("http://127.0.0.1:9/", proxy=f"http://{server.authority}"),
        ANSWERS,
    ),
    "page over TLS, through a proxy": (
        lambda server: fetch("https://127.0.0.1:9/", proxy=f"http://{server.authority}"),
        ["silent", "dribble_head", "repeat_interim"],
    ),
    "page, through a proxy of SOCKS": (
        lambda server: fetch("http://127.0.0.1:9/", proxy=f"socks5://{server.authority}"),
        ["silent"],
    ),
    "robots.txt": (ask_robots, ["silent", "dribble_head", "stop_after_head", "dribble_body", "repeat_interim"]),
    "delivery to S3": (lambda server: deliver_to_bucket(server, "s3"), ANSWERS),
    "delivery to S3, over TLS": (lambda server: deliver_to_bucket(server, "s3", "https"), ["silent"]),
    "large delivery to S3": (lambda server: deliver_to_bucket(server, "s3", size=LARGE), ["take_nothing"]),
    "delivery to Google Cloud Storage": (lambda server: deliver_to_bucket(server, "gcs"), ANSWERS),
    "delivery to Dropbox": (lambda server: deliver_by_account(server, "dropbox"), TUNNELS),
    "delivery to OneDrive": (lambda server: deliver_by_account(server, "onedrive"), TUNNELS),
    "delivery by SFTP": (deliver_by_sftp, ["silent", "dribble_head", "dribble_body"]),
}


def error_of(door: Callable[[SlowServer], None], behaviour: str, tunnel: ssl.SSLContext | None = None) -> str:
    with slow_server(behaviour, tunnel) as server:
        try:
            door(server)
        except (Problem, SendFailed, PageFailure) as error:
            return str(error).replace(server.authority, "SERVER")
    return "none"


@pytest.mark.parametrize("door", DOORS)
def test_a_call_ends_in_its_time_however_its_server_behaves(door: str) -> None:
    call, behaviours = DOORS[door]
    with ThreadPoolExecutor(len(behaviours)) as threads:
        errors = dict(zip(behaviours, threads.map(lambda name: error_of(call, name), behaviours), strict=True))
    assert_ended(errors)


@pytest.mark.parametrize("kind", ["dropbox", "onedrive"])
def test_a_delivery_ends_in_its_time_however_its_service_behaves_inside_of_tls(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority, tunnel = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    authority.issue_cert(*SERVICES).configure_cert(tunnel)

    def error(behaviour: str) -> str:
        return error_of(lambda server: deliver_by_account(server, kind, BEHIND_GATE), behaviour, tunnel)

    with ThreadPoolExecutor(len(ANSWERS)) as threads:
        assert_ended(dict(zip(ANSWERS, threads.map(error, ANSWERS), strict=True)))


def assert_ended(errors: dict[str, str]) -> None:
    for behaviour, error in errors.items():
        words = f"{TIME_IS_OVER}|{TOO_MUCH}" if behaviour in {"never_end", "repeat_interim"} else TIME_IS_OVER
        assert re.search(words, error), (behaviour, error)


STORAGE_CALLS: dict[str, Callable[[], Any]] = {
    "store": lambda: result_files.store_result("a.csv", iter([b"x" * 1000])),
    "store much": lambda: result_files.store_result("a.csv", iter([b"x" * LARGE])),
    "open": lambda: result_files.open_result("a.csv"),
    "delete": lambda: result_files.delete_result("a.csv"),
}


@pytest.mark.parametrize(
    ("call", "behaviour"),
    [
        *(("store", "dribble_head"), ("store", "repeat_interim"), ("store much", "take_nothing")),
        *(("open", "silent"), ("open", "dribble_head"), ("open", "dribble_body"), ("delete", "dribble_head")),
    ],
)
def test_the_storage_of_results_ends_in_its_time(
    settings: Any, monkeypatch: pytest.MonkeyPatch, call: str, behaviour: str
) -> None:
    settings.RESULTS_SECONDS = 1
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    times = BotoConfig(connect_timeout=60, read_timeout=60, retries={"total_max_attempts": 1})
    with slow_server(behaviour) as server:
        options = {"bucket_name": "results", "region_name": "us-east-1", "client_config": times}
        options["endpoint_url"] = f"http://{server.authority}"
        storage = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
        settings.STORAGES = {**settings.STORAGES, "results": storage}
        with pytest.raises((OSError, Unavailable), match=r"longer than 1 seconds|read at present|another file"):
            STORAGE_CALLS[call]()


def test_a_rendered_page_ends_in_its_time_however_its_server_behaves() -> None:
    chromium.required()
    behaviours = ["silent", "dribble_head", "stop_after_head"]
    with ThreadPoolExecutor(len(behaviours)) as threads:
        errors = dict(zip(behaviours, threads.map(lambda name: error_of(render_page, name), behaviours), strict=True))
    assert_ended(errors)


@pytest.mark.parametrize("call", ["session", "client", "proxy"])
def test_names_that_nobody_resolves(call: str) -> None:
    over = threading.Event()

    def resolver(name: str, port: int) -> Iterable[str]:
        over.wait(60)
        return []

    async def get() -> None:
        async with GateClient(POLICY, resolver=resolver) as client:
            await client.get("http://shop.example.com/")

    calls: dict[str, Callable[[], Any]] = {
        "session": lambda: Session(POLICY, resolver=resolver).get("http://shop.example.com/"),
        "client": lambda: asyncio.run(get()),
    }
    try:
        if call == "proxy":
            assert "was not resolved within" in asyncio.run(_refusal_of_proxy(resolver))
        else:
            with pytest.raises(Unreachable, match=r"was not resolved within 0\.4 seconds"):
                calls[call]()
    finally:
        over.set()


async def _refusal_of_proxy(resolver: Any) -> str:
    """What the gate says to a program that asks it for a name which nobody resolves."""
    async with GateProxy(POLICY, max_bytes=1000, resolver=resolver) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.address.rpartition(":")[2]))
        writer.write(b"GET http://shop.example.com/ HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
        answer = await reader.read()
        writer.close()
    return answer.decode()
