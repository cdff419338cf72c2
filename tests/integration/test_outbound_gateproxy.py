"""The gate as a proxy: what a browser may reach through it, and what it may not."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import trustme

from taskhub.outbound import Allow, Policy, Resolver
from taskhub.outbound.proxy import GateProxy
from tests.integration.outbound_servers import Serve, Server, answer, tls_for
from tests.integration.test_outbound_proxies import tunnel

LOOPBACK = Policy(allow=Allow.parse(["loopback"]), connect_timeout=2, total_timeout=10)


def names(**known: list[str]) -> Resolver:
    """`shop` is shop.example.com."""
    return lambda name, port: known[name.partition(".")[0]]


@contextmanager
def gate(policy: Policy = LOOPBACK, **terms: Any) -> Iterator[GateProxy]:
    """A gate that serves in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    proxy = GateProxy(policy, **{"max_bytes": 1_000_000, **terms})
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def through(proxy: GateProxy, url: str, **options: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, proxies={"http": proxy.address, "https": proxy.address}, timeout=10, **options)


def test_plain_requests_are_passed_on_without_what_is_the_proxys(serve: Serve) -> None:
    server = serve(answer(b"hello"))
    with gate() as proxy:
        got = through(proxy, f"{server.url}/a?b=c", headers={"X-Mine": "1", "Proxy-Authorization": "Basic eA=="})
    assert got.text == "hello"
    [head] = server.heads
    assert head.startswith("GET /a?b=c HTTP/1.1")
    assert "X-Mine: 1" in head
    assert "proxy" not in head.lower()
    assert proxy.received >= 5


def test_what_a_program_asks_for_by_itself_is_not_called_and_no_news(serve: Serve) -> None:
    server = serve(answer(b"hello"))
    port = server.url.rpartition(":")[2]
    with gate(resolver=names(own=["127.0.0.1"], shop=["127.0.0.1"]), own_hosts={"own.example.com"}) as proxy:
        assert through(proxy, f"http://own.example.com:{port}/").status_code == 403
        with pytest.raises(requests.exceptions.ProxyError, match="403"):
            through(proxy, "https://OWN.example.com/")
        assert (proxy.refused, server.heads) == ([], [])
        assert through(proxy, f"http://shop.example.com:{port}/").text == "hello"


def test_a_connection_carries_one_request_whatever_its_server_says(serve: Serve) -> None:
    """The next request on it could be meant for another server, and hold what is not this one's to know."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    server = serve(interim + answer(b"hello", "Connection: keep-alive", "Keep-Alive: timeout=60"))
    with gate() as proxy, socket.create_connection(("127.0.0.1", int(proxy.address.rpartition(":")[2]))) as caller:
        body = b"a=1"
        first = f"POST {server.url}/ HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        caller.sendall(first + b"GET http://other.example.com/ HTTP/1.1\r\nCookie: s3cr3t\r\n\r\n")
        head = caller.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"\r\nConnection: close\r\n" in head
        assert b"keep-alive" not in head.lower()
        assert server.bodies == [body]
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    "header", ["Transfer-Encoding: chunked", "Content-Length: 1\r\nContent-Length: 2", "Content-Length: x"]
)
def test_a_request_without_a_length_is_refused(serve: Serve, header: str) -> None:
    server = serve(answer(b"hello"))
    with gate() as proxy, socket.create_connection(("127.0.0.1", int(proxy.address.rpartition(":")[2]))) as caller:
        caller.sendall(f"POST {server.url}/ HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n".encode())
        assert caller.recv(1000).startswith(b"HTTP/1.1 403")
    assert server.heads == []


def test_tunnels_lead_to_what_was_checked(serve: Serve, tmp_path: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = serve(answer(b"hello"), tls=tls_for(authority, "shop.example.com"))
    with gate(resolver=names(shop=["127.0.0.1"])) as proxy:
        got = through(proxy, f"https://shop.example.com:{server.port}/", verify=str(tmp_path / "ca.pem"))
    assert got.text == "hello"


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://[::ffff:10.0.0.1]/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://user:password@10.0.0.1/",
        "http://private.example.com/",
        "http://mixed.example.com/",
    ],
)
def test_forbidden_addresses_are_refused(url: str) -> None:
    known = names(private=["10.0.0.1"], mixed=["93.184.216.34", "10.0.0.1"])
    with gate(Policy(connect_timeout=2), resolver=known) as proxy:
        got = through(proxy, url)
        assert (got.status_code, "taskhub" in got.headers["Proxy-Status"]) == (403, True)
        with pytest.raises(requests.exceptions.ProxyError):
            through(proxy, url.replace("http:", "https:"))
    assert len(proxy.refused) == 2


def test_nobody_there_is_told() -> None:
    with gate() as proxy:
        assert through(proxy, "http://127.0.0.1:9/").status_code == 502


def test_long_headers_pass(serve: Serve) -> None:
    headers = [f"X-{number}: {'x' * 65_000}" for number in range(3)]
    server = serve(answer(b"ok", *headers))
    with gate() as proxy:
        assert through(proxy, server.url).text == "ok"


def test_more_than_the_limit_is_cut_off(serve: Serve) -> None:
    server = serve(answer(b"x" * 500_000))
    with gate(max_bytes=100_000) as proxy, pytest.raises(requests.RequestException):
        through(proxy, server.url)
    assert "more than 100000 bytes" in proxy.refused[0].detail


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET /path HTTP/1.1\r\n\r\n", b"GET http://a/ HTTP/1.1\r\nX: " + b"y" * 270_000],
    ids=["nonsense", "a path", "a long header"],
)
def test_what_is_no_request_of_a_proxy_is_refused(sent: bytes) -> None:
    with gate() as proxy, socket.create_connection(("127.0.0.1", int(proxy.address.rpartition(":")[2]))) as caller:
        caller.sendall(sent)
        assert caller.recv(1000).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("secure", [False, True])
def test_a_users_own_proxy_stands_behind_the_gate(serve: Serve, secure: bool, tmp_path: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    target = serve(answer(b"hello"), tls=tls_for(authority, "shop.example.com"))
    own: Server = serve(tunnel if secure else answer(b"hello"))
    with gate(resolver=names(shop=["127.0.0.1"]), upstream=own.url.replace("://", "://ann:s3cr%20t@")) as proxy:
        scheme, port = ("https", target.port) if secure else ("http", 8080)
        got = through(proxy, f"{scheme}://shop.example.com:{port}/x", verify=str(tmp_path / "ca.pem"))
    assert got.text == "hello"
    assert own.heads[0].startswith("CONNECT shop.example.com:" if secure else "GET http://shop.example.com:8080/x")
    assert "Proxy-Authorization: Basic YW5uOnMzY3IgdA==" in own.heads[0]


def test_a_proxy_that_may_not_be_called_is_refused() -> None:
    with gate(Policy(connect_timeout=2), upstream="http://10.0.0.1:3128") as proxy:
        assert through(proxy, "http://93.184.216.34/").status_code == 403
