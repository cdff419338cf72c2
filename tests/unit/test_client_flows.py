"""The client's flows, carried out without a network: tries, pages, events, files."""

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

import taskhub_client
from taskhub_client import errors, exchange
from taskhub_client.batches import batches_of, submit_batches
from taskhub_client.command.output import clean, read_values
from taskhub_client.documents import packed_bodies, upload_documents
from taskhub_client.exchange import Compute, Emit, NoAnswer, Pause, ReadChunk, Request, Response
from taskhub_client.hub import AsyncHub, Hub
from taskhub_client.runs import RunCalls
from taskhub_client.server_events import EventDecoder, ServerEvent, server_events
from taskhub_client.settings import (
    Credentials,
    credentials_file,
    find_credentials,
    forget_credentials,
    keep_credentials,
)
from taskhub_client.webhooks import InvalidSignature, verify

LOST = NoAnswer("no answer", sent=True)
REFUSED = NoAnswer("refused", sent=False)
PROBLEM = {"content-type": "application/problem+json"}


def answer(status: int, value: Any = None, **headers: str) -> Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(status, (PROBLEM if status >= 400 else {}) | named, json.dumps(value).encode())


class Driver:
    """Carries a flow out with the replies of a test, one for each request and each piece that is read."""

    def __init__(self, *replies: Response | NoAnswer | bytes) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.emitted: list[Any] = []
        self.result: Any = None

    def drive(self, flow: Any) -> Any:
        go_on: Callable[[], Any] = lambda: next(flow)  # noqa: E731
        while True:
            try:
                command = go_on()
            except StopIteration as stop:
                self.result = stop.value
                return self.result
            reply: Any = None
            match command:
                case Emit(value):
                    self.emitted.append(value)
                case Pause(seconds):
                    self.pauses.append(seconds)
                case Request() | ReadChunk():
                    if isinstance(command, Request):
                        self.requests.append(command)
                    reply = self.replies.pop(0)
            if isinstance(reply, NoAnswer):
                go_on = lambda error=reply: flow.throw(error)  # type: ignore[misc]  # noqa: E731
            else:
                go_on = lambda reply=reply: flow.send(reply)  # type: ignore[misc]  # noqa: E731


def test_many_calls_are_requests_of_a_thousand_and_of_two_megabytes_at_most() -> None:
    small = [{"name": "echo", "ctx": {"value": number}} for number in range(2_500)]
    assert [len(batch) for batch in batches_of(iter(small))] == [1_000, 1_000, 500]
    large = [{"name": "echo", "ctx": {"value": "x" * 600_000}}] * 5
    assert [len(batch) for batch in batches_of(large)] == [2, 2, 1]
    assert list(batches_of([])) == []
    assert [len(batch) for batch in batches_of([{"name": "x" * 3_000_000}])] == [1]


def test_a_batch_has_a_key_for_each_request_and_its_runs_in_order() -> None:
    calls = [{"name": f"w{number}"} for number in range(1_001)]
    answers = [
        answer(202, {"runs": [{"id": str(n), "state": "PENDING"} for n in part]}) for part in (range(1000), [1000])
    ]
    driver = Driver(*answers)
    runs = driver.drive(submit_batches(calls, "k"))
    assert [(run.id, run.name, run.kind) for run in runs] == [(str(n), f"w{n}", "walker") for n in range(1_001)]
    assert [request.headers["Idempotency-Key"] for request in driver.requests] == ["k", "k-1"]
    assert [len(request.json["runs"]) for request in driver.requests] == [1000, 1]


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ({"state": ["FAILURE"], "tag": "a", "name": None}, {"filter": {"state": ["FAILURE"], "tag": "a"}}),
        ({"since": datetime(2026, 1, 31, tzinfo=UTC)}, {"filter": {"since": "2026-01-31T00:00:00+00:00"}}),
        ({"metadata": {"n": 1}}, {"filter": {"metadata": {"n": 1}}}),
        ({"all": True}, {"all": True}),
        ({}, {}),
    ],
    ids=range(5),
)
def test_the_filter_of_a_bulk_change_is_json(said: dict[str, Any], body: dict[str, Any]) -> None:
    record = {"id": "b", "state": "PENDING"}
    driver = Driver(answer(202, record), answer(200, {"matched": 3}))
    assert driver.drive(RunCalls.cancel_many(None, **said)).id == "b"
    assert driver.drive(RunCalls.count_matched(None, "retry", **said)) == 3
    assert [(request.path, request.json) for request in driver.requests] == [
        ("/runs/cancel", body),
        ("/runs/retry", {**body, "dry_run": True}),
    ]


ONCE = Request("POST", "/x", repeatable=False)
KEYED = exchange.idempotent(Request("POST", "/x"))
STILL_ACCEPTED = answer(409, {"detail": "still"}, retry_after="1")


@pytest.mark.parametrize(
    ("request_", "replies", "requests"),
    [
        (KEYED, [LOST, answer(202)], 2),
        (KEYED, [REFUSED, REFUSED, answer(202)], 3),
        (KEYED, [answer(503), answer(502), answer(504), answer(429), answer(202)], 5),
        (KEYED, [LOST, STILL_ACCEPTED, answer(202)], 3),
        (ONCE, [REFUSED, answer(200)], 2),
        (ONCE, [answer(429), answer(503), answer(200)], 3),
        (Request("GET", "/x"), [LOST, answer(502), answer(200)], 3),
    ],
)
def test_a_call_is_sent_again_where_that_is_right(request_: Request, replies: list[Any], requests: int) -> None:
    driver = Driver(*replies)
    assert driver.drive(exchange.send(request_)).status in {200, 202}
    assert driver.requests == [request_] * requests  # the same key, too
    assert len(driver.pauses) == requests - 1


@pytest.mark.parametrize(
    ("request_", "replies", "error"),
    [
        (ONCE, [LOST], errors.HubUnreachable),
        (ONCE, [answer(502, {"detail": "gone"})], errors.ProblemError),
        (ONCE, [STILL_ACCEPTED], errors.Conflict),
        (KEYED, [answer(409, {"detail": "it has ended"})], errors.Conflict),
        (KEYED, [LOST] * exchange.TRIES, errors.HubUnreachable),
        (KEYED, [answer(503, {"detail": "full"})] * exchange.TRIES, errors.ProblemError),
        (KEYED, [answer(429, {"detail": "wait"}, retry_after="86400")], errors.TooManyRequests),
        *(
            (KEYED, [answer(status, {"detail": "no"})], kind)
            for status, kind in errors.CLASSES.items()
            if status not in (409, 429)
        ),
        (KEYED, [Response(404, {"content-type": "text/html"}, b"<html>")], errors.UnknownAnswer),
    ],
)
def test_what_does_not_get_better_is_raised_at_once(
    request_: Request, replies: list[Any], error: type[Exception]
) -> None:
    driver = Driver(*replies)
    with pytest.raises(error):
        driver.drive(exchange.call(request_))
    assert len(driver.requests) == len(replies)


def test_a_refusal_that_breaks_off_is_an_error_of_the_client() -> None:
    with pytest.raises(errors.HubUnreachable):
        Driver(answer(404), b"{", LOST).drive(exchange.send(Request("GET", "/x", streamed=True)))


@pytest.mark.parametrize("first", [LOST, answer(504)])
def test_what_is_gone_behind_a_lost_answer_was_removed(first: Any) -> None:
    gone = answer(404, {"detail": "gone"})
    Driver(first, gone).drive(exchange.remove("/x"))
    for replies in ([gone], [REFUSED, gone], [answer(503), gone]):
        with pytest.raises(errors.NotFound):
            Driver(*replies).drive(exchange.remove("/x"))


def test_an_answer_that_is_no_json_is_of_no_hub() -> None:
    with pytest.raises(errors.UnknownAnswer, match="not JSON"):
        Driver(Response(200, {}, b"<html>")).drive(exchange.call(Request("GET", "/")))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("", None), ("soon", None), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0)],
)
def test_retry_after_is_read(text: str, seconds: float | None) -> None:
    assert exchange.retry_after(Response(503, {"retry-after": text})) == seconds


def test_retry_after_may_be_a_date() -> None:
    text = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < (exchange.retry_after(Response(503, {"retry-after": text})) or 0) <= 60


def test_a_date_of_a_clock_that_is_wrong_is_compared_with_its_own() -> None:
    headers = {"date": "Mon, 01 Jan 2001 00:00:00 GMT", "retry-after": "Mon, 01 Jan 2001 00:00:07 GMT"}
    assert exchange.retry_after(Response(503, headers)) == 7


@pytest.mark.parametrize(("limit", "entries", "calls"), [(None, 5, 3), (2, 2, 1), (3, 3, 2), (0, 0, 0), (9, 5, 3)])
def test_lists_are_fetched_page_by_page(limit: int | None, entries: int, calls: int) -> None:
    """The address of the next page names the hub as others know it: only its query counts."""
    found = [
        answer(200, {"results": [{"n": 0}, {"n": 1}], "next": "https://elsewhere.example/runs?cursor=a%2Bb&limit=2"}),
        answer(200, {"results": [{"n": 2}, {"n": 3}], "next": "https://elsewhere.example/runs?cursor=c"}),
        answer(200, {"results": [{"n": 4}], "next": None}),
    ]
    driver = Driver(*found)
    driver.drive(exchange.pages("/runs", {"state": "FAILURE"}, limit=limit))
    assert driver.emitted == [{"n": n} for n in range(entries)]
    assert [request.path for request in driver.requests] == ["/runs"] * calls
    if calls > 1:
        assert dict(driver.requests[1].query or {}) == {"cursor": "a+b", "limit": "2"}


def test_filters_with_several_values_stay_on_all_pages() -> None:
    asked: list[httpx.URL] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        more = f"http://elsewhere.example/runs?{request.url.query.decode()}&cursor=c"
        return httpx.Response(200, json={"results": [], "next": more if len(asked) == 1 else None})

    with Hub("http://hub.example", "k", transport=httpx.MockTransport(handle)) as hub:
        since = datetime(2026, 1, 31, tzinfo=UTC)
        found = hub.runs.list(name=["a, b", "c"], tag="nightly", metadata={"customer": 7, "new": True}, since=since)
        assert list(found) == []
    for url in asked:
        assert url.params.get_list("name") == ["a, b", "c"]
        assert [url.params[key] for key in ("tag", "metadata.customer", "metadata.new")] == ["nightly", "7", "true"]
        assert url.params["since"] == since.isoformat()


# Events

STREAM = (
    b': still here\n\nid: 1\nevent: run\ndata: {"a":\ndata: "\xc5\xbc"}\n\n'
    b"retry: 3\r\ndata:x\r\n\r\nid: 7\ndata: last\n\n"
)
EVENTS = [
    ServerEvent("1", "run", '{"a":\n"ż"}'),
    ServerEvent("1", "message", "x"),
    ServerEvent("7", "message", "last"),
]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_read_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    decoder = EventDecoder()
    bounds = [0, *sorted(cuts), len(STREAM)]
    pieces = (STREAM[start:end] for start, end in pairwise(bounds))
    assert [event for piece in pieces for event in decoder.feed(piece)] == EVENTS


def event(number: int, name: str = "run") -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {number}\n\n".encode()


def follow(*replies: Response | NoAnswer | bytes, **options: Any) -> Driver:
    driver = Driver(*replies)
    driver.drive(server_events("/events", "run", int, **options))
    return driver


def test_a_stream_that_breaks_off_goes_on_behind_its_last_event() -> None:
    ok = answer(200)
    driver = follow(ok, event(1), LOST, ok, event(2)[:9], b"", ok, event(2) + event(3, "other"), event(4, "end"))
    assert driver.emitted == [1, 2]
    assert [request.headers.get("Last-Event-ID") for request in driver.requests] == [None, "1", "1"]


def test_a_stream_ends_at_its_last_value_and_where_there_is_no_more() -> None:
    assert follow(answer(200), event(1) + event(2) + event(3), is_last=lambda value: value == 2).emitted == [1, 2]
    assert follow(answer(200), event(1), b"", Response(204, {})).emitted == [1]


def test_a_stream_that_brings_nothing_again_and_again_is_given_up() -> None:
    with pytest.raises(errors.HubUnreachable):
        follow(*[reply for _ in range(exchange.TRIES) for reply in (answer(200), b"")])


# Files


def lines(count: int) -> Iterator[dict[str, int]]:
    return ({"n": n} for n in range(count))


def documents_of(body: Any) -> list[Any]:
    with body:
        body.seek(0)
        return [json.loads(line) for line in gzip.decompress(body.read()).splitlines()]


@pytest.mark.parametrize(("count", "batch", "sizes"), [(5, None, [5]), (5, 2, [2, 2, 1]), (4, 2, [2, 2]), (0, 2, [])])
def test_documents_go_in_bodies(count: int, batch: int | None, sizes: list[int]) -> None:
    bodies = [documents_of(body) for body in packed_bodies(lines(count), batch)]
    assert [len(body) for body in bodies] == sizes
    assert [document for body in bodies for document in body] == list(lines(count))


def test_files_are_packed_unless_they_are(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.ndjson", tmp_path / "a.ndjson.gz"
    plain.write_bytes(b'{"n": 0}\n')
    packed.write_bytes(gzip.compress(b'{"n": 1}\n'))
    assert [documents_of(body) for body in packed_bodies(plain, None)] == [[{"n": 0}]]
    assert [documents_of(body) for body in packed_bodies(str(packed), None)] == [[{"n": 1}]]
    with plain.open("rb") as file:
        assert [documents_of(body) for body in packed_bodies(file, None)] == [[{"n": 0}]]


def test_an_upload_is_sent_again_whole_and_its_counts_are_added() -> None:
    sent: list[bytes] = []

    counts = {"count": 2, "inserted": 1, "updated": 1, "unchanged": 0, "rejected": 0}
    replies = [LOST, answer(200, counts), answer(200, counts)]
    flow = upload_documents("/actions/tasks/t", lines(4), batch=2)
    command = next(flow)
    while True:  # each body is read as a connection reads it
        assert isinstance(command, Request | Pause | Compute)
        reply: Any = command.function() if isinstance(command, Compute) else None
        if isinstance(command, Request):
            assert command.content is not None
            content: Any = command.content()
            sent.append(b"".join(content))
            reply = replies.pop(0)
        try:
            command = flow.throw(reply) if isinstance(reply, NoAnswer) else flow.send(reply)
        except StopIteration as stop:
            result = stop.value
            break
    assert [len(gzip.decompress(body).splitlines()) for body in sent] == [2, 2, 2]
    assert sent[0] == sent[1] != sent[2]
    assert result == {"count": 4, "inserted": 2, "updated": 2, "unchanged": 0, "rejected": 0}


# Webhooks

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()
BODY = b'{"type": "run.finished"}'


def signed(body: bytes = BODY, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    signature = Webhook(SECRET).sign("msg_1", at, body.decode())
    return {"Webhook-Id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def test_a_message_of_the_hub_is_known_by_any_of_the_secrets() -> None:
    assert verify(BODY, signed(), SECRET) == {"type": "run.finished"}
    two = signed() | {"webhook-signature": "v1,AAAA " + signed()["webhook-signature"]}
    assert verify(BODY, two, OTHER, SECRET) == {"type": "run.finished"}


@pytest.mark.parametrize(
    ("body", "headers", "secrets"),
    [
        (BODY + b" ", {}, [SECRET]),
        (BODY, {}, [OTHER]),
        (BODY, {}, []),
        (BODY, {"webhook-timestamp": "1"}, [SECRET]),
        (BODY, {"webhook-timestamp": "soon"}, [SECRET]),
        (BODY, {"Webhook-Id": "msg_2"}, [SECRET]),
        (BODY, {"webhook-signature": ""}, [SECRET]),
        (BODY, {"webhook-signature": "v1,ż"}, [SECRET]),
    ],
)
def test_another_message_is_refused(body: bytes, headers: dict[str, str], secrets: list[str]) -> None:
    with pytest.raises(InvalidSignature):
        verify(body, signed() | headers, *secrets)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_message_of_another_time_is_refused(minutes: int) -> None:
    with pytest.raises(InvalidSignature, match="five minutes"):
        verify(BODY, signed(at=datetime.now(UTC) + timedelta(minutes=minutes)), SECRET)


# Settings and the command


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("TASKHUB_URL", "TASKHUB_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_credentials_are_given_or_in_the_environment_or_kept(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_credentials() == Credentials("http://127.0.0.1:8000")
    keep_credentials(Credentials("http://a.example", "kept"))
    assert credentials_file().stat().st_mode & 0o777 == 0o600
    assert find_credentials() == Credentials("http://a.example", "kept")
    assert find_credentials("http://a.example/") == Credentials("http://a.example", "kept")
    assert find_credentials("http://b.example") == Credentials("http://b.example")  # the key is for its hub alone
    monkeypatch.setenv("TASKHUB_KEY", "environment")
    monkeypatch.setenv("TASKHUB_URL", "http://c.example")
    assert find_credentials() == Credentials("http://c.example", "environment")
    assert find_credentials("http://d.example", "given") == Credentials("http://d.example", "given")
    assert "given" not in repr(find_credentials(key="given"))
    forget_credentials()
    monkeypatch.delenv("TASKHUB_KEY")
    assert find_credentials() == Credentials("http://c.example")


def test_kept_credentials_that_cannot_be_read_are_told(config: Path) -> None:
    keep_credentials(Credentials("http://a.example", "kept")).write_text("{")
    with pytest.raises(errors.HubError, match="log in again"):
        find_credentials()
    assert find_credentials("http://a.example", "given").key == "given"  # as `login` calls, which mends them


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://hub.example/", "http://hub.example"),
        (" https://hub.example:8443/path/\n", "https://hub.example:8443/path"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_may_have_a_port_and_a_path(given: str, url: str) -> None:
    assert find_credentials(given, "k").url == url


@pytest.mark.parametrize(
    "url",
    [
        "hub.example",
        "localhost:8000",
        "127.0.0.1:8000",
        "ftp://hub.example",
        "http://",
        "http://[::1",
        "http://hub.example:99999",
        "http://hub.example:port",
        "http://hub.example/?a=b",
        "http://hub.example/#a",
        "http://hub.example/a\nb",
    ],
)
def test_what_is_no_address_of_a_hub_is_told(url: str) -> None:
    with pytest.raises(errors.HubError, match="not an address of a hub"):
        find_credentials(url, "k")


@pytest.mark.parametrize("key", ["s3cr3t\nX-Other: 1", "s3cr3t\x07", "s3cr3t ż", "s3cr3t two"])
def test_a_key_that_no_header_can_carry_is_told_and_not_shown(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKHUB_KEY", key)
    for arguments in ({}, {"key": key}, {"token": key}):
        with pytest.raises(errors.HubError, match="copy it again") as told:
            find_credentials("http://hub.example", **arguments)
        assert "s3cr3t" not in str(told.value)
    assert find_credentials("http://hub.example", " key\n").key == "key"


def test_values_of_a_command_are_json_or_text(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("[1]", encoding="utf-8-sig")  # as editors of Windows write it
    given = [
        "a=1",
        "b=true",
        "c=text",
        'd={"e": null}',
        "f=",
        f"g=@{tmp_path / 'value'}",
        "h=x=y",
        "i=NaN",
        "j=[1e999]",
    ]
    values = {
        "a": 1,
        "b": True,
        "c": "text",
        "d": {"e": None},
        "f": "",
        "g": [1],
        "h": "x=y",
        "i": "NaN",
        "j": "[1e999]",
    }
    assert read_values(given) == values


def test_what_the_hub_says_does_not_command_the_terminal() -> None:
    assert (
        clean("a\x1b[2Jb\rc\n\u202ed")
        == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c\n\N{REPLACEMENT CHARACTER}d"
    )


def test_both_hubs_can_do_the_same() -> None:
    with Hub("http://127.0.0.1:9", token="none") as hub:
        other = AsyncHub("http://127.0.0.1:9", token="none")
        faces = {name for name, value in vars(hub).items() if not name.startswith("_") and name != "url"}
        assert faces == {name for name in vars(other) if not name.startswith("_") and name != "url"}
        assert len(faces) > 8
        for name in faces:
            assert public(getattr(hub, name)) == public(getattr(other, name)), name


def public(face: Any) -> set[str]:
    return {name for name in dir(face) if not name.startswith("_")}


def test_all_names_that_are_exported_exist_and_have_a_docstring() -> None:
    for name in taskhub_client.__all__:
        assert getattr(taskhub_client, name).__doc__, name
    assert os.path.exists(Path(taskhub_client.__file__).with_name("py.typed"))
