"""What a hostile server may do, and how far it gets."""

import gzip
import socket
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from taskhub.outbound import Allow, Policy, Session, TooMuch, Unreachable
from tests.integration.outbound_servers import Script, Serve, Server, answer

MAX = 100_000
LOOPBACK = Allow.parse(["loopback"])


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(Policy(allow=LOOPBACK, max_bytes=MAX, read_timeout=30, total_timeout=30)) as session:
        yield session


@pytest.fixture
def hurried() -> Iterator[Session]:
    with Session(Policy(allow=LOOPBACK, read_timeout=30, total_timeout=0.2)) as session:
        yield session


def endlessly(first: bytes, again: bytes) -> Script:
    def script(server: Server, client: socket.socket) -> None:
        client.sendall(first)
        while server.pace(0):
            client.sendall(again)

    return script


def dripping(first: bytes, drop: bytes) -> Script:
    def script(server: Server, client: socket.socket) -> None:
        client.sendall(first)
        while server.pace():
            client.sendall(drop)

    return script


def silent(server: Server, client: socket.socket) -> None:
    server.over.wait()


def closing(data: bytes) -> Script:
    def script(server: Server, client: socket.socket) -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)

    return script


def resetting(data: bytes) -> Script:
    def script(server: Server, client: socket.socket) -> None:
        client.sendall(data)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError  # closes; with no time to linger that is a reset

    return script


def chunked(*chunks: bytes, coding: str = "identity") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: {coding}\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


def bomb() -> bytes:
    return gzip.compress(bytes(50 * MAX))


ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
EMPTY_BLOCK = zlib.compressobj(wbits=31).flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(answer(bytes(MAX + 1)), id="with its length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", id="announced, never sent"),
        pytest.param(endlessly(ENDLESS, bytes(1000)), id="endless"),
        pytest.param(endlessly(CHUNKS + b"\r\n", b"3e8\r\n" + bytes(1000) + b"\r\n"), id="endless chunks"),
        pytest.param(endlessly(CHUNKS + b"\r\n", b"1;" + b"x" * 1000 + b"\r\n\0\r\n"), id="chunk extensions"),
        pytest.param(endlessly(CHUNKS + b"\r\n1\r\nx\r\n0\r\n", b"a: b\r\n"), id="endless trailers"),
        pytest.param(answer(bomb(), "Content-Encoding: gzip"), id="gzip bomb"),
        pytest.param(answer(zlib.compress(bytes(50 * MAX)), "Content-Encoding: deflate"), id="deflate bomb"),
        pytest.param(answer(gzip.compress(bomb()), "Content-Encoding: gzip, gzip"), id="bomb in a bomb"),
        pytest.param(chunked(bomb(), coding="gzip"), id="gzip bomb in chunks"),
        pytest.param(
            endlessly(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + EMPTY_BLOCK, b"\0\0\0\xff\xff" * 1000),
            id="nothing, packed endlessly",
        ),
        pytest.param(endlessly(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), id="endless headers"),
        pytest.param(endlessly(b"HTTP/1.1 200 OK\r\na: ", b"b" * 1000), id="endless header"),
        pytest.param(endlessly(b"HTTP/1.1 200 ", b"b" * 1000), id="endless status line"),
        pytest.param(endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="endless informational answers"),
        pytest.param(answer(b"", *["a: b"] * 2100), id="too many headers"),
    ],
)
def test_too_much_is_cut_off(serve: Serve, session: Session, script: Script | bytes) -> None:
    server = serve(script)
    with pytest.raises(TooMuch) as caught:
        session.get(server.url)
    assert caught.value.detail.startswith(server.url)
    assert caught.value.permanent


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(silent, id="silence"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x"), id="a body byte by byte"),
        pytest.param(dripping(CHUNKS + b"\r\n", b"1\r\nx\r\n"), id="a chunk by chunk body"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\na:", b"x"), id="headers byte by byte"),
        pytest.param(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="informational answers"),
        pytest.param(dripping(CHUNKS + b"\r\n1\r\nx\r\n0\r\n", b"a: b\r\n"), id="trailers line by line"),
    ],
)
def test_the_whole_call_has_an_end(serve: Serve, hurried: Session, script: Script) -> None:
    server = serve(script)
    with pytest.raises(Unreachable, match=r"took longer than 0\.2 seconds") as caught:
        hurried.get(server.url)
    assert not caught.value.permanent


def test_so_has_a_body_that_is_read_in_pieces(serve: Serve, hurried: Session) -> None:
    answered = hurried.get(serve(dripping(ENDLESS, b"x")).url, stream=True)
    with pytest.raises(Unreachable, match="took longer"):
        list(answered.iter_content(1))


def test_so_has_a_request_that_is_not_read(hurried: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Unreachable):
        hurried.post(f"http://127.0.0.1:{listener.getsockname()[1]}", data=bytes(50_000_000))


def test_a_silent_server_is_left_after_the_read_time_out(serve: Serve, session: Session) -> None:
    with pytest.raises(Unreachable, match=r"sent nothing for 0\.05 seconds"):
        session.get(serve(silent).url, timeout=(None, 0.05))


def test_tls_that_is_not_answered_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Unreachable, match="did not answer within"):
        Session(Policy(allow=LOOPBACK, connect_timeout=0.1)).get(f"https://127.0.0.1:{listener.getsockname()[1]}")


@pytest.mark.parametrize(
    ("script", "what"),
    [
        (closing(b""), "closed the connection without an answer"),
        (closing(b"SSH-2.0-OpenSSH_9.9\r\n"), "does not answer in HTTP"),
        (closing(b"HTTP/1.1 banana\r\n\r\n"), "does not answer in HTTP"),
        (closing(b"HTTP/9 200 OK\r\n\r\n"), "does not answer in HTTP"),
        (closing(b"\x15\x03\x01\x00\x02\x02"), "does not answer in HTTP"),
        (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), "ended its answer early"),
        (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n"), "contradicts itself"),
        (closing(CHUNKS + b"\r\n5\r\nshort"), "ended its answer early"),
        (closing(CHUNKS + b"\r\nbanana\r\n"), "ended its answer early"),
        (closing(answer(b"no gzip", "Content-Encoding: gzip")), "in an encoding that it breaks"),
        (resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"), "broke the connection off"),
    ],
)
def test_garbage_is_an_error(serve: Serve, session: Session, script: Script, what: str) -> None:
    with pytest.raises(Unreachable, match=what):
        session.get(serve(script).url)


def test_long_headers_pass(serve: Serve, session: Session) -> None:
    headers = [f"X-{number}: {'x' * 65_000}" for number in range(3)]
    assert session.get(serve(answer(b"ok", *headers)).url).content == b"ok"


def test_many_headers_pass(serve: Serve, session: Session) -> None:
    cookies = [f"Set-Cookie: c{number}=1" for number in range(500)]
    assert session.get(serve(answer(b"ok", *cookies)).url).content == b"ok"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"X-A: 1", "1"),
        (b"x-a:1", "1"),
        (b"X-A: \t 1 \t ", "1"),
        (b"X-A:", ""),
        (b"X-A: 1\r\n 2\r\n\t3", "1 2 3"),
        (b"X-A: 1\r2", "12"),
        (b"X-A: 1\x002", "12"),
        (b"X-A: caf\xe9", "caf\u00e9"),
        (b"X-A: 1\r\nX-A: 2", "1, 2"),
        (b" begins with a space\r\nX-A: 1", "1"),
        (b"X-A: a: b", "a: b"),
    ],
)
def test_headers_are_read_as_http_has_them(serve: Serve, session: Session, line: bytes, value: str) -> None:
    for end in (b"\r\n", b"\n"):
        head = end.join([b"HTTP/1.1 200 OK", line, b"Content-Length: 2", b"", b""])
        response = session.get(serve(head + b"ok").url)
        assert (response.headers["X-A"], response.content) == (value, b"ok")


@pytest.mark.parametrize("line", [b"no header", b"X A: 1", b"X-A : 1", b": 1", "X-\u00c4: 1".encode(), b"X\0A: 1"])
def test_a_line_that_is_no_header_makes_the_answer_unreadable(serve: Serve, session: Session, line: bytes) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + line + b"\r\nX-B: 2\r\n\r\nok")
    with pytest.raises(Unreachable, match="a line among the headers that is none"):
        session.get(server.url)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"ok and more"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n", b"ok and more"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n", b"ok and more"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"ok and more",
        ),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", b""),
    ],
)
def test_a_body_ends_where_its_head_says(serve: Serve, session: Session, head: bytes, body: bytes) -> None:
    is_chunked = b"Chunked" in head
    assert session.get(serve(closing(head if is_chunked else head + body)).url).content == body


def test_a_length_that_is_told_twice_is_one(serve: Serve, session: Session) -> None:
    for twice in (b"Content-Length: 2\r\nContent-Length: 2", b"Content-Length: 2, 2"):
        assert session.get(serve(b"HTTP/1.1 200 OK\r\n" + twice + b"\r\n\r\nok").url).content == b"ok"


@pytest.mark.parametrize("body", [answer(bytes(MAX)), chunked(*[bytes(10)] * (MAX // 10))])
def test_as_much_as_is_allowed_passes(serve: Serve, session: Session, body: bytes) -> None:
    assert session.get(serve(body).url).content == bytes(MAX)


def test_pieces_are_limited_too(serve: Serve, session: Session) -> None:
    server = serve(answer(bomb(), "Content-Encoding: gzip"))
    for size in (None, 1000, 10**9):
        pieces: list[bytes] = []
        with pytest.raises(TooMuch):
            pieces.extend(session.get(server.url, stream=True).iter_content(size))
        assert len(b"".join(pieces)) <= MAX
    with pytest.raises(TooMuch):
        list(session.get(server.url, stream=True).iter_lines(decode_unicode=True))


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip"])
def test_a_bomb_is_not_unpacked(serve: Serve, session: Session, coding: str) -> None:
    body = gzip.compress(bytes(500 * MAX))
    server = serve(answer(body if coding == "gzip" else gzip.compress(body), f"Content-Encoding: {coding}"))
    for read in (lambda answered: answered.content, lambda answered: list(answered.iter_content(None))):
        tracemalloc.start()
        try:
            with pytest.raises(TooMuch):
                read(session.get(server.url, stream=True))
            assert tracemalloc.get_traced_memory()[1] < 20 * MAX
        finally:
            tracemalloc.stop()


def test_a_slow_reader_is_given_time() -> None:
    def read_late(listener: socket.socket, size: int) -> None:
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            reading.wait()
            while lines.readline() != b"\r\n":
                pass
            lines.read(size)
            client.sendall(answer(b"late"))

    reading, size = threading.Event(), 50_000_000
    policy = Policy(allow=LOOPBACK, connect_timeout=0.5, total_timeout=60)
    with socket.create_server(("127.0.0.1", 0)) as listener, Session(policy) as session:
        server = threading.Thread(target=read_late, args=(listener, size))
        server.start()
        threading.Timer(0.8, reading.set).start()
        assert session.post(f"http://127.0.0.1:{listener.getsockname()[1]}", data=bytes(size)).text == "late"
        server.join()


def test_a_large_body_is_announced_to_head_without_harm(serve: Serve, session: Session) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    assert session.head(server.url).headers["Content-Length"] == "99999999999"


def test_what_is_cut_off_leaves_the_server_free(serve: Serve, session: Session) -> None:
    gone = threading.Event()

    def script(server: Server, client: socket.socket) -> None:
        try:
            endlessly(ENDLESS, bytes(1000))(server, client)
        except OSError:
            gone.set()

    with pytest.raises(TooMuch):
        session.get(serve(script).url)
    assert gone.wait(60)
