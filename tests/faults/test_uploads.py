"""Uploads that are cut off, killed, sent twice, sent at once, or hostile: the stream holds what was acknowledged."""

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from itertools import repeat
from typing import Any

import brotli
import pytest
import requests
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import crawler_client
from tests.conftest import Person
from tests.faults.disposable import Disposable, until
from tests.faults.test_bodies import Sender, assert_problem, billed, chunked
from tests.hub import Caller
from tests.integration.outbound_servers import answer, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("front")]
DOCUMENTS = [{"sku": f"a{number:04}", "price": number} for number in range(3000)]
BODY = crawler_client.lines(DOCUMENTS)


class Crawl:
    """A stream of its own, and a task that takes uploads."""

    def __init__(self, caller: Caller, endpoint: str) -> None:
        self.caller = caller
        made = crawler_client.crawler(caller, crawler_client.external(caller, endpoint))
        self.stream = made["stream"]
        self.task = crawler_client.start(caller, made["crawler"])["fid"]
        self.path = f"/actions/tasks/{self.task}/upload"

    def upload(self, body: bytes, **options: Any) -> requests.Response:
        return self.caller.call("POST", self.path, data=body, **options)

    def shown(self) -> list[Any]:
        """All that the stream shows."""
        whole = self.caller.get(
            f"/streams/{self.stream['fid']}/docs", headers={"Accept": "application/x-ndjson"}
        ).content
        return [json.loads(line) for line in whole.splitlines()]

    def counts(self) -> dict[str, int]:
        return dict(crawler_client.task(self.caller, self.task)["counts"])


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A crawler that takes tasks, and does nothing."""
    with serving() as start:
        yield start(answer(b"")).url


@pytest.fixture
def crawl(broken: Disposable, endpoint: str) -> Crawl:
    return Crawl(broken.people.sign_up(), endpoint)


# Cut off


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_connection_cut_after_any_byte_stores_nothing(crawl: Crawl, encoding: str) -> None:
    body = gzip.compress(BODY) if encoding == "gzip" else BODY
    chance = random.Random(encoding)
    ends_of_lines = [place + 1 for place in range(len(BODY)) if BODY[place] == 10]
    places = chance.sample(range(1, len(body)), 20) + (ends_of_lines[:2] if encoding == "identity" else [])
    for number, place in enumerate(places):
        length = f"Content-Length: {len(body)}"
        with Sender(crawl.caller, crawl.path, length, f"Content-Encoding: {encoding}") as sender:
            sender.send([body[:place]])
            if number % 2:
                sender.cut()
            else:
                sender.end()
                assert_problem(sender.answer(), 400)
    assert crawl.shown() == []
    sent = crawl.upload(body, headers={"Content-Encoding": encoding})
    assert (sent.status_code, sent.json()["inserted"]) == (200, len(DOCUMENTS))
    assert crawl.shown() == DOCUMENTS
    assert crawl.counts()["received"] == len(DOCUMENTS)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_chunks_without_their_last_one_store_nothing(crawl: Crawl, encoding: str) -> None:
    body = gzip.compress(BODY) if encoding == "gzip" else BODY
    (whole,) = list(chunked([body]))[:1]
    headers = ["Transfer-Encoding: chunked", f"Content-Encoding: {encoding}"]
    for parts in ([whole], [whole[: len(whole) // 2]], [whole, b"5\r\nab"], [whole, b"no length\r\n"]):
        with Sender(crawl.caller, crawl.path, *headers) as sender:
            sender.send(parts)
            sender.end()
            assert sender.answer()[0] != 200 or encoding == "gzip"  # what is packed tells its end itself
    if encoding == "identity":
        assert crawl.shown() == []


# Killed


def test_web_processes_killed_in_the_middle_of_uploads(broken: Disposable, crawl: Crawl) -> None:
    """What was acknowledged is whole, the rest is absent; sending again completes it."""
    batches = [crawler_client.lines([{"sku": f"{batch}-{n:04}"} for n in range(2000)]) for batch in range(12)]
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(_tried, crawl, batch) for batch in batches]
        for _ in range(3):
            for child in until(lambda: broken.children("web"))[:1]:
                child.kill()
            with suppress(TimeoutError):
                next(as_completed([one for one in answers if not one.done()], timeout=5), None)
        stored = [batch for batch, one in zip(batches, answers, strict=True) if one.result() == 200]
    broken.await_health()
    shown = {one["sku"] for one in crawl.shown()}
    for batch in batches:
        skus = {json.loads(line)["sku"] for line in batch.splitlines()}
        assert skus <= shown or (not skus & shown and batch not in stored)
    for batch in batches:
        assert crawl.upload(batch).status_code == 200
    assert len(crawl.shown()) == 24_000
    assert crawl.counts()["inserted"] == 24_000


def _tried(crawl: Crawl, body: bytes) -> int:
    """The status, or 0 when nobody answered."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            headers = {"Authorization": f"token {crawl.caller.token}"}
            return session.post(crawl.caller.url + crawl.path, data=body, headers=headers, timeout=60).status_code
        except requests.RequestException:
            return 0


def test_a_worker_killed_while_it_asks_a_crawler_asks_again(broken: Disposable) -> None:
    caller = broken.people.sign_up()
    with serving() as start:
        asked: list[int] = []

        def first_never_answers(server: Any, connection: Any) -> None:
            asked.append(1)
            if len(asked) == 1:
                broken.program("worker:threads").kill()
                return
            connection.sendall(answer(b'{"payload": {"status": 200}}'))

        server = start(first_never_answers)
        crawl = Crawl(caller, server.url)
        until(lambda: crawler_client.task(caller, crawl.task)["status"]["code"] == 200, 90)
        fids = {json.loads(body)["fid"] for body in server.bodies}
    assert len(server.bodies) == 2
    assert fids == {crawl.task}


# At once


def test_ten_clients_send_overlapping_uploads(crawl: Crawl) -> None:
    """The stream equals the union, and the counts add up."""
    bodies = [
        crawler_client.lines([{"sku": f"{n:04}"} for n in range(start, start + 600)]) for start in range(0, 2000, 200)
    ]
    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda body: _until_stored(crawl, body), bodies))
    assert statuses == [200] * 10
    assert [one["sku"] for one in crawl.shown()] == [f"{n:04}" for n in range(2400)]
    counts = crawl.counts()
    assert (counts["received"], counts["inserted"], counts["updated"]) == (6000, 2400, 0)
    assert counts["unchanged"] == 3600


def _until_stored(crawl: Crawl, body: bytes) -> int:
    """As a crawler does: 503 is no end."""
    while (status := _tried(crawl, body)) == 503:
        pass
    return status


# Hostile

ROOM = 10 * 1024 * 1024
HOSTILE: dict[str, tuple[Callable[[], bytes], str, int]] = {
    "gzip bomb": (lambda: gzip.compress(bytes(200_000_000)), "gzip", 413),
    "gzip bomb of lines": (lambda: gzip.compress(b"{}\n" * 30_000_000), "gzip", 413),
    "gzip bomb of nothing": (lambda: gzip.compress(b"\n" * 100_000_000), "gzip", 413),
    "zstd bomb": (lambda: zstd.compress(bytes(200_000_000)), "zstd", 413),
    "br bomb": (lambda: brotli.compress(bytes(50_000_000), quality=5), "br", 413),
    "deflate bomb": (lambda: zlib.compress(bytes(100_000_000)), "deflate", 413),
    "nested lists": (lambda: b'{"sku": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "identity", 413),
    "nested objects": (lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "identity", 413),
    "many keys": (lambda: b"{%b}" % b",".join(b'"%d":0' % n for n in range(800_000)), "identity", 413),
    "a long list": (lambda: b'{"sku": [%b0]}' % (b"0," * 5_000_000), "identity", 413),
    "invalid UTF-8": (lambda: b'{"sku": "\xff\xfe"}', "identity", 400),
    "a lone surrogate": (lambda: b'{"sku": "\\ud800"}', "identity", 406),
    "U+0000": (lambda: b'{"sku": "a\\u0000"}', "identity", 406),
    "NaN": (lambda: b'{"sku": "a", "price": NaN}', "identity", 400),
    "a huge integer": (lambda: b'{"sku": "a", "price": ' + b"9" * 1_000_000 + b"}", "identity", 406),
    "a duplicate key": (lambda: b'{"sku": "a", "sku": "b"}', "identity", 400),
    "no gzip": (lambda: b'{"sku": "a"}', "gzip", 400),
    "two encodings": (lambda: gzip.compress(b"{}"), "gzip, gzip", 415),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_upload_is_refused_at_little_cost(broken: Disposable, crawl: Crawl, kind: str) -> None:
    make, encoding, status = HOSTILE[kind]
    body = make()
    with billed(broken):
        refused = crawl.upload(body, headers={"Content-Encoding": encoding})
        assert refused.status_code == status, refused.text
        assert refused.json()["messages"]
    assert crawl.shown() == []


def test_a_line_of_300_mb_is_refused(broken: Disposable, crawl: Crawl) -> None:
    parts = [b'{"sku": "', *repeat(b"x" * ROOM, 30), b'"}']
    with billed(broken), Sender(crawl.caller, crawl.path, f"Content-Length: {sum(map(len, parts))}") as sender:
        sender.send(parts)
        problem = assert_problem(sender.answer(), 413)
    assert (problem["errors"][0]["line"], problem["limit"]) == (1, ROOM)
    assert crawl.shown() == []


def test_slow_uploads_hold_nobody_up(broken: Disposable, crawl: Crawl) -> None:
    slow = [Sender(crawl.caller, crawl.path, "Content-Length: 1000000000") for _ in range(12)]
    for sender in slow:
        sender.send([b'{"sku": "slow"}\n'])
    assert crawl.upload(b'{"sku": "quick"}').status_code == 200
    for sender in slow:
        sender.cut()
    assert crawl.shown() == [{"sku": "quick"}]


# In process


@pytest.fixture
def inside(owner: Person) -> tuple[Person, str, str]:
    """Owner, upload's path, documents' path."""
    made = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/shop"))
    task = crawler_client.start(owner, made["crawler"])["fid"]
    return owner, f"/actions/tasks/{task}/upload", f"/streams/{made['stream']['fid']}/docs"


mutations = st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=4)), max_size=4)


@pytest.mark.django_db(transaction=True)
@given(
    documents=st.lists(st.dictionaries(st.sampled_from(["sku", "price", "x"]), st.text() | st.integers() | st.none())),
    mutations=mutations,
    encoding=st.sampled_from(["identity", "gzip", "deflate", "br", "zstd", "nonsense"]),
    skip=st.booleans(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_is_answered_with_5xx_and_the_stream_holds_what_was_acknowledged(
    inside: tuple[Person, str, str], documents: Any, mutations: Any, encoding: str, skip: bool
) -> None:
    owner, path, docs = inside
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstd.compress}
    body = pack.get(encoding, bytes)(crawler_client.lines(documents))
    for place, bytes_ in mutations:
        body = body[:place] + bytes_ + body[place + 1 :]
    before = owner.get(docs, {"limit": 1000}).json()["payload"]["results"]
    query = "?on_invalid=skip" if skip else ""
    headers = {"Content-Encoding": encoding}
    got = owner.post(path + query, body, content_type="application/x-ndjson", headers=headers)
    after = owner.get(docs, {"limit": 1000}).json()["payload"]["results"]
    assert got.status_code in {200, 400, 406, 413, 415}, got.content
    if got.status_code == 200:
        assert len(after) == len(before) + got.json()["inserted"]
    else:
        assert after == before
        assert got.json()["messages"]


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_said_and_nothing_is_stored(
    inside: tuple[Person, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, path, docs = inside

    def full(self: Any, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.write", full)
    refused = owner.post(path, b'{"sku": "a"}', content_type="application/x-ndjson")
    assert (refused.status_code, refused["Retry-After"]) == (503, "60")
    monkeypatch.undo()
    assert owner.get(docs).json()["payload"]["results"] == []
    assert owner.post(path, b'{"sku": "a"}', content_type="application/x-ndjson").status_code == 200
