"""Redirects: every hop passes the gate, and credentials stay with the origin that was called."""

import socket
from collections.abc import Iterator

import pytest

from taskhub.outbound import Allow, Policy, Refused, Session, TooMuch, Unreachable
from tests.integration.outbound_servers import Script, Serve, Server, answer, redirect


@pytest.fixture
def session() -> Iterator[Session]:
    policy = Policy(allow=Allow.parse(["127.0.0.1", "127.0.0.2"]), max_redirects=3, total_timeout=30)
    with Session(policy, secret_headers=["X-Crawler-Token"]) as session:
        yield session


def by_path(**answers: bytes) -> Script:
    def script(server: Server, client: socket.socket) -> None:
        path = server.heads[-1].split()[1].partition("?")[0].strip("/")
        client.sendall(answers[path or "start"])

    return script


def header(head: str, name: str) -> str | None:
    found = [line for line in head.splitlines() if line.lower().startswith(f"{name.lower()}:")]
    return found[0].partition(":")[2].strip() if found else None


def test_are_followed(serve: Serve, session: Session) -> None:
    server = serve(by_path(start=redirect("/second?x=1"), second=redirect("third"), third=answer(b"here")))
    answered = session.get(server.url)
    assert answered.text == "here"
    assert answered.url == f"{server.url}/third"
    assert [hop.status_code for hop in answered.history] == [302, 302]
    assert server.connections == 1


def test_are_left_alone_when_the_call_says_so(serve: Serve, session: Session) -> None:
    server = serve(redirect("http://10.0.0.1/"))
    answered = session.get(server.url, allow_redirects=False)
    assert (answered.status_code, answered.headers["Location"]) == (302, "http://10.0.0.1/")


def test_are_limited(serve: Serve, session: Session) -> None:
    server = serve(redirect("/"))
    with pytest.raises(TooMuch, match="redirects more than 3 times"):
        session.get(server.url)
    assert len(server.heads) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.3:{port}/",
        "//127.0.0.3:{port}/",
        "http://0x7f000003:{port}/",
        "http://[::ffff:127.0.0.3]:{port}/",
        "http://name.test:{port}/",
        "http://localhost:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://user:pw@127.0.0.2:{port}/",
        "file:///etc/passwd",
        "ftp://127.0.0.2:{port}/",
        "javascript:1",
        "http://[",
        "http://127.0.0.2:banana/",
    ],
)
def test_to_forbidden_places_are_refused(serve: Serve, location: str) -> None:
    inner = serve(answer(b"secret"), "127.0.0.3")
    outer = serve(redirect(location.format(port=inner.port)), "127.0.0.2")
    policy = Policy(allow=Allow.parse(["127.0.0.2"]))
    with Session(policy, resolver=lambda name, port: ["127.0.0.3"]) as session, pytest.raises(Refused):
        session.get(outer.url)
    assert (len(outer.heads), inner.connections) == (1, 0)


def test_keep_credentials_within_the_origin(serve: Serve, session: Session) -> None:
    server = serve(by_path(start=redirect("/second"), second=answer()))
    secrets = {"Authorization": "token a", "X-API-Key": "b", "x-crawler-token": "c", "X-Plain": "d"}
    session.get(server.url, headers=secrets, cookies={"e": "f"})
    assert [header(server.heads[1], name) for name in (*secrets, "Cookie")] == ["token a", "b", "c", "d", "e=f"]


@pytest.mark.parametrize("elsewhere", ["127.0.0.1", "127.0.0.2"])
def test_drop_credentials_on_the_way_to_another_origin(serve: Serve, session: Session, elsewhere: str) -> None:
    other = serve(by_path(start=redirect("/second"), second=answer()), elsewhere)
    server = serve(redirect(other.url, "Set-Cookie: own=1"))
    secrets = {"Authorization": "token a", "X-API-Key": "b", "x-crawler-token": "c", "X-Plain": "d"}
    session.cookies.set("g", "h")
    session.get(server.url, headers=secrets, cookies={"e": "f"}, auth=("user", "pw"))
    for head in other.heads:
        assert [header(head, name) for name in (*secrets, "Cookie")] == [None, None, None, "d", None]
    assert len(other.heads) == 2


def test_do_not_bring_credentials_back(serve: Serve, session: Session) -> None:
    back = serve(by_path(start=redirect("/x"), x=answer()))
    other = serve(redirect(f"{back.url}/x"), "127.0.0.2")
    server = serve(by_path(start=redirect(other.url)))
    session.get(server.url, headers={"Authorization": "token a"})
    assert header(server.heads[0], "Authorization") == "token a"
    assert header(back.heads[0], "Authorization") is None


@pytest.mark.parametrize(("status", "method", "body"), [("303 See Other", "GET", b""), ("307 Moved", "POST", b"abc")])
def test_repeat_the_body_only_where_http_says_so(
    serve: Serve, session: Session, status: str, method: str, body: bytes
) -> None:
    server = serve(by_path(start=redirect("/second", status=status), second=answer()))
    session.post(server.url, data=b"abc")
    assert server.heads[1].split()[0] == method
    assert server.bodies[1] == body


def test_share_the_time_of_the_call(serve: Serve) -> None:
    def slow(server: Server, client: socket.socket) -> None:
        server.pace(0.05)
        client.sendall(redirect("/"))

    policy = Policy(allow=Allow.parse(["loopback"]), total_timeout=0.2, max_redirects=1000)
    with Session(policy) as session, pytest.raises(Unreachable, match="took longer"):
        session.get(serve(slow).url)


def test_do_not_hide_a_large_body(serve: Serve) -> None:
    policy = Policy(allow=Allow.parse(["loopback"]), max_bytes=1000)
    body = answer(bytes(1001), "Location: /", status="302 Found")
    with Session(policy) as session, pytest.raises(TooMuch):
        session.get(serve(body).url)
