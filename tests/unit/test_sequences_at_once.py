"""What goes on at once gives what it gives one after the other, whoever is faster, and whoever takes it over."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import SendFailed, SequenceLimits, StepRecord, StepRequest, StepResponse
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from sequences.domain.steps import SequenceProgram

LIMITS = SequenceLimits(steps=400, items=200)
ITEMS = [{"id": number, "ids": [number * 10, number * 10 + 1]} for number in range(4)]


class Killed(Exception):
    """The worker is lost."""


class AnyOrder:
    """A performer that answers first whom `choose` says, of those that wait. `dies` says when it is lost instead."""

    def __init__(self, choose: Callable[[int], int], dies: Callable[[], bool] = lambda: False) -> None:
        self.choose, self.dies = choose, dies
        self.waiting: list[tuple[Any, Callable[[], Any]]] = []
        self.most = 0

    def start(self, token: Any, exchange: Callable[[], Any]) -> None:
        self.waiting.append((token, exchange))
        self.most = max(self.most, len(self.waiting))

    def next(self, seconds: float | None) -> tuple[Any, Any] | None:
        if self.dies():
            raise Killed
        if not self.waiting:
            return None
        token, exchange = self.waiting.pop(self.choose(len(self.waiting)) % len(self.waiting))
        return token, exchange()


def send(outgoing: StepRequest) -> StepResponse:
    """The same request has the same answer, whoever asks."""
    name = outgoing.address.rpartition("/")[2]
    if name == "gone":
        raise SendFailed("The connection was refused.", "connection")
    if name.startswith("bad"):
        return StepResponse(500, {"detail": name}, "Nope")
    return StepResponse(200, {"data": ITEMS} if name == "list" else {"at": name, "body": outgoing.body, "data": [1, 2]})


def jac(name: str, arguments: dict[str, Any], master: str | None) -> StepResponse:
    return StepResponse(200, {"data": [name, arguments]})


def start(program: SequenceProgram, performer: Any = None, state: Any = None, **more: Any) -> Interpreter:
    options: dict[str, Any] = {"send": send, "jac": jac, "clock": lambda: 0.0, "limits": LIMITS, "performer": performer}
    options |= more
    if state is not None:
        return Interpreter.resume(program, json.loads(json.dumps(state)), **options)
    return Interpreter(program, **options)


def outcome(run: Interpreter) -> Any:
    try:
        return json.dumps(run.run())
    except SequenceStopped as stopped:
        return stopped.path, stopped.message, json.dumps(stopped.persistence)


def post(address: str, **more: Any) -> dict[str, Any]:
    return {"method": "POST", "url": f"http://h/{address}", **more}


def loop(*requests: dict[str, Any], by: str = "$.data", **more: Any) -> dict[str, Any]:
    return {"__def_loop__": {"by": by, "requests": list(requests), **more}}


NAMES = st.sampled_from(["own_{{!}}", "same", "id_{{@.id}}", "text"])
VALUES = st.sampled_from(["{{@.id}}", "{{#.given}}", "{{!}}", "{{$}}", "{{^.status}}"])
ADDRESSES = st.sampled_from(["a", "b{{!}}", "list", "gone", "bad{{!}}", "a", "a"])
FILTERS = st.sampled_from([[], [{"by": "!", "condition": {"ne": "1"}}], [{"by": "@.id", "condition": {"lt": 3}}]])


def inner_steps(depth: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Steps that read nothing which another item saved."""
    optional: dict[str, Any] = {
        "save_to": NAMES,
        "save_req_to": NAMES,
        "body": VALUES,
        "assign": st.dictionaries(NAMES, VALUES, max_size=2),
        "ignore_error": st.booleans(),
        "when": FILTERS,
        "break": FILTERS,
        "retry": st.just({"attempts": 2, "unsafe": True, "delay": 0}),
        "catch": st.builds(lambda value: [post("a", body=value, save_to="caught_{{!}}")], VALUES),
    }
    if depth:
        optional["__def_loop__"] = loops(depth - 1)
    requests = st.fixed_dictionaries(
        {"method": st.just("POST"), "url": ADDRESSES.map("http://h/{}".format)}, optional=optional
    )
    branches = st.lists(st.lists(requests, max_size=2), min_size=1, max_size=3)
    parallel = st.builds(
        lambda inner, limit: {"parallel": {"branches": inner, "limit": limit}}, branches, st.integers(1, 3)
    )
    return st.lists(requests | requests | parallel if depth else requests, min_size=1, max_size=3)


def loops(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"by": st.just("$.data"), "requests": inner_steps(depth)},
        optional={
            "filter": FILTERS,
            "parallel": st.integers(1, 4),
            "max_items": st.integers(1, 3),
            "collect": st.sampled_from(["all", "same"]),
        },
    )


STEPS = st.builds(
    lambda inner, more: [post("list", __def_loop__=inner, **more), post("a", save_to="end")],
    loops(1),
    st.fixed_dictionaries({}, optional={"ignore_error": st.just(True), "save_to": NAMES}),
)
PROGRAMS = st.builds(
    lambda requests, more: {"persistence": {"given": [1]}, "requests": requests, **more},
    STEPS,
    st.fixed_dictionaries({}, optional={
            "on_failure": st.just([post("a", body="{{$.path}}")]),
            "finally": st.just([post("bad"), post("a")]),
        }),
)  # fmt: skip


def one_after_the_other(value: Any) -> Any:
    """The program with sequential loops, and branches that begin one after the other."""
    if isinstance(value, list):
        return [one_after_the_other(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {
        key: one_after_the_other(item) for key, item in value.items() if not (key == "parallel" and "by" in value)
    }
    return changed | ({"limit": 1} if "branches" in value else {})


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(PROGRAMS, st.data())
def test_the_result_is_that_of_the_sequential_one(arguments: dict[str, Any], data: st.DataObject) -> None:
    expected = outcome(start(parse(one_after_the_other(arguments))))
    performer = AnyOrder(lambda count: data.draw(st.integers(0, count - 1)))
    assert outcome(start(parse(arguments), performer)) == expected


def _happens(random: Any, chance: int) -> bool:
    """Once in so many times."""
    return bool(random.randrange(chance) == 0)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(PROGRAMS, st.randoms(use_true_random=False), st.integers(1, 4))
def test_a_run_that_was_killed_ends_as_it_would_have(arguments: dict[str, Any], random: Any, often: int) -> None:
    """At most the requests that were under way are sent again, and marked."""
    program = parse(arguments)
    expected = outcome(start(program, AnyOrder(random.randrange)))
    state: Any = None
    records: list[StepRecord] = []
    lost: set[tuple[str, int]] = set()  # requests that were under way when a worker was killed
    told: Any = None
    while told is None:
        chance = often + 2 if len(lost) < 100 else 10**9
        performer = AnyOrder(random.randrange, partial(_happens, random, chance))
        run = start(program, performer, state)
        state = json.loads(json.dumps(run.checkpoint()))

        def record(step: StepRecord, run: Interpreter = run) -> None:
            nonlocal state
            records.append(step)
            state = json.loads(json.dumps(run.checkpoint()))

        run._record = record
        try:
            told = outcome(run)
        except Killed:
            under_way = [strand.waiting.record for strand, _ in performer.waiting if strand.waiting]
            lost |= {(step.path, step.attempt) for step in under_way}
    assert told == expected
    done = [(step.path, step.attempt) for step in records if step.sent]
    assert all(step.resumed for step in records if (step.path, step.attempt) in lost)
    assert len(done) == len(set(done))
    assert [step.number for step in records] == list(range(1, len(records) + 1))


def test_so_many_go_on_at_once_and_no_more() -> None:
    performer = AnyOrder(lambda count: 0)
    persistence = {"items": list(range(50))}
    step = post("list", **loop(post("a"), by="#.items", parallel=7))
    start(parse({"persistence": persistence, "requests": [step]}), performer).run()
    assert performer.most == 7


def test_each_sees_persistence_as_it_was_and_what_it_saved_itself() -> None:
    inner = [post("a", body="{{#.seen}}", save_to="seen"), post("b", body="{{#.seen.at}}", save_to="b{{!}}")]
    run = start(parse({"persistence": {"seen": 0}, "requests": [post("list", **loop(*inner, parallel=4))]}))
    result = run.run()
    assert [result[f"b{number}"]["body"] for number in range(4)] == ["a"] * 4
    assert result["seen"]["body"] == 0


def test_the_value_of_branches_is_the_list_of_their_last_values() -> None:
    branches = [[post("a"), post("b", save_to="mine")], [], [post("c", body="{{$}}")]]
    step = {"parallel": {"branches": branches}, "save_to": "all"}
    records: list[StepRecord] = []
    program = parse({"requests": [post("x"), step, post("end", body="{{$}}", save_to="end")]})
    result = start(program, AnyOrder(lambda count: count - 1), record=records.append).run()
    assert [value["at"] for value in result["all"]] == ["b", "x", "c"]
    assert result["all"][2]["body"]["at"] == "x"
    assert result["end"]["body"] == result["all"]
    assert [(record.path, record.method) for record in records] == [
        ("requests[0]", "POST"),
        ("requests[1].parallel.branches[2][0]", "POST"),
        ("requests[1].parallel.branches[0][0]", "POST"),
        ("requests[1].parallel.branches[0][1]", "POST"),
        ("requests[1]", "PARALLEL"),
        ("requests[2]", "POST"),
    ]


def test_none_begins_after_a_failure_and_what_comes_after_it_leaves_nothing() -> None:
    step = post(
        "list",
        **loop(post("{{#.where.(!)}}", save_to="s{{!}}"), post("then{{!}}"), parallel=2),
    )
    where = {"0": "a", "1": "bad", "2": "c", "3": "d"}
    sent: list[str] = []

    def sending(outgoing: StepRequest) -> StepResponse:
        sent.append(outgoing.address.removeprefix("http://h/"))
        return send(outgoing)

    program = parse({"persistence": {"where": where}, "requests": [step]})
    run = start(program, AnyOrder(lambda count: count - 1), send=sending)
    with pytest.raises(SequenceStopped) as caught:
        run.run()
    assert caught.value.path == "requests[0].__def_loop__[1].requests[0]"
    assert sent == ["list", "bad", "a", "then0"]
    assert list(caught.value.persistence) == ["where", "s0"]


def test_room_that_was_given_up_is_free_again() -> None:
    """What a strand saved that nobody takes over counts no more."""
    inner = [post("a", assign={"big": "{{#.text}}"}), post("{{#.where.(!)}}")]
    step = post("list", ignore_error=True, **loop(*inner, parallel=4))
    where = {"0": "bad", "1": "a", "2": "a", "3": "a"}
    persistence = {"text": "x" * 1000, "where": where}
    limits = SequenceLimits(persistence=8_000)
    program = parse({"persistence": persistence, "requests": [step] * 4})
    run = start(program, AnyOrder(lambda count: count - 1), limits=limits)
    run.run()
    assert run._environment.room.used < 3_000
