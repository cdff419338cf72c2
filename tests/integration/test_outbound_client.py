"""The gate for many requests at once: as strict as the session, whatever aiohttp makes of an address."""

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from taskhub.outbound import Allow, Policy, Refused, TooMuch, Unreachable
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
    assert call(f"{site.url}/post", method="POST", form={"a": "b"}).body == b"/got"
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


def test_nothing_is_read_from_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert call(f"{site.url}/x").body == b"/x"


def test_nobody_there() -> None:
    with pytest.raises(Unreachable, match="broke the connection off"):
        call("http://127.0.0.1:9/")
    with pytest.raises(Unreachable):
        call("http://nowhere.invalid/", resolver=Names([]))
