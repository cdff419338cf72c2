"""Where a call's connection goes: pinned addresses, reuse, nothing from the environment, nothing smuggled in."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskhub import __version__
from taskhub.outbound import Allow, Policy, Refused, Session, Unreachable
from tests.integration.outbound_servers import Names, Serve, answer

LOOPBACK = Policy(allow=Allow.parse(["loopback"]), total_timeout=30)
SECOND_ONLY = Policy(allow=Allow.parse(["127.0.0.2"]), total_timeout=30)


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(LOOPBACK) as session:
        yield session


def test_connections_and_their_addresses_are_used_again(serve: Serve) -> None:
    server, names = serve(answer(b"{}")), Names(["127.0.0.1"])
    with Session(LOOPBACK, resolver=names) as session:
        for _ in range(5):
            assert session.get(f"http://name.test:{server.port}/").json() == {}
    assert (len(server.heads), server.connections, names.asked) == (5, 1, [("name.test", server.port)])
    assert f"Host: name.test:{server.port}\r\n" in server.heads[0]
    assert f"User-Agent: taskhub/{__version__}\r\n" in server.heads[0]


def test_a_call_of_bytes_is_the_same_but_faster(serve: Serve) -> None:
    server = serve(answer(b"{}", "Set-Cookie: a=b"))
    with Session(LOOPBACK) as session:
        got = session.call("GET", f"{server.url}/a b?c=d e", headers={"X-A": "1"}, body=None)
        sent = session.call("POST", server.url, headers={"Content-Type": "text/plain"}, body=b"bytes")
        session.call("POST", server.url, headers={}, body=None)
        with pytest.raises(Refused, match="A header has characters"):
            session.call("GET", server.url, headers={"X-A": "1\r\nX-B: 2"}, body=None)
        for url in ("http://10.0.0.1/", "ftp://127.0.0.1/", f"http://user@{server.host}:{server.port}/", "http://a\n/"):
            with pytest.raises(Refused):
                session.call("GET", url, headers={}, body=None)
    assert (got.json(), sent.status_code, server.connections) == ({}, 200, 1)
    assert server.heads[0].startswith("GET /a%20b?c=d%20e HTTP/1.1\r\n")
    assert f"User-Agent: taskhub/{__version__}\r\n" in server.heads[0]
    assert "X-A: 1\r\n" in server.heads[0]
    assert "Content-Length" not in server.heads[0]
    assert (server.bodies[1], "Content-Length: 5\r\n" in server.heads[1]) == (b"bytes", True)
    assert "Content-Length: 0\r\n" in server.heads[2]
    assert not any("Cookie" in head for head in server.heads)


def test_a_name_that_changes_its_address_wins_nothing(serve: Serve) -> None:
    outer = serve(answer(b"outer", "Connection: close"), "127.0.0.2")
    inner = serve(answer(b"inner"), "127.0.0.1", outer.port)
    with Session(SECOND_ONLY, resolver=Names(["127.0.0.2"], ["127.0.0.1"])) as session:
        assert session.get(f"http://name.test:{outer.port}/").text == "outer"
        with pytest.raises(Refused, match="it leads to a loopback address"):
            session.get(f"http://name.test:{outer.port}/")
    assert inner.connections == 0


def test_one_forbidden_address_refuses_the_name(serve: Serve) -> None:
    server = serve(answer(), "127.0.0.2")
    with Session(SECOND_ONLY, resolver=Names(["127.0.0.2", "127.0.0.1"])) as session, pytest.raises(Refused):
        session.get(f"http://name.test:{server.port}/")
    assert server.connections == 0


def test_addresses_are_tried_in_order(serve: Serve) -> None:
    server = serve(answer(b"here"), "127.0.0.2")
    with Session(LOOPBACK, resolver=Names(["::1", "127.0.0.3", "127.0.0.2"])) as session:
        assert session.get(f"http://name.test:{server.port}/").text == "here"


def test_nobody_there_may_be_tried_again(session: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        session.get(f"http://127.0.0.1:{port}/secret")
    assert caught.value.detail == f"http://127.0.0.1:{port} cannot be connected to: Connection refused."
    assert (caught.value.permanent, caught.value.status) == (False, 503)


def test_nothing_is_called_without_an_exception(serve: Serve) -> None:
    server = serve(answer())
    with Session(Policy()) as session:
        for host in ("127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"):
            with pytest.raises(Refused):
                session.get(f"http://{host}:{server.port}/")
    assert server.connections == 0


def test_other_schemes_are_not_called(session: Session) -> None:
    for url in ("ftp://example.com/", "file:///etc/passwd", "httpx://example.com/", "example.com"):
        with pytest.raises(Refused):
            session.get(url)
    with pytest.raises(Refused, match="Only http and https"):
        session.get("ftp://example.com/")


def test_the_environment_is_not_read(
    serve: Serve, session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = serve(answer())
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.9:1")
    monkeypatch.setenv("NETRC", str(netrc))
    session.get(server.url)
    assert "Authorization" not in server.heads[0]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {"X-Name": "a\r\nX-Other: b"}),
        ("GET", "/", {"X-Name\r\nX-Other": "b"}),
        ("GET", "/", {"X-Name": "a\n b"}),
        ("GET", "/\r\nX-Other: b", {}),
        ("GET", "/ HTTP/1.1\r\nX-Other: b\r\n\r\nGET /", {}),
        ("GET / HTTP/1.1\r\nX-Other: b\r\n\r\nGET", "/", {}),
        ("GET", "/", {"X-Name": "\N{SNOWMAN}"}),
    ],
)
def test_lines_cannot_be_smuggled_in(
    serve: Serve, session: Session, method: str, path: str, headers: dict[str, str]
) -> None:
    server = serve(answer())
    with pytest.raises(Refused):
        session.request(method, server.url + path, headers=headers)
    assert server.heads == []


def test_escaped_line_breaks_stay_escaped(serve: Serve, session: Session) -> None:
    server = serve(answer())
    session.get(server.url, params={"q": "a\r\nX-Other: b"})
    assert server.heads[0].startswith("GET /?q=a%0D%0AX-Other%3A+b HTTP/1.1\r\n")
