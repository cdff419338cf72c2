"""TLS is for the name, through a proxy too; a proxy passes the gate as any other server."""

import secrets
import socket
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from taskhub.outbound import Allow, Policy, Refused, Session, Unreachable
from tests.integration.outbound_servers import Names, Script, Serve, Server, answer, redirect, tls_for

LOOPBACK = Policy(allow=Allow.parse(["loopback"]), total_timeout=30)


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(LOOPBACK) as session:
        yield session


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def tunnel(server: Server, client: socket.socket) -> None:
    """A proxy's CONNECT to whatever is asked for, taken to be on 127.0.0.1."""
    port = int(server.heads[-1].split()[1].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as target:
        client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        back = server.start(pump, target, client)
        pump(client, target)
        back.join(10)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def test_tls_is_for_the_name(serve: Serve, authority: trustme.CA, trust: str) -> None:
    seen: list[str | None] = []
    server = serve(answer(b"here"), tls=tls_for(authority, "name.test", seen))
    with Session(LOOPBACK, resolver=Names(["127.0.0.1"])) as session:
        session.verify = trust
        assert session.get(f"https://name.test:{server.port}/").text == "here"
        assert session.get(f"https://name.test:{server.port}/").text == "here"
        assert (seen, server.connections) == (["name.test"], 1)
        with pytest.raises(Unreachable, match="shows a certificate that is not valid for it"):
            session.get(f"https://other.test:{server.port}/")


def test_an_unknown_authority_is_not_trusted(serve: Serve, authority: trustme.CA, session: Session) -> None:
    server = serve(answer(), tls=tls_for(authority, "127.0.0.1"))
    with pytest.raises(Unreachable, match="certificate"):
        session.get(server.url)


def test_credentials_do_not_go_from_https_to_http(serve: Serve, authority: trustme.CA, trust: str) -> None:
    plain = serve(answer())
    secure = serve(redirect(plain.url), tls=tls_for(authority, "127.0.0.1"))
    with Session(LOOPBACK) as session:
        session.get(secure.url, headers={"Authorization": "token a"}, cookies={"b": "c"}, verify=trust)
    assert "Authorization" not in plain.heads[0]
    assert "Cookie" not in plain.heads[0]


def test_a_proxy_is_used(serve: Serve) -> None:
    proxy = serve(answer(b"by proxy"))
    with Session(LOOPBACK, resolver=Names(["127.0.0.1"])) as session:
        proxies = {"http": f"http://user:pw@127.0.0.1:{proxy.port}"}
        assert session.get("http://name.test/path", proxies=proxies).text == "by proxy"
    assert proxy.heads[0].startswith("GET http://name.test/path HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpwdw==\r\n" in proxy.heads[0]


def test_a_proxy_carries_tls_to_the_name(serve: Serve, authority: trustme.CA, trust: str) -> None:
    server, proxy = serve(answer(b"inside"), tls=tls_for(authority, "name.test")), serve(tunnel)
    with Session(LOOPBACK, resolver=Names(["127.0.0.1"])) as session:
        url = f"https://name.test:{server.port}/"
        for _ in range(2):
            assert session.get(url, proxies={"https": proxy.url}, verify=trust).text == "inside"
    assert (proxy.connections, server.connections) == (1, 1)


@pytest.mark.parametrize(
    ("proxy", "url", "allowed"),
    [
        ("http://127.0.0.1:{port}", "http://8.8.8.8/", "127.0.0.2"),
        ("127.0.0.1:{port}", "http://8.8.8.8/", "127.0.0.2"),
        ("http://proxy.test:{port}", "http://8.8.8.8/", "127.0.0.2"),
        ("https://user:pw@proxy.test:{port}", "https://8.8.8.8/", "127.0.0.2"),
        ("socks5://127.0.0.1:{port}", "http://8.8.8.8/", "127.0.0.1"),
        ("http://127.0.0.1:{port}", "http://10.0.0.1/", "127.0.0.1"),
        ("http://127.0.0.1:{port}", "http://private.test/", "127.0.0.1"),
        ("http://127.0.0.1:{port}", "https://private.test/", "127.0.0.1"),
    ],
)
def test_a_proxy_passes_the_gate_and_so_does_what_it_is_asked_for(
    serve: Serve, proxy: str, url: str, allowed: str
) -> None:
    server = serve(answer())
    policy = Policy(allow=Allow.parse([allowed]))
    names = {"proxy.test": ["127.0.0.1"], "private.test": ["10.0.0.1"]}
    address = proxy.format(port=server.port)
    with Session(policy, resolver=lambda name, port: names[name]) as session, pytest.raises(Refused) as caught:
        session.get(url, proxies={"all": address})
    assert server.connections == 0
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("script", [answer(status="403 Forbidden"), answer(status="407 Who"), b"SSH-2.0\r\n\r\n"])
def test_a_proxy_that_does_not_connect(serve: Serve, session: Session, script: Script | bytes) -> None:
    proxy = serve(script)
    with pytest.raises(Unreachable, match=r"^https://127\.0\.0\.1 "):
        session.get("https://127.0.0.1/", proxies={"https": proxy.url})


def test_no_error_and_no_log_tells_a_secret(
    serve: Serve, session: Session, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    def reset(server: Server, client: socket.socket) -> None:
        client.shutdown(socket.SHUT_RDWR)

    secure = serve(answer(), tls=tls_for(authority, "127.0.0.1")).url
    odd = serve(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 0\r\n\r\n").url
    canary = secrets.token_hex()
    urls = [serve(reset).url, serve(b"garbage\r\n").url, "http://127.0.0.1:1", "http://10.0.0.1", secure, odd]
    urls += [serve(redirect(f"http://{canary}:{canary}@127.0.0.1/{canary}?{canary}")).url, f"http://{canary}@127.0.0.1"]
    for url in urls:
        with pytest.raises((Refused, Unreachable)) as caught:
            session.get(f"{url}/{canary}?api_key={canary}", headers={"Authorization": canary})
        assert canary not in f"{caught.value!r} {''.join(traceback.format_exception(caught.value))}"
    assert canary not in caplog.text
