"""What a step sends beyond the documents' keys, and what its answer must be: every key does what it says."""

import json
from typing import Any

import pytest

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import ExchangeOptions, SendFailed, SequenceLimits, StepRecord, StepRequest, StepResponse
from sequences.domain.interpreter import Interpreter, InTurn
from sequences.domain.program import parse
from sequences.domain.scope import RunContext
from sequences.domain.validation_errors import InvalidSequence, StepFailure

SECRETS = {"KEY": "s3cret key"}


class Pauses(InTurn):
    """Lets no time pass, and tells how long each pause would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def next(self, seconds: float | None) -> tuple[Any, Any] | None:
        if seconds is not None:
            self.seconds.append(seconds)
        return super().next(seconds)


class Scripted:
    """Servers that answer by address what they are told to, one answer after the other; the last one again."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name: list(told) if isinstance(told, list) else [told] for name, told in answers.items()}
        self.sent: list[StepRequest] = []
        self.calls: list[str] = []
        self.records: list[StepRecord] = []
        self.pauses = Pauses()
        self.hidden: list[str] = []

    def send(self, outgoing: StepRequest) -> StepResponse:
        self.sent.append(outgoing)
        name = outgoing.address.removeprefix("http://h/").partition("?")[0]
        told = self.answers.get(name, [{"at": name, "body": outgoing.body}])
        answer = told.pop(0) if len(told) > 1 else told[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return StepResponse(answer, {"why": name}, "Nope")
        return answer if isinstance(answer, StepResponse) else StepResponse(200, answer)

    def jac(self, name: str, arguments: dict[str, Any], master: str | None) -> StepResponse:
        self.calls.append(name)
        return StepResponse(200, {"called": name})

    def run(self, *requests: dict[str, Any], limits: Any = None, **top: Any) -> dict[str, Any]:
        run = Interpreter(
            parse({"requests": list(requests), **top}),
            send=self.send,
            jac=self.jac,
            clock=lambda: 0.0,
            record=self.records.append,
            performer=self.pauses,
            limits=limits or SequenceLimits(),
            context=RunContext(
                {"id": "r1", "attempt": 1, "owner": "u1"},
                lambda: "2026-01-31T12:00:00Z",
                lambda: "u-u-i-d",
                self.secret,
                self.hidden.append,
                lambda value: any(text in json.dumps(value) for text in (SECRETS["KEY"], *self.hidden)),
            ),
        )
        return run.run()

    def secret(self, name: str) -> str:
        if name not in SECRETS:
            raise StepFailure(f"There is no secret {name}.")
        return SECRETS[name]

    def stopped(self, *requests: dict[str, Any], **top: Any) -> SequenceStopped:
        with pytest.raises(SequenceStopped) as caught:
            self.run(*requests, **top)
        return caught.value

    @property
    def addresses(self) -> list[str]:
        return [outgoing.address.removeprefix("http://h/") for outgoing in self.sent]


def get(address: str, **more: Any) -> dict[str, Any]:
    return {"method": "GET", "url": f"http://h/{address}", **more}


def post(address: str, **more: Any) -> dict[str, Any]:
    return {**get(address, **more), "method": "POST"}


def where(by: str, **condition: Any) -> list[dict[str, Any]]:
    return [{"by": by, "condition": condition}]


def faults(**arguments: Any) -> list[str]:
    with pytest.raises(InvalidSequence) as caught:
        parse({"requests": [], **arguments})
    return [error["path"] for error in caught.value.errors]


# What is sent


@pytest.mark.parametrize(
    ("step", "address"),
    [
        (get("a", query={"b": "x y", "n": 1, "on": True}), "a?b=x+y&n=1&on=true"),
        (get("a?z=1", query={"list": ["{{#.id}}", 2], "none": None}), "a?z=1&list=7&list=2"),
        (get("a#part", query={"b": "{{#.text}}"}), "a?b=%26%3D#part"),
        (get("a", query="{{#.query}}"), "a?q=1"),
        (get("a", query="{{#.nothing}}"), "a"),
        (get("a", query={}), "a"),
    ],
)
def test_the_query(step: Any, address: str) -> None:
    world = Scripted()
    world.run(step, persistence={"id": 7, "text": "&=", "query": {"q": 1}})
    assert world.addresses == [address]


@pytest.mark.parametrize(
    ("key", "value", "sent"),
    [
        ("form", {"a": "{{#.id}}", "b": ["x", 2]}, {"a": 7, "b": ["x", 2]}),
        ("multipart", {"a": ["t"], "f": {"content": "{{#.id}}"}}, {"a": ["t"], "f": {"content": 7}}),
        ("text", "n is {{#.id}}", "n is 7"),
    ],
)  # fmt: skip
def test_the_body_in_other_formats(key: str, value: Any, sent: Any) -> None:
    world = Scripted()
    world.run(post("a", **{key: value}), persistence={"id": 7})
    assert (world.sent[0].body, world.sent[0].options.format) == (sent, key)


def test_credentials_become_a_header_and_are_hidden() -> None:
    world = Scripted()
    basic = {"basic": {"username": "u", "password": "{{secret.KEY}}"}}
    plain = {"basic": {"username": "u", "password": "p"}}
    world.run(get("a", auth=basic), get("b", auth={"bearer": "{{secret.KEY}}"}), get("c", auth=plain))
    assert [sent.headers for sent in world.sent][:2] == [
        {"Authorization": "Basic dTpzM2NyZXQga2V5"},
        {"Authorization": "Bearer s3cret key"},
    ]
    assert world.hidden == ["dTpzM2NyZXQga2V5"]


@pytest.mark.parametrize("bad", ["a\r\nB: c", 5, None])
def test_credentials_that_are_no_text_on_one_line_are_not_sent(bad: Any) -> None:
    world = Scripted()
    stopped = world.stopped(get("a", auth={"bearer": "{{#.bad}}"}), persistence={"bad": bad})
    assert ("Credentials are text" in stopped.message, world.sent) == (True, [])


def test_options_of_the_exchange() -> None:
    world = Scripted()
    world.run(
        get("a", timeout=2.5, follow_redirects=False, response="text"), get("a", timeout={"connect": 1, "read": 2})
    )
    assert [sent.options for sent in world.sent] == [
        ExchangeOptions("", None, None, 2.5, False, "text"),
        ExchangeOptions("", 1, 2, None, True, ""),
    ]


def test_defaults_count_where_a_step_has_none_of_its_own() -> None:
    world = Scripted(flaky=[503, 503, {}])
    defaults = {
        "timeout": 9,
        "headers": {"X-A": "{{#.a}}", "X-B": "b"},
        "auth": {"bearer": "t"},
        "follow_redirects": False,
        "retry": {"attempts": 3, "delay": 0},
    }
    own = get("own", timeout=1, header={"x-b": "own"}, auth={"basic": {"username": "u", "password": "p"}})
    world.run(
        get("a"), own, get("c", headers={"authorization": "mine"}), get("flaky"), {"method": "JAC", "api": "x"},
        defaults=defaults, persistence={"a": 1},
    )  # fmt: skip
    sent = {outgoing.address.removeprefix("http://h/"): outgoing for outgoing in world.sent}
    assert sent["a"].headers == {"X-A": "1", "X-B": "b", "Authorization": "Bearer t"}
    assert sent["own"].headers == {"X-A": "1", "x-b": "own", "Authorization": "Basic dTpw"}
    assert sent["c"].headers == {"X-A": "1", "X-B": "b", "authorization": "mine"}
    assert (sent["a"].options.total_timeout, sent["own"].options.total_timeout) == (9, 1)
    assert not sent["a"].options.follow_redirects
    assert world.addresses.count("flaky") == 3
    assert world.calls == ["x"]


def test_a_retry_of_defaults_has_no_effect_on_what_must_not_be_sent_twice() -> None:
    world = Scripted(flaky=503)
    world.stopped(post("flaky"), defaults={"retry": {"attempts": 3, "delay": 0}})
    assert world.addresses == ["flaky"]
    world.stopped(post("flaky"), defaults={"retry": {"attempts": 3, "delay": 0, "unsafe": True}})
    assert world.addresses == ["flaky"] * 4


@pytest.mark.parametrize(
    ("headers", "body", "refused"),
    [
        ({"Content-Type": "text/xml"}, {"body": {"a": "{{#.a}}"}}, True),
        ({"content-type": "text/plain"}, {"body": ["{{#.a}}"]}, True),
        ({"Content-Type": "text/plain"}, {"body": "{{#.list}}"}, True),
        ({"Content-Type": "application/json"}, {"form": {"a": "{{#.a}}"}}, True),
        ({"Content-Type": "text/plain"}, {"multipart": "{{#.form}}"}, True),
        ({"Content-Type": "multipart/form-data; boundary=x"}, {"form": "{{#.form}}"}, True),
        ({}, {"form": "{{#.list}}"}, True),
        ({}, {"multipart": {"a": "{{#.part}}"}}, True),
        ({"Content-Type": "text/plain"}, {"body": 5}, False),
        ({"Content-Type": "application/vnd.api+json"}, {"body": ["{{#.a}}"]}, False),
        ({"Content-Type": "application/x-www-form-urlencoded"}, {"body": {"a": 1}}, False),
        ({"Content-Type": "application/x-www-form-urlencoded"}, {"form": {"a": 1}}, False),
        ({"Content-Type": "text/csv"}, {"text": "a,b"}, False),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_written_in_its_type_is_refused(headers: Any, body: Any, refused: bool) -> None:
    world = Scripted()
    given = {"a": 1, "list": [1], "form": {"a": 1}, "part": {"filename": "x"}}
    step = post("a", headers={**headers, "X": "{{#.a}}"}, ignore_error=True, save_to="it", **body)
    result = world.run(step, persistence=given)
    assert ("worker_error" in result["it"], not world.sent) == (refused, refused)


# Tried again


@pytest.mark.parametrize(
    ("answers", "retry", "tries"),
    [
        ([503, {}], {}, 2),
        ([429, 408, {}], {}, 3),
        ([SendFailed("x", "connection"), SendFailed("x", "timeout"), {}], {}, 3),
        ([SendFailed("refused"), {}], {}, 1),
        ([404, {}], {}, 1),
        ([404, {}], {"on": [404]}, 2),
        ([404, {}], {"on": ["4xx"]}, 2),
        ([503, {}], {"on": ["connection"]}, 1),
        ([SendFailed("x", "timeout"), {}], {"on": ["connection"]}, 1),
        ([503, 503, 503, {}], {"attempts": 3}, 3),
        ([StepResponse(200, "{", fault="no JSON"), {}], {}, 1),
    ],
)  # fmt: skip
def test_what_is_tried_again(answers: list[Any], retry: dict[str, Any], tries: int) -> None:
    world = Scripted(it=answers)
    step = get("it", retry={"delay": 0, **retry}, ignore_error=True)
    world.run(step, get("after"))
    assert world.addresses == ["it"] * tries + ["after"]
    assert [record.attempt for record in world.records] == [*range(1, tries + 1), 1]
    assert [bool(record.error) for record in world.records[: tries - 1]] == [True] * (tries - 1)


@pytest.mark.parametrize(
    ("retry", "answer", "pauses"),
    [
        ({"delay": 2}, 503, [2, 4, 8]),
        ({"delay": 2, "backoff": "constant"}, 503, [2, 2, 2]),
        ({"delay": 2, "max_delay": 5}, 503, [2, 4, 5]),
        ({"delay": 0}, 503, []),
        ({"delay": 1}, StepResponse(429, None, "", retry_after=7), [7, 7, 7]),
        ({"delay": 1, "max_delay": 3}, StepResponse(429, None, "", retry_after=700), [3, 3, 3]),
    ],
)
def test_how_long_is_waited_before_the_next_try(retry: dict[str, Any], answer: Any, pauses: list[float]) -> None:
    world = Scripted(it=answer)
    stopped = world.stopped(get("it", retry={"attempts": 4, **retry}))
    assert stopped.path == "requests[0]"
    assert world.pauses.seconds == pauses


def test_a_pause_that_is_longer_than_the_time_left_is_not_waited_for() -> None:
    world = Scripted(it=503)
    stopped = world.stopped(get("it", retry={"delay": 100, "max_delay": 1000}), limits=SequenceLimits(seconds=50))
    assert (stopped.message, world.pauses.seconds) == ("The sequence takes longer than 50 seconds.", [])


@pytest.mark.parametrize("method", ["POST", "PATCH", "JAC"])
def test_a_retry_of_what_may_do_something_twice_needs_leave(method: str) -> None:
    step = {"method": method, "url": "http://h/a", "retry": {"attempts": 2}}
    assert faults(requests=[step]) == ["requests[0].retry"]
    parse({"requests": [{**step, "retry": {"attempts": 2, "unsafe": True}}]})


def test_until_asks_again_as_before() -> None:
    world = Scripted(job=[{"state": "new"}, 503, {"state": "new"}, {"state": "done"}])
    step = get(
        "job?of={{$.at}}",
        until={"filter": where("$.state", eq="done"), "delay": 3, "attempts": 5},
        retry={"delay": 1},
        save_to="job",
    )
    result = world.run(get("first"), step, get("then", body="{{$.state}}", save_to="then"))
    assert result["job"] == {"state": "done"}
    assert result["then"]["body"] == "done"
    assert world.addresses == ["first", *["job?of=first"] * 4, "then"]
    assert world.pauses.seconds == [3, 1, 3]
    assert [record.attempt for record in world.records] == [1, 1, 2, 3, 3, 1]


def test_until_gives_up() -> None:
    world = Scripted(job={"state": "new"})
    step = get("job", until={"filter": where("$.state", eq="done"), "delay": 0, "attempts": 3}, save_to="it")
    stopped = world.stopped(step)
    assert (stopped.path, stopped.message) == ("requests[0].until", "The filter did not hold of any of 3 answers.")
    assert world.addresses == ["job"] * 3
    assert world.run({**step, "ignore_error": True})["it"]["body"] == {"state": "new"}


# What is expected


SCHEMA = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}
JSON_ANSWER = StepResponse(200, {"id": "x"}, headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    ("answer", "expect", "place"),
    [
        (404, {"status": 404}, None),
        (404, {"status": [200, "4xx"]}, None),
        (404, {"status": "2xx"}, "expect.status"),
        (204, {"status": 200}, "expect.status"),
        (404, {"filter": []}, ""),
        (JSON_ANSWER, {"headers": {"Content-Type": {"regex": "application/json"}}}, None),
        (JSON_ANSWER, {"headers": {"Content-Type": {"eq": "text/html"}}}, 'expect.headers.Content-Type'),
        (JSON_ANSWER, {"headers": {"X-None": {"ne": "a"}}}, None),
        (JSON_ANSWER, {"headers": {"X-None": {"eq": "a"}}}, 'expect.headers.X-None'),
        (JSON_ANSWER, {"filter": where("$.id", eq="x")}, None),
        (JSON_ANSWER, {"filter": [*where("$.id", eq="x"), *where("$.id", eq="y")]}, "expect.filter[1]"),
        (JSON_ANSWER, {"filter": where("^.status", eq=200)}, None),
        (JSON_ANSWER, {"schema": SCHEMA}, "expect.schema"),
        ({"id": 1}, {"schema": SCHEMA}, None),
    ],
)  # fmt: skip
def test_what_is_expected_of_an_answer(answer: Any, expect: dict[str, Any], place: str | None) -> None:
    world = Scripted(it=answer)
    step = get("it", expect=expect, save_to="it")
    if place is None:
        world.run(step)
        assert not world.records[0].error
        return
    stopped = world.stopped(step)
    assert stopped.path == f"requests[0].{place}".rstrip(".")
    assert (world.records[0].path, bool(world.records[0].error)) == ("requests[0]", True)
    value = world.run({**step, "ignore_error": True})["it"]
    assert value.keys() == {"status", "message", "body"}


# Pages


def page(*items: Any, **more: Any) -> dict[str, Any]:
    return {"items": list(items), **more}


def test_pages_by_an_expression() -> None:
    world = Scripted(one=page(1, 2, next="http://h/two"), two=page(3, next="three?x=1"), three=page(4, next=None))
    step = get("one", query={"limit": 2}, paginate={"next": "$.next", "items": "$.items"}, save_to="all")
    assert world.run(step)["all"] == [1, 2, 3, 4]
    assert world.addresses == ["one?limit=2", "two", "three?x=1"]


@pytest.mark.parametrize(
    "link",
    [
        '<http://h/two>; rel="next"',
        '</zero>; rel="prev", </two>; rel=next',
        '</two>; title="a, b; rel=no"; rel="last next"',
    ],
)
def test_pages_by_the_link_header(link: str) -> None:
    first = StepResponse(200, page(1), headers={"link": link}, url="http://h/one")
    world = Scripted(one=first, two=StepResponse(200, page(2), headers={"link": '</one>; rel="prev"'}))
    assert world.run(get("one", paginate={"next": "link", "items": "$.items"}, save_to="all"))["all"] == [1, 2]
    assert world.addresses == ["one", "two"]


def test_pages_by_a_number_end_where_no_items_come() -> None:
    world = Scripted(it=[page(1), page(2), page()])
    step = get("it?a=b", paginate={"next": {"param": "page", "start": 0}, "items": "$.items"}, save_to="all")
    assert world.run(step)["all"] == [1, 2]
    assert world.addresses == ["it?a=b&page=0", "it?a=b&page=1", "it?a=b&page=2"]


def test_pages_have_a_limit_and_may_be_tried_again() -> None:
    world = Scripted(it=[page(1), 503, page(2), page(3)])
    paginate = {"next": {"param": "page"}, "items": "$.items", "max_pages": 2}
    assert world.run(get("it", paginate=paginate, retry={"delay": 0}, save_to="all"))["all"] == [1, 2]
    assert world.addresses == ["it?page=1", "it?page=2", "it?page=2"]


def test_pages_are_looped_over_one_by_one_and_not_kept() -> None:
    world = Scripted(one=page(1, 2, next="http://h/two"), two=page(3, next=None))
    loop = {"by": "$", "requests": [get("in{{@}}-{{!}}")], "collect": "seen"}
    step = get("one", paginate={"next": "$.next", "items": "$.items"}, __def_loop__=loop, save_to="all")
    result = world.run(step)
    assert world.addresses == ["one", "in1-0", "in2-1", "two", "in3-0"]
    assert result["all"] == {"pages": 2, "items": 3}
    assert [value["at"] for value in result["seen"]] == ["in1-0", "in2-1", "in3-0"]


def test_credentials_go_to_no_other_server_that_a_page_leads_to() -> None:
    world = Scripted(one=page(1, next="http://other/two"))
    step = get("one", headers={"X-API-Key": "k", "X-Other": "o"}, auth={"bearer": "t"},
               paginate={"next": "$.next", "items": "$.items"})  # fmt: skip
    world.run({**step, "ignore_error": True})
    assert [sent.headers for sent in world.sent] == [
        {"X-API-Key": "k", "X-Other": "o", "Authorization": "Bearer t"},
        {"X-Other": "o"},
    ]


@pytest.mark.parametrize(("max_pages", "note"), [(2, "There may be more pages: 'max_pages' is 2."), (3, ""), (9, "")])
def test_that_pages_were_left_out_is_on_record(max_pages: int, note: str) -> None:
    pages = {f"p{n}": {"items": [n], "next": f"p{n + 1}" if n < 3 else None} for n in (1, 2, 3)}
    world = Scripted(**pages)
    result = world.run(
        get("p1", paginate={"next": "$.next", "items": "$.items", "max_pages": max_pages}, save_to="all")
    )
    assert result["all"] == [1, 2, 3][:max_pages]
    assert [record.note for record in world.records] == ["", note, ""][: min(max_pages, 3)]


@pytest.mark.parametrize("parallel", [None, 1, 2, 9])
@pytest.mark.parametrize(("most", "taken", "asked"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 4, 2), (9, 6, 3)])
def test_a_limit_of_items_is_one_of_all_pages(parallel: int | None, most: int, taken: int, asked: int) -> None:
    pages = {f"p{n}": {"items": [n, -n, n * 10], "next": f"p{n + 1}" if n < 3 else None} for n in (1, 2, 3)}
    world = Scripted(**pages)
    loop = {"by": "$", "filter": where("@", gt=0), "max_items": most, "collect": "all", "requests": [get("in{{@}}")]}
    more = {} if parallel is None else {"parallel": parallel}
    step = get("p1", paginate={"next": "$.next", "items": "$.items"}, save_to="read", __def_loop__={**loop, **more})
    result = world.run(step)
    assert [value["at"] for value in result["all"]] == ["in1", "in10", "in2", "in20", "in3", "in30"][:taken]
    assert (result["read"]["pages"], [name for name in world.addresses if name[0] == "p"]) == (
        asked,
        ["p1", "p2", "p3"][:asked],
    )


@pytest.mark.parametrize(
    ("paginate", "path"),
    [({"next": "$.n", "items": "$.nothing.at"}, None), ({"next": "$.n", "items": "$.n"}, "requests[0].paginate.items"),
     ({"next": "$.items", "items": "$.items"}, "requests[0].paginate.next"),
     ({"next": "$.nowhere", "items": "$.items"}, "requests[0].paginate.next"),
     ({"next": "link", "items": "$.items"}, "requests[0].paginate.next"),
     ({"next": "$.bad", "items": "$.items"}, "requests[0]")],
)  # fmt: skip
def test_pages_that_are_none(paginate: dict[str, Any], path: str | None) -> None:
    body = page(1, n="http://h/it", bad="ftp://h/", nowhere="http://[")
    world = Scripted(it=StepResponse(200, body, headers={"link": "<http://[>; rel=next"}, url="http://h/it"))
    step = get("it", paginate=paginate, save_to="all")
    if path is None:
        assert world.run(step)["all"] == []
    else:
        assert world.stopped(step).path == path


def test_pages_that_are_too_much_together_spend_the_budget() -> None:
    world = Scripted(it=page("x" * 600))
    step = get("it", paginate={"next": {"param": "p"}, "items": "$.items"}, ignore_error=True)
    assert "larger than 2000" in world.stopped(step, limits=SequenceLimits(persistence=2000)).message
    assert len(world.sent) == 4


# Functions


def evaluated(expression: str, **persistence: Any) -> Any:
    world = Scripted()
    return world.run(post("a", body=f"{{{{{expression}}}}}", save_to="it"), persistence=persistence)["it"]["body"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('#.none | default("nobody") | upper', "NOBODY"),
        ("#.zero | default(5)", 0),
        ("#.none | default(#.name)", "Ada"),
        ("#.list | json", '[1,"b",null]'),
        ("#.list | json | parse_json", [1, "b", None]),
        ("#.name | base64", "QWRh"),
        ("#.name | base64 | unbase64", "Ada"),
        ("'QW-_' | unbase64 | length", None),
        ("'a b&c' | urlencode", "a%20b%26c"),
        ("#.object | urlencode", "a=1&b=x&b=y"),
        ("#.name | lower", "ada"),
        ("'  x ' | trim", "x"),
        ("#.list | length", 3),
        ("#.none | length", 0),
        ("#.list | join", "1,b,"),
        ('#.list | join("-")', "1-b-"),
        ("'a,b' | split", ["a", "b"]),
        ("'a|b' | split('|')", ["a", "b"]),
        ("#.list | first", 1),
        ("#.list | last", None),
        ("'' | first", None),
        ("' 12 ' | int", 12),
        ("'2.9' | int", 2),
        ("'2.5' | float", 2.5),
        ("2.567 | round(2)", None),
        ("#.pi | round(2)", 3.14),
        ("#.pi | round", 3),
        ("#.zero | add(2)", 2),
        ("! | add(1)", 1),
        ("#.name | sha256", "8a08f02e49fd1f4c7ecd57d8ee03a5d2b5b1a3b4dbfb3a3a7a0cb6ef8bfd9b2f"),
        ("now()", "2026-01-31T12:00:00Z"),
        ("uuid()", "u-u-i-d"),
        ("run.id", "r1"),
        ("run", {"id": "r1", "attempt": 1, "owner": "u1"}),
        ('now() | date("%Y-%m-%d", "-1d")', "2026-01-30"),
        ('now() | date("%d.%m.%Y %H:%M", "1h30m")', "31.01.2026 13:30"),
        ("'2026-03-01T01:00:00+02:00' | date", "2026-02-28T23:00:00Z"),
        ("0 | date", None),
        ("#.zero | date('%Y', '1w')", "1970"),
        ("secret.KEY", "s3cret key"),
        ("#.text | split(',') | first | upper", "X"),
        ("#['name'] | lower", "ada"),
        ("#.map.(#.name) | default('-')", "-"),
    ],
)
def test_functions(expression: str, value: Any) -> None:
    given = {"zero": 0, "list": [1, "b", None], "name": "Ada", "object": {"a": 1, "b": ["x", "y"], "c": None}}
    given |= {"pi": 3.14159, "text": "x,y", "map": {}}
    if value is None and expression[0] in "20'" and "first" not in expression:
        with pytest.raises((InvalidSequence, SequenceStopped)):  # a number stands in arguments only; no text in UTF-8
            evaluated(expression, **given)
    elif "sha256" in expression:
        assert len(evaluated(expression, **given)) == 64
    else:
        assert evaluated(expression, **given) == value


def test_a_signature_is_that_of_the_field() -> None:
    """The test case of RFC 4231, section 4.3."""
    signed = evaluated("'what do ya want for nothing?' | hmac_sha256(#.key)", key="Jefe")
    assert signed == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("#.name | parse_json", "parse_json"),
        ("'%%' | unbase64", "unbase64"),
        ("#.list | int", "int: this is a number, not array"),
        ("'x' | float", "no number"),
        ("#.object | first", "first and last"),
        ("#.object | join", "join"),
        ("'a' | split('')", "separator is empty"),
        ("#.list | date", "no time"),
        ("'2026-13-01' | date", "date"),
        ("now() | date(#.name)", "no format"),
        ("now() | date('%Y', #.name)", "no shift"),
        ("now() | date('%Y', '999999999w')", "date"),
        ("secret.OTHER", "There is no secret OTHER"),
        ("#.huge | add(#.huge)", "out of range"),
        ("true_ | length", None),
    ],
)
def test_what_functions_cannot_do(expression: str, message: str | None) -> None:
    given = {"list": ["a"], "object": {}, "name": "%Q", "huge": 1.7e308}
    if message is None:
        assert faults(requests=[post("a", body=f"{{{{{expression}}}}}")])
        return
    with pytest.raises(SequenceStopped, match=message.replace("(", r"\(")) as caught:
        evaluated(expression, **given)
    assert caught.value.path == "requests[0]"


@pytest.mark.parametrize(
    "expression",
    [
        "#.a | shout", "#.a | upper(1)", "#.a | default", "#.a |", "| upper", "#.a | add(1, 2)", "#.a | add(", "now",
        "now().a", "secret", "secret.a.b", "secret.a-b", "#.a | date('%Q')", "#.a | date('%Y', 'soon')", "5", "true",
        "#.a | default(b)", "#.a | default(#.b | shout)", "runs.id", "^status", "#.a || upper", "#.a | upper | ",
        "#.a | default(" + "(" * 50 + ")", "#.a" + " | default(#.a" * 20 + ")" * 20,
    ],
)  # fmt: skip
def test_expressions_that_are_none_are_faults_at_their_place(expression: str) -> None:
    assert faults(requests=[post("a", body={"x": f"{{{{{expression}}}}}"})]) == ["requests[0].body.x"]


@pytest.mark.parametrize(
    ("expression", "hidden"),
    [
        ("secret.KEY | base64", ["czNjcmV0IGtleQ=="]),
        ("#.held | base64", ["czNjcmV0IGtleQ=="]),
        ("#.held | upper | lower", ["S3CRET KEY", "s3cret key"]),
        ("#.deep | json | base64", ['{"k":["s3cret key"],"n":12345}', "eyJrIjpbInMzY3JldCBrZXkiXSwibiI6MTIzNDV9"]),
        ("#.deep | json | parse_json", ['{"k":["s3cret key"],"n":12345}', "s3cret key", "12345"]),
        ("#.deep | urlencode", ["k=s3cret+key&n=12345"]),
        ("secret.KEY | split(' ')", ["s3cret", "key"]),
        ("#.nothing | default(secret.KEY)", []),
        ("#.open | base64", []),
        ("'x' | hmac_sha256(secret.KEY)", []),
        ("#.held | sha256", []),
        ("secret.KEY | length", []),
    ],
)  # fmt: skip
def test_what_functions_make_of_secrets_is_hidden_wherever_they_stand_and_signatures_are_not(
    expression: str, hidden: list[str]
) -> None:
    world = Scripted()
    held = {"held": "s3cret key", "deep": {"k": ["s3cret key"], "n": 12345}, "open": "told"}
    world.run(post("a", body=f"{{{{{expression}}}}}"), persistence=held)
    assert world.hidden == hidden


SENSITIVE = [
    ({"expect": {"schema": {"maximum": 5}}}, "requests[0].expect.schema"),
    ({"expect": {"headers": {"X-Pin": {"eq": "1"}}}}, "requests[0].expect.headers.X-Pin"),
    ({"expect": {"filter": where("$", eq=1)}}, "requests[0].expect.filter[0]"),
    ({"expect": {"status": 404}}, "requests[0].expect.status"),
    ({"until": {"filter": where("$", eq=1), "attempts": 1}}, "requests[0].until"),
    ({"assign": {"x": "{{$ | unbase64}}"}}, "requests[0]"),
    ({"paginate": {"next": "$.none", "items": "$"}}, "requests[0].paginate.items"),
    ({"body": "{{'48151623x' | int}}"}, "requests[0]"),
]


@pytest.mark.parametrize(("more", "path"), SENSITIVE)
def test_why_a_sensitive_step_fails_quotes_nothing_of_it(more: dict[str, Any], path: str) -> None:
    answer = StepResponse(200, 48151623, "Pin 48151623", headers={"x-pin": "48151623"})
    step = post("a", **more)
    plain = Scripted(a=answer).stopped(step)
    told = Scripted(a=answer).stopped({**step, "sensitive": True})
    assert (plain.path, told.path) == (path, path)
    assert "The step is sensitive" in told.message
    assert "48151623" not in told.message
    assert "sensitive" not in plain.message


def test_what_a_sensitive_step_assigns_is_hidden() -> None:
    world = Scripted(a={"pin": "48151623"})
    world.run(post("a", sensitive=True, assign={"x": {"deep": ["{{$.pin | base64}}", 42]}}))
    assert world.hidden == ["NDgxNTE2MjM=", "42"]


def test_the_last_answer_has_a_sign() -> None:
    answer = StepResponse(201, {"x": 1}, headers={"location": "http://h/new"}, url="http://h/made")
    world = Scripted(make=answer, list={"data": [1]}, gone=SendFailed("x", "connection"))
    body = ["{{^.status}}", "{{^.headers.location}}", "{{^.url}}", "{{^.duration_ms}}"]
    loop = {"by": "$.data", "requests": [post("in", body="{{^.status}}", save_to="in")]}
    result = world.run(
        post("first", body="{{^}}", save_to="first"),
        post("make"),
        post("then", body=body, save_to="then"),
        post("make", ignore_error=True),
        get("list", __def_loop__=loop),
        get("gone", ignore_error=True),
        post("last", body="{{^}}", save_to="last"),
    )
    assert result["first"]["body"] is None
    assert result["then"]["body"] == [201, "http://h/new", "http://h/made", 0]
    assert result["in"]["body"] == 200
    assert result["last"]["body"] is None


# Faults


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"body": 1, "form": {}}, ["form"]),
        ({"form": []}, ["form"]),
        ({"text": {}}, ["text"]),
        ({"multipart": {"a": {"filename": "x"}}}, ["multipart.a"]),
        ({"multipart": {"a": {"content": "x", "filename": "a\nb"}}}, ["multipart.a"]),
        ({"query": "a=b"}, ["query"]),
        ({"query": {"a": "{{"}}, ["query.a"]),
        ({"body": {}, "headers": {"Content-Type": "text/xml"}}, ["body"]),
        ({"form": {}, "headers": {"Content-Type": "text/xml"}}, ["form"]),
        ({"auth": "x"}, ["auth", "auth"]),
        ({"auth": {"digest": {}}}, ["auth.digest"]),
        ({"auth": {"basic": {"username": "u"}}}, ["auth.basic.password"]),
        ({"auth": {"bearer": 1}}, ["auth.bearer"]),
        ({"auth": {"bearer": "x"}, "headers": {"authorization": "y"}}, ["auth"]),
        ({"timeout": 0}, ["timeout"]),
        ({"timeout": True}, ["timeout"]),
        ({"timeout": {"connect": "x", "all": 1}}, ["timeout.all", "timeout.connect"]),
        ({"retry": []}, ["retry"]),
        ({"retry": {"on": ["5xx", 99, "soon"]}}, ["retry.on[1]", "retry.on[2]"]),
        ({"retry": {"attempts": 0, "delay": -1, "backoff": "none", "unsafe": 1, "more": 1}},
         ["retry.more", "retry.unsafe", "retry.backoff", "retry.attempts", "retry.delay"]),
        ({"until": {"attempts": 1.5}}, ["until.filter", "until.attempts"]),
        ({"expect": {"status": "3yy", "headers": {"a": {"is": 1}}, "filter": [{}], "schema": {"type": 1}}},
         ["expect.status", "expect.headers.a.is", "expect.filter[0]", "expect.schema"]),
        ({"expect": {"schema": {"$ref": "http://h/x"}}}, ["expect.schema"]),
        ({"paginate": {}}, ["paginate.next", "paginate.items"]),
        ({"paginate": {"next": {"start": -1}, "items": "$"}}, ["paginate.next.start", "paginate.next.param"]),
        ({"paginate": {"next": "link", "items": "$", "max_pages": 0}}, ["paginate.max_pages"]),
        ({"follow_redirects": 1}, ["follow_redirects"]),
        ({"response": "xml"}, ["response"]),
        ({"when": {}}, ["when"]),
        ({"assign": []}, ["assign"]),
        ({"assign": {"": 1, "b": "{{"}}, ['assign[""]', "assign.b"]),
        ({"sensitive": "yes"}, ["sensitive"]),
        ({"name": 5, "description": []}, ["description", "name"]),
        ({"catch": {}}, ["catch"]),
        ({"catch": [{"method": "GET"}]}, ["catch[0].url"]),
        ({"sleep": 1}, ["method", "url"]),
        ({"__def_loop__": {"by": "$", "requests": [], "parallel": 0, "max_items": -1, "collect": ""}},
         ["__def_loop__.parallel", "__def_loop__.max_items", "__def_loop__.collect"]),
    ],
)  # fmt: skip
def test_faults_of_a_step_have_their_place(changes: dict[str, Any], paths: list[str]) -> None:
    assert faults(requests=[get("a", **changes)]) == [f"requests[0].{path}" for path in paths]


@pytest.mark.parametrize(
    ("step", "paths"),
    [
        ({"sleep": -1}, ["sleep"]),
        ({"sleep": "soon"}, ["sleep"]),
        ({"sleep": 1, "save_to": "a"}, ["save_to"]),
        ({"parallel": []}, ["parallel", "parallel.branches"]),
        ({"parallel": {"branches": [[{"sleep": 1}], {}], "limit": 0}}, ["parallel.branches[1]", "parallel.limit"]),
        ({"parallel": {"branches": [[{"sleep": "x"}]]}}, ["parallel.branches[0][0].sleep"]),
        ({"parallel": {"branches": [[]]}, "call": {"sequence": "a"}}, ["call"]),
        ({"call": {}}, ["call.sequence"]),
        ({"call": {"sequence": "a", "inputs": [], "version": 0}}, ["call.inputs", "call.version"]),
        ({"call": {"sequence": "a"}, "retry": {}}, ["retry"]),
        ({"method": "JAC", "api": "a", "timeout": 1, "query": {}}, ["query", "timeout"]),
    ],
)
def test_faults_of_steps_without_a_request(step: dict[str, Any], paths: list[str]) -> None:
    assert faults(requests=[step]) == [f"requests[0].{path}" for path in paths]


@pytest.mark.parametrize(
    ("top", "paths"),
    [
        ({"defaults": {"body": 1}}, ["defaults.body"]),
        ({"defaults": {"timeout": 0, "retry": {"on": 5}, "headers": [], "auth": {}, "follow_redirects": "no"}},
         ["defaults.headers", "defaults.timeout", "defaults.follow_redirects", "defaults.auth", "defaults.retry.on"]),
        ({"on_failure": {}, "finally": [1]}, ["on_failure", "finally[0]"]),
        ({"finally": [{"method": "GET"}]}, ["finally[0].url"]),
    ],
)  # fmt: skip
def test_faults_of_the_top(top: dict[str, Any], paths: list[str]) -> None:
    assert faults(**top) == paths


def test_all_keys_together_are_a_program() -> None:
    step = post(
        "a", name="n", description="d", query={"a": 1}, form={"b": 2}, auth={"bearer": "t"}, timeout=1,
        retry={"attempts": 2, "unsafe": True}, when=where("#.a", ne=1), until={"filter": []}, expect={"status": "2xx"},
        assign={"x": "{{$}}"}, sensitive=True, follow_redirects=False, response="json", save_to="s", save_req_to="r",
        catch=[{"sleep": 0}], ignore_error=True, **{"break": where("#.a", eq=1)},
        __def_loop__={"by": "$", "requests": [{"sleep": 0}], "parallel": 2, "max_items": 3, "collect": "c"},
    )  # fmt: skip
    program = parse({"requests": [step], "on_failure": [{"sleep": 0}], "finally": [step]})
    assert [path for path, _ in program.walk()] == [
        *["requests[0]", "requests[0].__def_loop__.requests[0]", "requests[0].catch[0]", "on_failure[0]", "finally[0]"],
        *["finally[0].__def_loop__.requests[0]", "finally[0].catch[0]"],
    ]
