"""The gate for many requests at once: as strict as the session, whatever aiohttp makes of an address."""

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from taskhub.outbound import Allow, Policy, Refused, Session, TooMuch, Unreachable
from taskhub.outbound.client import GateClient, GateRequest, GateResponse
from tests.extraction_sites import Reply, Site, serving
from tests.integration.outbound_servers import Names

LOOPBACK = Policy(allow=Allow.parse(["loopback"]), total_timeout=5)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.other = lambda path, before: Reply(path)
        yield site


def call(url: str, policy: Policy = LOOPBACK, resolver: Any = None, **options: Any) -> GateResponse:
    async def one() -> GateResponse:
        client = GateClient(policy, resolver=resolver) if resolver else GateClient(policy)
        async with client:
            return await client.call(GateRequest(url, **options))

    return asyncio.run(one())


@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fe80::1]/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://user:password@127.0.0.1/",
        "http://127.0.0.1#@10.0.0.1/",
        "http://127.0.0.1\\@10.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/a\r\nX: y",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://",
    ],
)
def test_addresses_that_are_not_called(address: str) -> None:
    with pytest.raises((Refused, Unreachable)) as caught:
        call(address)
    assert isinstance(caught.value, Refused) or "#@" in address  # which is loopback's, with a fragment


def test_loopback_is_refused_unless_it_is_allowed(site: Site) -> None:
    for url in (site.url, site.url.replace("127.0.0.1", "localhost")):
        with pytest.raises(Refused, match="loopback"):
            call(url, Policy())
    assert not site.hits


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    assert call(f"http://name.test:{port}/a", resolver=names).body == b"/a"
    with pytest.raises(Refused, match="a private address"):
        call(f"http://name.test:{port}/a", resolver=names)
    with pytest.raises(Refused, match="a private address"):  # one forbidden address refuses the name
        call(f"http://name.test:{port}/a", resolver=Names(["127.0.0.1", "10.0.0.1"]))


def test_every_address_of_a_name_is_tried(site: Site) -> None:
    port = site.url.rpartition(":")[2]
    assert call(f"http://name.test:{port}/b", resolver=Names(["127.0.0.9", "127.0.0.1"])).body == b"/b"


def test_redirects_are_checked_and_credentials_stay(site: Site) -> None:
    with serving() as other:
        other.other = lambda path, before: Reply(path)
        site.pages["/away"] = Reply("", 302, {"Location": f"{other.url}/landed"})
        site.pages["/post"] = Reply("", 303, {"Location": "/got"})
        headers = {"Authorization": "x", "X-Own": "y", "X-Plain": "z"}
        answer = call(f"{site.url}/away", headers=headers, secret=frozenset({"x-own"}))
        assert (answer.body, answer.url) == (b"/landed", f"{other.url}/landed")
        assert "X-Plain" in other.seen["/landed"]
        assert not {"Authorization", "X-Own"} & other.seen["/landed"].keys()
    assert call(f"{site.url}/post", method="POST", body=b"a=b").body == b"/got"
    assert (site.bodies["/post"], site.bodies["/got"]) == (b"a=b", b"")
    site.pages["/private"] = Reply("", 302, {"Location": "http://192.168.0.1/"})
    site.pages["/round"] = Reply("", 302, {"Location": "/round"})
    with pytest.raises(Refused):
        call(f"{site.url}/private")
    with pytest.raises(TooMuch):
        call(f"{site.url}/round")


def test_bodies_are_unpacked_within_limits(site: Site) -> None:
    site.pages["/z"] = Reply(gzip.compress(b"x" * 5000), headers={"Content-Encoding": "gzip"})
    answer = call(f"{site.url}/z")
    assert (answer.body, answer.wire < 200) == (b"x" * 5000, True)
    with pytest.raises(TooMuch):
        call(f"{site.url}/z", max_bytes=4999)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\npage",
        HEAD + b"Content-Length: 4\r\n\r\npage and more than it tells",
        HEAD + b"this is no header\r\nContent-Length: 4\r\n\r\npage",
        HEAD + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\r\n",
        HEAD + b"Content-Encoding: utf-8\r\nContent-Length: 4\r\n\r\npage",
        HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"page", mtime=0) + b"behind",
        HEAD + b"Content-Encoding: deflate\r\nContent-Length: 10\r\n\r\n" + zlib.compress(b"page")[:-2],
        HEAD + b"X-Long: " + b"x" * 60_000 + b"\r\nContent-Length: 4\r\n\r\npage",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"Content-Length: 4\r\n\r\npage",
    ],
)
def test_answers_are_read_as_browsers_read_them(site: Site, raw: bytes) -> None:
    site.pages["/odd"] = Reply(raw=raw)
    assert call(f"{site.url}/odd").body == b"page"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\npage", "contradicts itself about the length"),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"page", mtime=0)[:-9], "before its end"),
        (HEAD + b"X-Long: " + b"x" * 300_000 + b"\r\n\r\n", "headers that are too long"),
    ],
)
def test_answers_that_no_browser_reads(site: Site, raw: bytes, words: str) -> None:
    site.pages["/odd"] = Reply(raw=raw)
    with pytest.raises((Unreachable, TooMuch), match=words):
        call(f"{site.url}/odd")


def test_a_connection_with_more_than_was_told_is_not_used_again(site: Site) -> None:
    site.pages["/odd"] = Reply(raw=HEAD + b"Content-Length: 4\r\n\r\npage" + HEAD + b"Content-Length: 4\r\n\r\nevil")

    async def both() -> tuple[bytes, bytes]:
        async with GateClient(LOOPBACK) as client:
            return (await client.get(f"{site.url}/odd")).body, (await client.get(f"{site.url}/x")).body

    assert asyncio.run(both()) == (b"page", b"/x")


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (b"/to a page", "/to%20a%20page"),
        (b"/caf\xe9", "/caf%E9"),
        ("/café?q=ü".encode(), "/caf%C3%A9?q=%C3%BC"),
    ],
)
def test_where_redirects_lead_for_every_library(site: Site, location: bytes, path: str) -> None:
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "
    site.pages["/away"] = Reply(raw=head + location + b"\r\n\r\n")
    assert call(f"{site.url}/away").body.decode() == path
    with Session(LOOPBACK) as session:
        assert session.get(f"{site.url}/away").text == path


def test_too_long_a_body_may_be_cut_off(site: Site) -> None:
    site.pages["/long"] = Reply(b"x" * 3_000_000)
    answer = call(f"{site.url}/long", max_bytes=1_000_000, cut_off=True)
    assert 700_000 < len(answer.body) <= 1_000_000
    with pytest.raises(TooMuch):
        call(f"{site.url}/long", max_bytes=1_000_000)


def test_nothing_is_read_from_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert call(f"{site.url}/x").body == b"/x"


def test_nobody_there() -> None:
    with pytest.raises(Unreachable, match="broke the connection off"):
        call("http://127.0.0.1:9/")
    with pytest.raises(Unreachable):
        call("http://nowhere.invalid/", resolver=Names([]))
