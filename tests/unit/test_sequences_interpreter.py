"""A sequence is carried out as its documents say: what each step sees, sends, saves and leaves out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import SendFailed, SequenceLimits, StepRecord, StepRequest, StepResponse
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from taskhub.jsontools.jsonc import parse_jsonc

DATA = Path(__file__).resolve().parent.parent / "data"
LIST = [{"id": 1, "tag": "a"}, {"id": 2, "tag": "b"}, {"id": 3, "tag": "a"}]


class World:
    """Servers that answer at once, by address; a clock that ticks when it is read; all that was sent and recorded."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"list": {"data": LIST}, "ok": {"ok": True}, **answers}
        self.sent: list[StepRequest] = []
        self.calls: list[tuple[str, dict[str, Any], str | None]] = []
        self.records: list[StepRecord] = []
        self.now = 0.0
        self.stop: Callable[[], bool | None] = lambda: False

    def send(self, outgoing: StepRequest) -> StepResponse:
        self.sent.append(outgoing)
        name = outgoing.address.removeprefix("http://h/").split("?")[0]
        if name == "gone":
            raise SendFailed("The connection was refused.")
        if name.isdigit():
            return StepResponse(int(name), {"detail": "no"}, "Nope")
        return StepResponse(200, self.answers.get(name, {"echo": outgoing.body, "at": name}))

    def jac(self, name: str, arguments: dict[str, Any], master: str | None) -> StepResponse:
        self.calls.append((name, arguments, master))
        return StepResponse(401, None, "Who is calling?") if master is None else StepResponse(200, {"called": name})

    def clock(self) -> float:
        self.now += 0.25
        return self.now

    def start(self, *requests: dict[str, Any], limits: SequenceLimits | None = None, **top: Any) -> Interpreter:
        return Interpreter(
            parse({"requests": list(requests), **top}),
            send=self.send,
            jac=self.jac,
            clock=self.clock,
            record=self.records.append,
            should_stop=lambda: self.stop(),
            limits=limits or SequenceLimits(),
        )

    def run(self, *requests: dict[str, Any], **options: Any) -> dict[str, Any]:
        return self.start(*requests, **options).run()

    def stopped(self, *requests: dict[str, Any], **options: Any) -> SequenceStopped:
        with pytest.raises(SequenceStopped) as caught:
            self.run(*requests, **options)
        return caught.value

    @property
    def addresses(self) -> list[str]:
        return [outgoing.address.removeprefix("http://h/") for outgoing in self.sent]

    @property
    def paths(self) -> list[str]:
        return [record.path for record in self.records]


@pytest.fixture
def world() -> World:
    return World()


def get(address: str, **more: Any) -> dict[str, Any]:
    return {"method": "GET", "url": f"http://h/{address}", **more}


def loop(*requests: dict[str, Any], by: str = "$.data", **more: Any) -> dict[str, Any]:
    return {"__def_loop__": {"by": by, "requests": list(requests), **more}}


def where(by: str, **condition: Any) -> list[dict[str, Any]]:
    return [{"by": by, "condition": condition}]


# What the signs stand for


def test_the_previous_answer_and_persistence(world: World) -> None:
    result = world.run(
        get("{{$.first}}/{{#.first}}/{{!}}/{{@}}", save_to="one"),
        get("{{$.at}}", save_to="two"),
        persistence={"first": "x y"},
    )
    assert world.addresses == ["x%20y/x%20y/0/", "x%2520y%2Fx%2520y%2F0%2F"]
    assert result == {"first": "x y", "one": {"echo": None, "at": world.addresses[0]}, "two": {
        "echo": None, "at": world.addresses[1]}}  # fmt: skip


def test_the_container_presets_three_signs(world: World) -> None:
    container = {"current": {"a": 1}, "parent_current": {"b": 2}, "index": 7}
    world.run(get("{{$.a}}{{@.b}}{{!}}"), get("{{@.b}}{{!}}{{$.at}}"), container=container)
    assert world.addresses == ["127", "27"]


def test_what_is_sent(world: World) -> None:
    body = {"n": "{{#.n}}", "list": ["{{#.n}}", "a {{#.n}}"], "{{#.key}}": {"deep": "{{#.list}}"}}
    header = {"Authorization": "token {{#.n}}", "X-None": "{{#.nothing}}", "X-Text": "{{#.list}}{{!}}", "X-True": True}
    world.run(
        {"method": "post", "api": "{{#.to}}", "body": body, "header": header},
        {"method": "PUT", "url": "http://h/ok", "body": "{{#.list}}", "headers": "{{#.headers}}"},
        persistence={"n": 5, "key": "k", "list": [1, {}], "to": "http://h/a?b=c d", "headers": {"A": 1, "B": None}},
    )
    assert world.sent == [
        StepRequest(
            "POST",
            "http://h/a?b=c d",
            {"Authorization": "token 5", "X-Text": "[1,{}]0", "X-True": "true"},
            {"n": 5, "list": [5, "a 5"], "k": {"deep": [1, {}]}},
        ),
        StepRequest("PUT", "http://h/ok", {"A": "1"}, [1, {}]),
    ]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (get("ok", header={"A": "{{#.lines}}"}), "header 'A'"),
        (get("ok", header={"{{#.lines}}": "a"}), "header"),
        (get("ok", header={"A": "{{#.foreign}}"}), "Latin-1"),
        (get("ok", header={"A": "{{#.list}}"}), "A header is text"),
        (get("ok", header="{{#.lines}}"), "Headers are an object"),
        (get("ok", save_to="{{#.nothing}}"), "name to save under is empty"),
        (get("ok", save_req_to="{{#.nothing}}"), "name to save under is empty"),
        ({"method": "GET", "url": "{{#.nothing}}"}, "address is not text"),
        (get("{{#.up}}/x"), "lead elsewhere"),
        ({"method": "JAC", "api": "a", "body": "{{#.lines}}"}, "body of a JAC request"),
        ({"method": "JAC", "api": "a", "master": "{{#.list}}"}, "master is a user's id"),
        (get("ok?{{#.big}}{{#.big}}"), "too long together"),
        (get("ok", body=["{{#.big}}"] * 2), "The request would be larger"),
        (get("ok", body={"a": [["{{#.deep}}"]]}), "The request would be nested deeper"),
    ],
)
def test_a_step_that_cannot_be_sent_is_trouble_of_its_own(world: World, request_: Any, message: str) -> None:
    deep: Any = 1
    for _ in range(96):
        deep = [deep]
    persistence = {"lines": "a\r\nB: c", "foreign": "ж", "list": [], "up": "..", "big": "x" * 900, "deep": [[deep]]}
    limits = SequenceLimits(request=1500)
    stopped = world.stopped(request_, persistence=persistence, limits=limits)
    assert (stopped.path, world.sent, world.calls) == ("requests[0]", [], [])
    assert message in stopped.message
    assert world.records[0].error == stopped.message
    result = world.run({**request_, "ignore_error": True}, get("ok"), persistence=persistence, limits=limits)
    assert result == persistence
    assert world.addresses == ["ok"]


def test_names_are_made_before_sending_and_cleaned(world: World) -> None:
    result = world.run(
        get("list"), get("ok", save_to="got {{$.data.0.id}}: é.{{!}}", save_req_to="req-{{$.data.1.id}}")
    )
    assert result == {
        "req_2": {
            "method": "GET",
            "url": "http://h/ok",
            "api": "http://h/ok",
            "headers": {},
            "header": {},
            "body": None,
        },
        "got_1____0": {"ok": True},
    }


def test_the_request_is_saved_as_it_was_sent_and_read_in_both_spellings(world: World) -> None:
    request = get("ok?{{#.a}}", body={"b": "{{#.a}}"}, header={"C": "{{#.a}}"}, save_req_to="sent")
    body = ["{{#.sent.url}}", "{{#.sent.api}}", "{{#.sent.headers.C}}", "{{#.sent.header.C}}"]
    result = world.run(request, get("echo", body=body, save_to="read"), persistence={"a": "x"})
    assert result["sent"] == {
        "method": "GET",
        "url": "http://h/ok?x",
        "api": "http://h/ok?x",
        "headers": {"C": "x"},
        "header": {"C": "x"},
        "body": {"b": "x"},
    }
    assert result["read"]["echo"] == ["http://h/ok?x", "http://h/ok?x", "x", "x"]


@pytest.mark.parametrize(("method", "sent"), [("get", "GET"), ("Patch", "PATCH"), ("jac", "JAC")])
def test_an_expression_gives_the_method(world: World, method: str, sent: str) -> None:
    address = "master_self" if sent == "JAC" else "http://h/ok"
    step = {
        "method": "{{#.method}}",
        "api": "{{#.to}}",
        "header": {"A": "1"},
        "master": "{{#.me}}",
        "save_req_to": "it",
    }
    result = world.run(step, persistence={"method": method, "to": address, "me": "urn:uuid:1"})
    assert [request.method for request in world.sent] + ["JAC"] * len(world.calls) == [sent]
    assert world.calls == ([("master_self", {}, "urn:uuid:1")] if sent == "JAC" else [])
    assert (result["it"]["method"], result["it"]["headers"]) == (sent, {} if sent == "JAC" else {"A": "1"})
    assert world.records[0].method == sent


@pytest.mark.parametrize("method", ["TRACE", "", None, 1, "{{'GET'}}"])
def test_a_method_that_is_none_is_the_steps_error(world: World, method: Any) -> None:
    stopped = world.stopped({"method": "{{#.method}}", "url": "http://h/ok"}, persistence={"method": method})
    assert "The method would be" in stopped.message
    assert (world.sent, world.records[0].sent) == ([], None)


def test_headers_have_no_effect_on_a_jac_request(world: World) -> None:
    step = {"method": "JAC", "api": "a", "master": "urn:uuid:1", "header": {"Authorization": "token {{#.no.token}}"}}
    result = world.run({**step, "headers": None, "save_req_to": "it"}, {**step, "header": {"A": "{{#.lines}}"}})
    assert [name for name, _, _ in world.calls] == ["a", "a"]
    assert result["it"]["headers"] == {}


def test_persistence_that_is_saved_in_itself_is_saved_as_it_was(world: World) -> None:
    step = get("ok", body=["{{#}}", "{{$}}"], save_req_to="sent")
    result = world.run(step, step, persistence={"a": 1})
    assert result["sent"]["body"][0] == {"a": 1, "sent": {**result["sent"], "body": [{"a": 1}, {"a": 1}]}}
    json.dumps(result)


# Loops


def test_a_loop_sees_the_item_its_index_and_the_answer_before(world: World) -> None:
    result = world.run(
        get(
            "list",
            save_to="all",
            **loop(get("{{$.id}}-{{@.id}}-{{!}}"), get("then-{{$.at}}-{{@.id}}", save_to="s{{!}}")),
        ),
        get("after-{{$.data.0.id}}-{{@}}-{{!}}"),
    )
    assert world.addresses == [
        "list", "1-1-0", "then-1-1-0-1", "2-2-1", "then-2-2-1-2", "3-3-2", "then-3-3-2-3", "after-1--0"
    ]  # fmt: skip
    assert list(result) == ["all", "s0", "s1", "s2"]
    assert world.paths[:4] == [
        "requests[0]",
        "requests[0].__def_loop__[0].requests[0]",
        "requests[0].__def_loop__[0].requests[1]",
        "requests[0].__def_loop__[1].requests[0]",
    ]


def test_the_index_counts_items_that_the_filter_leaves_out(world: World) -> None:
    filter_ = [{"or": [*where("$.tag", eq="b"), *where("@.id", gte=3), *where("!", eq="9")]}]
    world.run(get("list", **loop(get("{{!}}-{{@.id}}"), filter=filter_)))
    assert world.addresses == ["list", "1-2", "2-3"]


def test_loops_nest(world: World) -> None:
    world.answers["inner"] = [[1, 2], [3]]
    inner = get("inner", __def_loop={"by": "{{$}}", "requests": [get("in-{{$}}-{{@}}-{{!}}")]})
    world.run(get("list", **loop(inner, get("{{$.1.0}}-{{@.id}}-{{!}}"), filter=where("$.id", lt=3))))
    assert world.addresses == [
        "list",
        *["inner", "in-%5B1%2C2%5D-%5B1%2C2%5D-0", "in-%5B3%5D-%5B3%5D-1", "3-1-0"],
        *["inner", "in-%5B1%2C2%5D-%5B1%2C2%5D-0", "in-%5B3%5D-%5B3%5D-1", "3-2-1"],
    ]
    assert world.paths[2] == "requests[0].__def_loop__[0].requests[0].__def_loop[0].requests[0]"


def test_a_list_that_is_saved_over_in_its_loop_is_looped_over_as_it_was(world: World) -> None:
    world.run(get("ok", **loop(get("{{$}}", save_to="items"), by="#.items")), persistence={"items": ["a", "b"]})
    assert world.addresses == ["ok", "a", "b"]


@pytest.mark.parametrize("by", ["$.nothing", "$", "#", "!", "$.data.0"])
def test_by_must_give_a_list(world: World, by: str) -> None:
    step = get("list", save_to="all", **loop(get("ok"), by=by))
    stopped = world.stopped(step, get("ok"))
    assert (stopped.path, list(stopped.persistence), world.addresses) == ("requests[0]", ["all"], ["list"])
    assert "a loop needs an array" in stopped.message
    assert (world.records[0].status, world.records[0].error) == (200, stopped.message)
    assert world.run({**step, "ignore_error": True})["all"] == {"worker_error": stopped.message}


def test_a_path_that_is_not_definite_gives_a_list_to_loop_over(world: World) -> None:
    world.run(get("list", **loop(get("{{$}}"), by="$..tag")), get("ok", **loop(get("never"), by="$..nothing")))
    assert world.addresses == ["list", "a", "b", "a", "ok"]


# Errors


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("503", {"status": 503, "message": "Nope", "body": {"detail": "no"}}),
        ("400", {"status": 400, "message": "Nope", "body": {"detail": "no"}}),
        ("gone", {"worker_error": "The connection was refused."}),
    ],
)
def test_an_error_stops_or_is_a_value(world: World, address: str, value: Any) -> None:
    step = get(address, save_to="it", save_req_to="asked")
    stopped = world.stopped(get("ok", save_to="before"), step, get("never"))
    assert stopped.path == "requests[1]"
    assert list(stopped.persistence) == ["before", "asked"]
    assert stopped.errors == [{"path": "requests[1]", "detail": stopped.message}]
    assert stopped.permanent
    result = world.run({**step, "ignore_error": True}, get("then-{{$.status}}-{{$.worker_error}}"))
    assert result["it"] == value
    assert len(world.sent) == 4
    assert world.addresses[-1].startswith("then-")


@pytest.mark.parametrize("value", [{1, 2}, object()])
def test_an_answer_that_is_no_json_is_not_saved(world: World, value: Any) -> None:
    world.answers["odd"] = [value]
    assert "not JSON" in world.stopped(get("odd", save_to="it")).message


def test_an_answer_that_is_not_what_it_says_is_the_steps_error(world: World) -> None:
    world.send = lambda outgoing: StepResponse(200, "{", fault="This is no JSON.")  # type: ignore[method-assign]
    stopped = world.stopped(get("ok", save_to="it"))
    assert (stopped.message, stopped.persistence) == ("This is no JSON.", {})
    record = world.records[0]
    assert (record.status, record.value, record.error) == (200, "{", "This is no JSON.")
    value = {"status": 200, "message": "This is no JSON.", "body": "{"}
    assert world.run(get("ok", save_to="it", ignore_error=True))["it"] == value


def test_what_was_mended_in_an_answer_is_on_record(world: World) -> None:
    world.send = lambda outgoing: StepResponse(200, None, note="NaN became null")  # type: ignore[method-assign]
    world.run(get("ok"))
    assert (world.records[0].note, world.records[0].error) == ("NaN became null", None)


def test_an_answer_below_400_is_none_of_these(world: World) -> None:
    assert world.run(get("399", save_to="it"))["it"] == {"detail": "no"}


def test_an_error_in_a_loop_is_the_looping_steps(world: World) -> None:
    step = get("list", save_to="all", **loop(get("50{{!}}"), get("{{@.id}}")))
    world.answers |= {"1": 1, "2": 2}
    stopped = world.stopped(step, get("never"))
    assert stopped.path == "requests[0].__def_loop__[0].requests[0]"
    assert stopped.persistence == {"all": {"data": LIST}}
    world.sent.clear()
    result = world.run({**step, "ignore_error": True}, get("then-{{$.status}}"))
    assert result == {"all": {"status": 500, "message": "Nope", "body": {"detail": "no"}}}
    assert world.addresses == ["list", "500", "then-500"]


def test_an_error_that_is_ignored_in_a_loop_stays_there(world: World) -> None:
    result = world.run(get("list", **loop(get("50{{!}}", ignore_error=True, save_to="e{{!}}"), get("x{{$.status}}"))))
    assert [value["status"] for value in result.values()] == [500, 501, 502]
    assert world.addresses == ["list", "500", "x500", "501", "x501", "502", "x502"]


def test_the_nearest_step_that_ignores_errors_takes_them(world: World) -> None:
    inner = get("list", save_to="inner", **loop(get("gone")), ignore_error=True)
    result = world.run(get("list", save_to="outer", **loop(inner, get("then"), filter=where("!", eq="1"))))
    assert result["inner"] == {"worker_error": "The connection was refused."}
    assert result["outer"] == {"data": LIST}
    assert world.addresses == ["list", "list", "gone", "then"]


def test_other_exceptions_pass_through(world: World) -> None:
    run = world.start(get("ok"), get("boom", ignore_error=True))
    run._send = lambda outgoing: world.send(outgoing) if "ok" in outgoing.address else [][1]
    with pytest.raises(IndexError):
        run.run()
    assert run.steps == 1
    assert run.checkpoint()["blocks"][0]["at"] == 1


# JAC


def test_jac_calls_in_process(world: World) -> None:
    request = {"method": "JAC", "api": "master_{{#.what}}", "body": {"limit": 0}, "save_to": "it"}
    stopped = world.stopped({**request, "master": "{{#.nobody}}"}, persistence={"what": "allusers"})
    assert stopped.message == "The answer was 401: Who is calling?"
    result = world.run({**request, "master": "{{#.what}}"}, persistence={"what": "allusers"})
    assert result["it"] == {"called": "master_allusers"}
    world.run({"method": "JAC", "url": "a", "master": "x"})
    assert world.calls == [
        ("master_allusers", {"limit": 0}, None),
        ("master_allusers", {"limit": 0}, "allusers"),
        ("a", {}, "x"),
    ]
    assert world.sent == []


# Break


def test_break_leaves_the_rest_of_the_block_out(world: World) -> None:
    inner = [get("{{@.id}}"), get("ok", **{"break": where("@.id", eq=2)}), get("rest")]
    world.answers |= {str(number): {} for number in range(9)}
    world.run(get("list", **loop(*inner)), get("ok"))
    assert [address for address in world.addresses if not address.isdigit()] == [
        "list",
        "ok",
        "rest",
        "ok",
        "ok",
        "rest",
        "ok",
    ]


def test_break_sees_the_steps_value_after_its_loop(world: World) -> None:
    world.run(get("list", **loop(get("in")), **{"break": where("$.data.0.id", eq=1)}), get("never"))
    assert world.addresses == ["list", "in", "in", "in"]
    world.run(get("503", ignore_error=True, **{"break": where("$.status", eq=503)}), get("never"))
    assert "never" not in world.addresses


def test_what_break_and_filter_cannot_evaluate_is_the_steps_trouble(world: World) -> None:
    bad = where("#.bad", regex="{{#.bad}}")
    kept = {"bad": "("}
    stopped = world.stopped(get("x", **{"break": bad}), persistence=kept)
    assert stopped.path == "requests[0].break"
    result = world.run(get("x", ignore_error=True, save_to="x", **{"break": bad}), get("ok"), persistence=kept)
    assert "no pattern" in result["x"]["worker_error"]
    step = get("list", save_to="x", **loop(get("in"), filter=where("@.tag", regex="{{#.bad}}")))
    stopped = world.stopped(step, persistence=kept)
    assert stopped.path == "requests[0].__def_loop__[0].filter"
    result = world.run({**step, "ignore_error": True}, get("ok"), persistence=kept)
    assert "no pattern" in result["x"]["worker_error"]
    assert world.paths == [
        *["requests[0]", "requests[0].break"],
        *["requests[0]", "requests[0].break", "requests[1]"],
        *["requests[0]", "requests[0].__def_loop__[0].filter"],
        *["requests[0]", "requests[0].__def_loop__[0].filter", "requests[1]"],
    ]
    assert [record.number for record in world.records[-3:]] == [1, 2, 3]


# Budgets


@pytest.mark.parametrize(
    ("limits", "message", "sent"),
    [
        (SequenceLimits(steps=2), "more than 2 steps", 2),
        (SequenceLimits(items=2), "more than 2 items", 3),
        (SequenceLimits(seconds=3), "longer than 3 seconds", 3),
        (SequenceLimits(persistence=300), "larger than 300 characters", 4),
    ],
)
def test_a_spent_budget_stops_whatever_is_ignored(
    world: World, limits: SequenceLimits, message: str, sent: int
) -> None:
    inner = get("{{$.tag}}", ignore_error=True, save_to="s{{!}}")
    step = get("list", ignore_error=True, **loop(inner))
    world.answers |= {"a": "x" * 100, "b": "x" * 100}
    stopped = world.stopped(step, step, limits=limits)
    assert message in stopped.message
    assert stopped.path.startswith("requests[")
    assert len(world.sent) == sent
    json.dumps(stopped.persistence)


def test_saving_over_a_key_frees_its_room(world: World) -> None:
    world.answers["big"] = "x" * 800
    world.run(*[get("big", save_to="same")] * 5, limits=SequenceLimits(persistence=1000))
    stopped = world.stopped(
        get("big", save_to="a"), get("big", save_to="b", ignore_error=True), limits=SequenceLimits(persistence=1000)
    )
    assert stopped.path == "requests[1]"
    assert list(stopped.persistence) == ["a"]


def test_persistence_that_doubles_meets_its_limit(world: World) -> None:
    step = get("ok", body=["{{#}}", "{{#}}"], save_req_to="x{{$.n}}", ignore_error=True)
    world.answers["ok"] = {"n": 1}
    steps = [{**step, "save_req_to": f"x{number}"} for number in range(60)]
    assert "larger than" in world.stopped(*steps, limits=SequenceLimits(request=100_000, persistence=10_000)).message


def test_a_run_that_should_stop_stops_before_the_next_step_or_item(world: World) -> None:
    world.stop = lambda: len(world.sent) == 2
    stopped = world.stopped(get("list", ignore_error=True, **loop(get("x"))))
    assert (stopped.message, len(world.sent)) == ("The run was stopped.", 2)

    def interrupted() -> None:
        raise KeyboardInterrupt

    world.stop = interrupted
    with pytest.raises(KeyboardInterrupt):
        world.run(get("ok"))


# Records


def test_each_step_is_recorded_when_it_is_done(world: World) -> None:
    steps = [get(address, ignore_error=True) for address in ("ok", "503", "gone", "{{#.up}}/")]
    world.run(*steps, persistence={"up": ".."})
    first, second, third, fourth = world.records
    assert first == StepRecord(1, "requests[0]", "GET", world.sent[0], 200, {"ok": True}, None, 250)
    assert (second.status, second.value, second.error) == (503, {"detail": "no"}, "The answer was 503: Nope")
    assert (third.status, third.sent, third.error) == (None, world.sent[2], "The connection was refused.")
    assert (fourth.status, fourth.sent, fourth.number) == (None, None, 4)


# The documents


def documented(version: int) -> Any:
    lines = (DATA / f"sequence_v{version}.jsonc").read_text().splitlines()
    return parse_jsonc("\n".join(line for line in lines if "..." not in line))


class Hub(World):
    """Answers as the documents' servers do."""

    users = [
        {"user": f"dummy+testing{number}@dummy.com", "jid": f"urn:uuid:{number}", "active_gph_id": f"g{number}"}
        for number in (1, 2, 3)
    ] + [{"user": "dummy+testing2@dummy.com", "jid": "urn:uuid:29cba0c9-e24e-4d15-a2b6-4354c59a4c86"}]

    def send(self, outgoing: StepRequest) -> StepResponse:
        self.sent.append(outgoing)
        name = outgoing.address.rstrip("/").rpartition("/")[2]
        answers: dict[str, Any] = {
            "token": {"token": "t0"},
            "master_allusers": {"total": 4, "data": self.users},
            "object_get": {"jid": "x", "active_gph_id": "graph of {}".format((outgoing.body or {}).get("obj"))},
            "walker_run": {"success": True, "report": [outgoing.body]},
        }
        return StepResponse(200, answers.get(name, {"todo": name}))


@pytest.mark.parametrize("version", [1, 2])
def test_the_documented_sequences(version: int) -> None:
    hub = Hub()
    arguments = documented(version)
    run = Interpreter(
        parse(arguments), send=hub.send, jac=hub.jac, clock=hub.clock, record=hub.records.append
    )  # fmt: skip
    if version == 1:
        result = run.run()
    else:
        with pytest.raises(SequenceStopped) as caught:
            run.run()
        assert caught.value.path == "requests[3]"
        assert hub.calls == [("master_allusers", {"limit": 0, "offset": 0}, None)]
        result = caught.value.persistence
    assert list(result) == [
        *["additional_field", "login_req", "login", "object_get_2"],
        *["req_urn_uuid_3", "response_urn_uuid_3", "object_get_3"],
        *[
            "req_urn_uuid_29cba0c9_e24e_4d15_a2b6_4354c59a4c86",
            "response_urn_uuid_29cba0c9_e24e_4d15_a2b6_4354c59a4c86",
        ],
        *["req_testing_nested", "testing_nested"],
    ]
    assert hub.sent[1].headers == hub.sent[2].headers == {"Authorization": "token t0"}
    assert result["req_urn_uuid_3"]["body"]["nd"] == "graph of urn:uuid:3"
    assert result["login_req"]["body"]["email"] == "dummy@dummy.com"
    assert result["testing_nested"] == {"todo": "100"}


def test_the_second_document_ends_well_with_a_master() -> None:
    hub = Hub()
    arguments = documented(2)
    arguments["persistence"]["master"] = "urn:uuid:7"
    result = Interpreter(parse(arguments), send=hub.send, jac=hub.jac, clock=hub.clock).run()
    assert result["master_allusers_by_walker"] == {"called": "master_allusers"}
    assert hub.calls == [("master_allusers", {"limit": 0, "offset": 0}, "urn:uuid:7")]
