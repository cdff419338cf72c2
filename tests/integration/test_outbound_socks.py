"""Users' proxies may be SOCKS5: what they are told, what becomes of those that do not serve, and whom the gate refuses.

Both of the gate's doors that take a proxy are tried: the client of pages, and the proxy that a browser has.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests
import trustme

from taskhub.outbound import Allow, Policy, Refused, Resolver, Unreachable
from taskhub.outbound.client import GateClient
from tests.integration.outbound_servers import Serve, answer, tls_for
from tests.integration.socks_servers import (
    CLOSING,
    HOST_UNREACHABLE,
    NOT_ALLOWED,
    REFUSED,
    SILENT,
    serving_socks,
)
from tests.integration.test_outbound_gateproxy import gate, through

POLICY = Policy(allow=Allow.parse(["loopback"]), connect_timeout=20, total_timeout=20)
HASTY = replace(POLICY, connect_timeout=0.5)
LOGIN = ("ann", "s3cr t")
SENT_LOGIN = "ann:s3cr%20t"

Ask = Callable[..., str]


def here(name: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def by_client(*urls: str, proxy: str, policy: Policy = POLICY, resolver: Resolver = here) -> str:
    """The texts of answers, one after the other by one client. Raises what the client raises."""

    async def ask() -> str:
        async with GateClient(policy, resolver=resolver) as client:
            return "".join([(await client.get(url, proxy=proxy)).body.decode() for url in urls])

    return asyncio.run(ask())


def by_browser(*urls: str, proxy: str, policy: Policy = POLICY, resolver: Resolver = here) -> str:
    """The same through the gate as a proxy, which has refused what did not succeed."""
    with gate(policy, upstream=proxy, resolver=resolver) as own:
        texts = []
        for url in urls:
            try:
                texts.append(through(own, url).text)
            except requests.RequestException:
                texts.append("")
        if own.refused:
            raise own.refused[0]
        return "".join(texts)


both = pytest.mark.parametrize("ask", [by_client, by_browser], ids=["client", "browser"])


@both
@pytest.mark.parametrize(
    ("scheme", "told"), [("socks5", "127.0.0.1"), ("socks5h", "shop.example.com"), ("SOCKS5", "127.0.0.1")]
)
@pytest.mark.parametrize("login", [None, LOGIN], ids=["open", "login"])
def test_a_proxy_is_told_an_address_or_a_name(
    serve: Serve, ask: Ask, scheme: str, told: str, login: tuple[str, str] | None
) -> None:
    server = serve(answer(b"hello"))
    with serving_socks(login) as proxy:
        url = f"http://shop.example.com:{server.port}/a?b=c"
        assert ask(url, proxy=proxy.url(SENT_LOGIN if login else "", scheme=scheme)) == "hello"
    assert (proxy.asked, proxy.logins) == ([told], [login] if login else [])
    [head] = server.heads
    assert head.startswith("GET /a?b=c HTTP/1.1\r\n")
    assert f"\r\nHost: shop.example.com:{server.port}\r\n" in head
    assert "proxy" not in head.lower()


def test_tls_is_for_the_name(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    seen: list[str | None] = []
    server = serve(answer(b"hello"), tls=tls_for(authority, "shop.example.com", seen))
    url = f"https://shop.example.com:{server.port}/"
    with serving_socks() as proxy:
        with gate(POLICY, upstream=proxy.url(), resolver=here) as own:
            assert through(own, url, verify=str(tmp_path / "ca.pem")).text == "hello"
        with pytest.raises(Unreachable, match="certificate"):
            by_client(url, proxy=proxy.url())
    assert seen == ["shop.example.com"] * 2


def test_connections_of_a_proxy_are_kept_apart(serve: Serve) -> None:
    server = serve(answer(b"."))
    with serving_socks() as first, serving_socks() as second:

        async def ask() -> None:
            async with GateClient(POLICY, resolver=here) as client:
                for proxy in (first.url(), second.url(), first.url(), ""):
                    await client.get(server.url, proxy=proxy)

        asyncio.run(ask())
        assert (first.connections, second.connections, server.connections) == (1, 1, 3)


@both
@pytest.mark.parametrize(
    ("reply", "login", "sent", "words"),
    [
        (SILENT, None, "", "it did not answer within 0.5 seconds"),
        (CLOSING, None, "", "is not reached through the proxy"),
        (NOT_ALLOWED, None, "", "not allowed"),
        (HOST_UNREACHABLE, None, "", "unreachable"),
        (REFUSED, None, "", "refused"),
        (0, LOGIN, "ann:wrong", "authentication failure"),
        (0, LOGIN, "", "No acceptable authentication"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", None, "", "version"),
        (b"\x05\x00" + b"\x05\x63\x00\x01" + bytes(6), None, "", "reply code"),
        (b"\x05\x00" + b"\x05\x00\x00\x01", None, "", "is not reached through the proxy"),
        (b"\x05\x01", None, "", "authentication method"),
    ],
    ids=[
        "silent",
        "closing",
        "not allowed",
        "no host",
        "refused",
        "wrong",
        "no login",
        "http",
        "code",
        "half",
        "gssapi",
    ],
)
def test_a_proxy_that_does_not_serve(
    ask: Ask, reply: int | bytes | str, login: tuple[str, str] | None, sent: str, words: str
) -> None:
    policy = HASTY if reply == SILENT else POLICY
    with serving_socks(login, reply) as proxy, pytest.raises(Unreachable) as caught:
        ask("http://shop.example.com/", proxy=proxy.url(sent), policy=policy)
    assert words.lower() in caught.value.detail.lower()
    assert "http://shop.example.com is not reached through the proxy" in caught.value.detail
    assert "wrong" not in caught.value.detail


@both
def test_nobody_there_is_told(ask: Ask) -> None:
    with pytest.raises(Unreachable, match="does not take connections"):
        ask("http://shop.example.com/", proxy="socks5://127.0.0.1:9")


@both
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://10.0.0.1/", "127.0.0.1"),
        ("http://169.254.169.254/", "127.0.0.1"),
        ("http://private.example.com/", "127.0.0.1"),
        ("http://mixed.example.com/", "127.0.0.1"),
        ("http://shop.example.com/", "10.0.0.1"),
        ("http://shop.example.com/", "private.example.com"),
        ("http://shop.example.com/", "localhost.localhost"),
    ],
)
def test_the_gate_holds_for_both_ends(ask: Ask, scheme: str, url: str, host: str) -> None:
    known = {"private": ["10.0.0.1"], "mixed": ["93.184.216.34", "10.0.0.1"], "shop": ["93.184.216.34"]}
    policy = Policy(allow=Allow.parse(["127.0.0.1"] if not host.endswith("localhost") else []), connect_timeout=20)
    with serving_socks() as proxy:
        address = f"{scheme}://ann:s3cret@{host}:{proxy.port}"
        with pytest.raises(Refused) as caught:
            ask(url, proxy=address, policy=policy, resolver=lambda name, port: known[name.partition(".")[0]])
    assert proxy.connections == 0
    assert "s3cret" not in caught.value.detail
