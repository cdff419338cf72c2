"""Crawlers on a running hub: the bundled example crawler is given tasks, and sends its documents."""

import gzip
import json
import os
import socket
import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis
from urllib3.exceptions import ProtocolError

from taskhub.embedded import Home, Servers
from tests import crawler_client
from tests.hub import Caller, Hub
from tests.integration.outbound_servers import answer, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with crawler_client.example_crawler() as address:
        yield address


@pytest.fixture
def caller(hub: Hub) -> Caller:
    return hub.sign_up()


@pytest.fixture
def made(caller: Caller, endpoint: str) -> dict[str, Any]:
    return crawler_client.crawler(caller, crawler_client.external(caller, endpoint))


def test_a_task_runs_to_its_end(caller: Caller, made: dict[str, Any]) -> None:
    task = crawler_client.ended(caller, crawler_client.start(caller, made["crawler"], count=1200))
    assert task["status"] == {"code": 200, "message": "task done", "detail": ""}
    assert task["counts"]["received"] == task["counts"]["inserted"] == 1200
    assert [change["code"] for change in task["history"]] == [0, 102, 200]
    assert [call["status"] for call in task["calls"]] == [200]
    run = caller.get(f"/runs/{task['run']}").json()
    assert run["state"] == "SUCCESS"
    assert run["result"]["inserted"] == 1200
    documents = crawler_client.documents(caller, made["stream"])
    assert len(documents) == 1200
    assert sorted(one["sku"] for one in documents) == [one["sku"] for one in documents]
    stream = caller.get(f"/streams/{made['stream']['fid']}").json()["payload"]
    assert stream["documents"] == 1200
    assert stream["status"]["code"] == 200
    assert stream["task"]["fid"] == task["fid"]


def test_deletion_is_told_and_the_documents_leave(caller: Caller, made: dict[str, Any]) -> None:
    task = crawler_client.start(caller, made["crawler"], count=100_000, pause=1)
    first = f"/streams/{made['stream']['fid']}/docs?limit=1"  # all pages would be more and more
    crawler_client.until(lambda: caller.get(first).json()["payload"]["results"])
    run = crawler_client.task(caller, task["fid"])["run"]
    assert caller.delete(f"/actions/tasks/{task['fid']}").status_code == 200
    assert crawler_client.documents(caller, made["stream"]) == []
    told = crawler_client.until(lambda: caller.get(f"/runs?parent={run}&state=SUCCESS").json()["results"])
    assert [one["kind"] for one in told] == ["crawler_notice"]
    purged = "/runs?kind=crawler_purge&state=SUCCESS"
    crawler_client.until(lambda: caller.get(purged).json()["results"])
    assert caller.get(f"/streams/{made['stream']['fid']}").json()["payload"]["documents"] == 0


def test_a_silent_crawler_is_timed_out(caller: Caller, endpoint: str) -> None:
    external = crawler_client.external(caller, endpoint, timeout=1)
    task = crawler_client.start(caller, crawler_client.crawler(caller, external)["crawler"], count=1000, pause=60)
    ended = crawler_client.ended(caller, task)
    assert (ended["status"]["code"], ended["status"]["message"]) == (408, "No sign of life for 1 s.")


def test_a_scheduled_crawler_breeds_tasks_one_after_the_other(caller: Caller, endpoint: str) -> None:
    often = {"type": "interval", "conf": {"every": 1, "period": "seconds"}}
    made = crawler_client.crawler(caller, crawler_client.external(caller, endpoint), schedule=often)
    path = f"/crawlers/{made['crawler']['fid']}/tasks"

    def tasks() -> list[Any]:
        return [one for one in caller.get(path).json()["payload"]["results"] if one["ended_at"]]

    crawler_client.until(lambda: len(tasks()) >= 2)
    assert caller.patch(f"/crawlers/{made['crawler']['fid']}", {"schedule": None}).status_code == 200
    for later, earlier in pairwise(tasks()):
        assert later["created_at"] >= earlier["ended_at"]
    assert {one["status"]["code"] for one in tasks()} == {200}


# Bodies in chunks


def chunked(parts: Iterable[bytes]) -> Iterator[bytes]:
    yield from parts


@pytest.fixture
def upload(caller: Caller, endpoint: str) -> str:
    """Where a task's documents go."""
    made = crawler_client.crawler(caller, crawler_client.external(caller, endpoint))
    return f"/actions/tasks/{crawler_client.start(caller, made['crawler'], count=1, pause=60)['fid']}/upload"


def test_a_body_in_chunks_is_taken(caller: Caller, upload: str) -> None:
    lines = [b'{"sku": "%d"}\n' % number for number in range(2500)]

    def stored() -> dict[str, Any] | None:
        """Other tests' connections from here end meanwhile: then it is not known whether this one did."""
        said = caller.call("POST", upload, data=chunked(lines))
        assert said.status_code in {200, 503}, said.text
        return dict(said.json()) if said.status_code == 200 else None

    assert crawler_client.until(stored)["count"] == 2500
    packed = gzip.compress(b"".join(lines))
    halves = chunked([packed[:100], packed[100:]])
    sent = caller.call("POST", upload, data=halves, headers={"Content-Encoding": "gzip"})
    assert (sent.status_code, sent.json()["unchanged"]) == (200, 2500)
    asked = caller.call("POST", "/externals", data=chunked([b"{}"]), headers={"Content-Type": "application/json"})
    assert (asked.status_code, asked.json()["type"]) == (400, "invalid-request")


@pytest.mark.parametrize(("close", "source"), [("shut", "127.0.0.1"), ("reset", "127.0.0.2")])
def test_a_body_in_chunks_that_is_cut_off_stores_nothing(caller: Caller, upload: str, close: str, source: str) -> None:
    place = urlsplit(caller.url)
    fid = upload.split("/")[3]
    before = crawler_client.task(caller, fid)["counts"]["received"]
    with socket.create_connection((place.hostname, place.port), source_address=(source, 0)) as connection:
        lines = b'{"sku": "cut-1"}\n{"sku": "cut-2"}\n'  # cut at the end of a line: nothing in them tells
        head = [f"POST {upload} HTTP/1.1", "Host: localhost", f"Authorization: token {caller.token}"]
        head += ["Transfer-Encoding: chunked", "", ""]
        connection.sendall("\r\n".join(head).encode() + b"%x\r\n%b\r\n" % (len(lines), lines))
        if close == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    whole = caller.call("POST", upload, data=b'{"sku": "whole"}')
    assert whole.json()["count"] == 1
    crawler_client.until(lambda: crawler_client.task(caller, fid)["counts"]["received"] > before)
    stream = crawler_client.task(caller, fid)["stream"]
    assert not [one for one in crawler_client.documents(caller, {"fid": stream}) if one["sku"].startswith("cut")]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_export_that_cannot_be_finished_is_broken_off(caller: Caller, endpoint: str, encoding: str) -> None:
    made = crawler_client.crawler(caller, crawler_client.external(caller, endpoint))
    task = crawler_client.start(caller, made["crawler"], count=1, pause=60)
    documents = [{"sku": f"{n:05}", "name": os.urandom(600).hex()} for n in range(30_000)]  # 37 MB, or 18 packed
    body = gzip.compress(crawler_client.lines(documents), 1)
    headers = {"Content-Encoding": "gzip"}
    sent = caller.call("POST", f"/actions/tasks/{task['fid']}/upload", data=body, headers=headers)
    assert sent.json()["inserted"] == 30_000
    headers = {"Accept": "application/x-ndjson", "Accept-Encoding": encoding}
    path = f"/streams/{made['stream']['fid']}"
    with caller.get(f"{path}/docs", headers=headers, stream=True) as answer:
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        came = answer.raw.read(100_000, decode_content=False)  # and no more, until there is no more to be had
        assert caller.delete(path).status_code == 200
        with pytest.raises((ProtocolError, ConnectionError)):
            came += answer.raw.read(decode_content=False)
    if encoding == "gzip":
        unpacker = zlib.decompressobj(wbits=31)
        unpacker.decompress(came)
        assert not unpacker.eof
    assert caller.get("/streams").status_code == 200


def test_no_secret_stands_in_the_log_or_in_redis(hub: Hub, caller: Caller) -> None:
    """Neither those that the owner gave nor the address by which the crawler reports."""
    canary = f"canary-{uuid4().hex}"
    with serving() as start:
        server = start(answer(b"not to be read", status="500 Internal Server Error"))
        external = crawler_client.external(
            caller, f"{server.url}/shop", credential="oauth", headers={"X-Token": canary}
        )
        params = {"query": "shoe", "secret": canary}
        made = crawler_client.crawler(caller, external, params, credential={"access_token": canary})
        task = crawler_client.start(caller, made["crawler"])
        crawler_client.until(lambda: crawler_client.task(caller, task["fid"])["calls"])
        sent = json.loads(server.bodies[0])
        capability = sent["endpoint"].split("/c/")[1].split("/")[0]
        assert sent["credential"] == {"access_token": canary}
        anonymous = hub.anonymous.post(f"/c/{capability}/actions/tasks/{task['fid']}/status", {"code": 5000})
        assert anonymous.status_code == 400
        caller.delete(f"/actions/tasks/{task['fid']}")
    shown = caller.get(f"/runs/{task['run']}").text
    servers = Servers.of(Home(hub.home), hub.environment).environment()
    with redis.Redis.from_url(servers["REDIS_URL"]) as broker:
        kept = [str(key) + str(broker.dump(key)) for key in broker.scan_iter()]
    told = [hub.log.read_text(errors="replace"), shown, *kept]
    assert not [text[:200] for text in told if canary in text or capability in text]
