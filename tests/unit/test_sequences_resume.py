"""A run may be taken over after every step; and no sequence, answer or state makes it raise anything of its own."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import SendFailed, SequenceLimits, StepRecord, StepRequest, StepResponse
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from sequences.domain.steps import SequenceProgram
from sequences.domain.stops import continued
from sequences.domain.validation_errors import InvalidSequence
from taskhub.errors import Rejected

LIMITS = SequenceLimits(steps=60, items=60, request=3_000, persistence=20_000)
ANSWERS: dict[str, Any] = {
    "list": {"data": [{"id": 1, "tag": "a"}, {"id": 2, "tag": "{{#.secret}}"}], "ids": [3, "four", None]},
    "bare": [1, [2, "x"], {"data": [True]}],
    "text": "{{#.secret}}",
    "null": None,
    "number": 2,
}


def send(outgoing: StepRequest) -> StepResponse:
    """The same request has the same answer, whoever asks."""
    name = outgoing.address.rpartition("/")[2]
    if name == "gone":
        raise SendFailed("The connection was refused.")
    if name == "bad":
        return StepResponse(500, {"detail": "no"}, "Nope")
    value = ANSWERS.get(name, {"echo": outgoing.body, "at": outgoing.address, "data": [name]})
    return StepResponse(200, json.loads(json.dumps(value)))


def jac(name: str, arguments: dict[str, Any], master: str | None) -> StepResponse:
    return StepResponse(200 if master else 401, {"data": [name, arguments]})


def interpreter(program: SequenceProgram, records: list[StepRecord], limits: SequenceLimits = LIMITS) -> Interpreter:
    return Interpreter(program, send=send, jac=jac, clock=lambda: 0.0, record=records.append, limits=limits)


def resumed(program: SequenceProgram, state: Any, records: list[StepRecord], **more: Any) -> Interpreter:
    options: dict[str, Any] = {"send": send, "jac": jac, "clock": lambda: 0.0, "record": records.append, **more}
    return Interpreter.resume(program, state, **options)


def outcome(run: Interpreter) -> Any:
    """What came of it, as others see it."""
    try:
        return json.loads(json.dumps(run.run()))
    except SequenceStopped as stopped:
        return stopped.path, stopped.message, json.loads(json.dumps(stopped.persistence))


def told(record: StepRecord) -> Any:
    sent = record.sent and [record.sent.method, record.sent.address, record.sent.headers, record.sent.body]
    return [record.number, record.path, record.status, record.error, json.dumps([sent, record.value])]


EXPRESSIONS = st.sampled_from(
    [
        "$",
        "#",
        "@",
        "!",
        "$.data",
        "$.data.0",
        "$.data[*].id",
        "$..id",
        "#.a",
        "#.(!)",
        "@.id",
        "$.(@.tag)",
        "#.b.0.id",
        "$.*",
    ]
)
STRINGS = (
    st.sampled_from(["a", "b", "x y", "secret"])
    | EXPRESSIONS.map("{{{{{}}}}}".format)
    | EXPRESSIONS.map("s{{{{{}}}}}".format)
)
ADDRESSES = st.sampled_from(["list"] * 6 + ["echo"] * 3 + [*ANSWERS, "gone", "bad"]).map("http://h/{}".format)
ADDRESSES |= EXPRESSIONS.map("http://h/x{{{{{}}}}}".format)
BYS = st.sampled_from(["$.data"] * 6 + ["$..id", "$.data[*].id", "{{$.ids}}", "#.a", "@.data", "$"])
NAMES = st.sampled_from(["a", "b", "c{{!}}", "d{{@.id}}", "a{{$.data.0}}"])
EXPECTED = st.sampled_from([1, "a", "{{#.a}}", "{{!}}", None])
CONDITIONS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("eq", "ne", "lte"), EXPECTED) | {"regex": st.sampled_from(["[a-z]", "{{#.a}}"])}
)
FILTERS = st.lists(
    st.builds(lambda by, condition: {"by": by, "condition": condition}, EXPRESSIONS, CONDITIONS), max_size=2
)
BODIES = STRINGS | st.lists(STRINGS, max_size=2) | st.dictionaries(STRINGS, STRINGS, max_size=2)


def steps(depth: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    optional: dict[str, Any] = {
        "body": BODIES,
        "save_to": NAMES,
        "save_req_to": NAMES,
        "break": FILTERS,
    }
    if depth:
        loop = st.fixed_dictionaries({"by": BYS, "requests": steps(depth - 1)}, optional={"filter": FILTERS})
        optional["__def_loop__"] = loop
    ignored = st.sampled_from([True, True, True, False])
    http = st.fixed_dictionaries(
        {"method": st.just("POST"), "url": ADDRESSES, "ignore_error": ignored}, optional=optional
    )
    call = st.fixed_dictionaries(
        {"method": st.just("JAC"), "api": st.just("x"), "ignore_error": ignored},
        optional=optional
        | {"body": st.fixed_dictionaries({"n": STRINGS}), "master": st.sampled_from(["u", "u", "{{#.a}}"])},
    )
    return st.lists(http | http | http | call, min_size=1, max_size=3)


PROGRAMS = st.fixed_dictionaries(
    {"requests": steps(2)},
    optional={
        "persistence": st.fixed_dictionaries(
            {"secret": st.just("s3cret"), "a": st.sampled_from(["(", [{"id": 5}], 1])}
        ),
        "container": st.fixed_dictionaries(
            {}, optional={"current": st.sampled_from([{"data": [1, 2]}, [], {}]), "parent_current": st.just({"id": 9})}
        ),
    },
)
LOOP = {"by": "#.a", "requests": [{"method": "POST", "url": "http://h/list", "save_to": "a"}]}


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS)
@example({"persistence": {"a": [1, 2]}, "requests": [{"method": "POST", "url": "http://h/list", "__def_loop__": LOOP}]})
def test_a_run_that_was_taken_over_ends_as_if_it_were_not(arguments: dict[str, Any]) -> None:
    program = parse(arguments)
    records: list[StepRecord] = []
    states: list[str] = []
    run = interpreter(program, records)

    def record(step: StepRecord) -> None:
        records.append(step)
        states.append(json.dumps(run.checkpoint()))

    run._record = record
    expected = outcome(run)
    states.insert(0, json.dumps(interpreter(program, []).checkpoint()))
    for done, state in enumerate(states):
        more: list[StepRecord] = []
        taken_over = resumed(program, json.loads(state), more, limits=LIMITS)
        assert taken_over.steps == done
        assert outcome(taken_over) == expected
        assert [told(record) for record in more] == [told(record) for record in records[done:]]
        assert json.dumps(parse(arguments).persistence) == json.dumps(program.persistence)


def without(value: Any, key: str) -> Any:
    """A JSON value without a key, at any depth."""
    if isinstance(value, list):
        return [without(inner, key) for inner in value]
    return (
        {name: without(inner, key) for name, inner in value.items() if name != key}
        if isinstance(value, dict)
        else value
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(PROGRAMS)
@example({"requests": [{"method": "POST", "url": "http://h/list", "__def_loop__": {**LOOP, "by": "$.none"}}]})
def test_a_run_that_goes_on_from_where_one_stopped_stops_there_again(arguments: dict[str, Any]) -> None:
    """Servers that still answer as they did: the step that failed sends the same, and nothing before it is sent.

    What it had saved before it failed stays saved, and might be sent, so nothing is saved here.
    """
    program = parse(without(without(arguments, "save_req_to"), "save_to"))
    records: list[StepRecord] = []
    run = interpreter(program, records)
    expected = outcome(run)
    if not isinstance(expected, tuple) or "more than" in expected[1]:  # budgets begin anew
        return
    more: list[StepRecord] = []
    state = continued(json.loads(json.dumps(run.checkpoint())))
    assert outcome(resumed(program, state, more, limits=LIMITS)) == expected
    failed = [record for record in records if record.sent][-1:]
    assert [told(record)[1:] for record in more if record.sent][-1:] in ([told(record)[1:] for record in failed], [])
    assert len(more) <= 2


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(PROGRAMS)
def test_what_servers_answer_is_never_expanded(arguments: dict[str, Any]) -> None:
    """The only way to a secret in persistence is an expression that reads it."""
    arguments = {**arguments, "persistence": {"secret": "s3cret", "a": 1}}
    reads_all = ("{{#}}", "{{$}}", "{{$.*", "#.(")
    text = json.dumps(arguments["requests"])
    records: list[StepRecord] = []
    outcome(interpreter(parse(arguments), records))
    sent = json.dumps([told(record) for record in records])
    assert "s3cret" not in sent or any(sign in text for sign in reads_all)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS | st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(PROGRAMS, st.lists(ANY, min_size=1, max_size=5), st.lists(st.integers(100, 599), min_size=1, max_size=4))
def test_no_answer_makes_a_run_raise_anything_but_its_own(
    arguments: Any, values: list[Any], statuses: list[int]
) -> None:
    answers = itertools.cycle(StepResponse(status, value) for status in statuses for value in values)
    records: list[StepRecord] = []
    run = interpreter(parse(arguments), records)
    run._send = lambda outgoing: next(answers)
    try:
        run.run()
    except SequenceStopped as stopped:
        assert stopped.path.startswith("requests[")
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    json.dumps(run.checkpoint())


PROGRAM = parse({"requests": [{"method": "GET", "url": "http://h/list", "__def_loop__": {"by": "$.data", "requests": [
    {"method": "GET", "url": "http://h/text"}]}}]})  # fmt: skip
SIGNS = st.sampled_from(
    [
        "version",
        "blocks",
        "at",
        "phase",
        "next",
        "save_to",
        "items",
        "looping",
        "current",
        "kept",
        "is",
        "value",
        "saved",
        "item",
    ]
)


def states_of_program() -> list[dict[str, Any]]:
    states: list[dict[str, Any]] = []
    run = interpreter(PROGRAM, [])
    run._record = lambda record: states.append(json.loads(json.dumps(run.checkpoint())))
    run.run()
    return states


@settings(deadline=None)
@given(
    st.sampled_from(states_of_program()),
    st.lists(st.dictionaries(SIGNS, ANY | SIGNS, max_size=4), max_size=3),
    st.integers(),
)
def test_a_state_of_another_sequence_is_rejected(state: dict[str, Any], blocks: Any, number: int) -> None:
    changed = [{**block, **other} for block, other in zip(state["blocks"], blocks, strict=False)]
    for other in ({"blocks": blocks}, {"blocks": changed + state["blocks"]}, {"version": number}):
        try:
            run = resumed(PROGRAM, {**state, **other}, [], limits=LIMITS)
        except Rejected:
            continue
        outcome(run)


def test_a_checkpoint_names_what_stands_elsewhere_instead_of_repeating_it() -> None:
    big = {"data": [{"id": number, "text": "x" * 1000} for number in range(100)]}
    arguments = {
        "requests": [
            {"method": "GET", "url": "http://h/big", "save_to": "big", "__def_loop__": {"by": "$.data", "requests": [
                {"method": "GET", "url": "http://h/a", "ignore_error": True}, {"method": "GET", "url": "http://h/b"}]}},
        ]
    }  # fmt: skip
    sizes: list[int] = []
    run = interpreter(parse(arguments), [], SequenceLimits())
    run._send = lambda outgoing: StepResponse(200, big) if outgoing.address.endswith("big") else StepResponse(200, 1)
    run._record = lambda record: sizes.append(len(json.dumps(run.checkpoint())))
    run._budget._should_stop = lambda: sizes.append(len(json.dumps(run.checkpoint())))
    run.run()
    assert max(sizes) < len(json.dumps(big)) + 900


def test_what_comes_is_announced_while_the_state_is_as_it_was() -> None:
    program = parse({"requests": [{"method": "GET", "url": "http://h/a", "save_req_to": "sent"}] * 3})
    told: list[tuple[str, int, bool]] = []
    run = interpreter(program, [])
    run._announce = lambda step: told.append((step.name, run.checkpoint()["steps"], "sent" in run.persistence))
    run.run()
    assert told == [("requests[0]", 0, False), ("requests[1]", 1, True), ("requests[2]", 2, True)]


def test_time_that_was_spent_stays_spent() -> None:
    program = parse({"requests": [{"method": "GET", "url": "http://h/a"}] * 4})
    ticks = itertools.count()
    run = Interpreter(program, send=send, jac=jac, clock=lambda: next(ticks), limits=SequenceLimits(seconds=8))
    state: dict[str, Any] = {}
    run._record = lambda record: state.update(run.checkpoint())
    with pytest.raises(SequenceStopped, match="longer than 8 seconds"):
        run.run()
    assert state["elapsed"] > 4
    assert run.remaining == 0
    again = resumed(program, state, [], limits=SequenceLimits(seconds=4))
    with pytest.raises(SequenceStopped, match="longer than 4 seconds"):
        again.run()


def test_faults_are_no_program() -> None:
    with pytest.raises(InvalidSequence):
        parse({"requests": [{"method": "GET", "url": "http://h/{{$.a"}]})
