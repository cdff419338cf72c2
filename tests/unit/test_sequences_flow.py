"""The order of steps beyond the documents' keys: when, assign, catch, on_failure, finally, sleep, loops, calls."""

import json
from typing import Any

import pytest

from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import SequenceLimits, StepRecord, StepRequest, StepResponse
from sequences.domain.interpreter import Interpreter, InTurn
from sequences.domain.program import parse
from sequences.domain.stops import continued
from sequences.domain.strand_records import StoredProgram
from sequences.domain.templates import TemplateReader
from sequences.domain.validation_errors import StepFailure, ValidationFaults
from tests.unit.test_sequences_requests import Scripted, get, post, where


def loop(*requests: dict[str, Any], by: str = "#.list", **more: Any) -> dict[str, Any]:
    return {"__def_loop__": {"by": by, "requests": list(requests), **more}}


# Left out


def test_a_step_whose_filter_does_not_hold_is_left_out_and_on_record() -> None:
    world = Scripted()
    skipped = post("b", when=where("$.at", eq="x"), save_to="b", name="only for x", **loop(get("in")))
    result = world.run(post("a"), skipped, post("c", body="{{$.at}}", save_to="c"), persistence={"list": [1]})
    assert (result["c"]["body"], world.addresses) == ("a", ["a", "c"])
    assert [(record.path, record.skipped, record.title) for record in world.records] == [
        ("requests[0]", False, ""),
        ("requests[1]", True, "only for x"),
        ("requests[2]", False, ""),
    ]
    assert "b" not in result


def test_a_filter_that_cannot_be_evaluated_is_the_steps_error() -> None:
    world = Scripted()
    step = get("a", when=where("#.bad", regex="{{#.bad}}"), save_to="it")
    assert world.stopped(step, persistence={"bad": "("}).path == "requests[0].when"
    result = world.run({**step, "ignore_error": True}, get("b"), persistence={"bad": "("})
    assert "no pattern" in result["it"]["worker_error"]
    assert world.addresses == ["b"]


# Assigned


def test_values_are_assigned_after_the_answer_and_before_the_loop() -> None:
    world = Scripted(a={"n": [1, 2]})
    assign = {"n": "{{$.n}}", "was {{#.n}}": "{{#.n}}", "text": "{{$.n | length}} of them"}
    step = get("a", assign=assign, save_to="a", **loop(get("{{#.n.0}}-{{@}}"), by="#.n"))
    result = world.run(step, persistence={"n": "before"})
    assert list(result) == ["n", "a", "was_before", "text"]
    assert (result["n"], result["was_before"], result["text"]) == ([1, 2], "before", "2 of them")
    assert world.addresses == ["a", "1-1", "1-2"]


def test_nothing_is_assigned_where_the_step_failed() -> None:
    world = Scripted(a=500)
    assert world.run(get("a", assign={"x": 1}, ignore_error=True)) == {}
    assert world.stopped(get("b", assign={"{{#.none}}": 1})).message == "The name to save under is empty."


# Caught


def test_what_is_caught_has_not_failed() -> None:
    world = Scripted(a=503, gone=StepFailure("never"))
    inner = [post("seen", body="{{$}}", save_to="seen"), post("mended", body=2)]
    step = get("a", catch=inner, save_to="a", **{"break": where("$.body", eq=9)})
    result = world.run(step, post("then", body="{{$.body}}", save_to="then"))
    assert result["seen"]["body"] == {
        "path": "requests[0]",
        "status": 503,
        "message": "The answer was 503: Nope",
        "body": {"why": "a"},
    }
    assert (result["a"]["at"], result["then"]["body"]) == ("mended", 2)
    assert [record.path for record in world.records] == [
        "requests[0]", "requests[0].catch[0]", "requests[0].catch[1]", "requests[1]",
    ]  # fmt: skip


def test_a_failure_in_a_loop_is_caught_by_the_looping_step() -> None:
    world = Scripted(bad=404)
    step = get("a", catch=[post("c", body="{{$.path}}", save_to="c")], **loop(get("{{@}}")))
    result = world.run(step, persistence={"list": ["x", "bad", "y"]})
    assert result["c"]["body"] == "requests[0].__def_loop__[1].requests[0]"
    assert world.addresses == ["a", "x", "bad", "c"]


def test_what_fails_while_catching_is_the_steps_failure() -> None:
    world = Scripted(a=503, b=404)
    step = get("a", catch=[get("b")], save_to="a")
    assert world.stopped(step).path == "requests[0].catch[0]"
    assert world.run({**step, "ignore_error": True})["a"]["status"] == 404
    nested = get("a", catch=[get("b", catch=[post("c", body="{{$.status}}")])], save_to="a")
    assert world.run(nested)["a"]["body"] == 404


def test_a_break_that_fails_is_caught_once() -> None:
    world = Scripted()
    step = get("a", catch=[get("b")], **{"break": where("#.bad", regex="{{#.bad}}")})
    world.run(step, get("c"), persistence={"bad": "("})
    assert world.addresses == ["a", "b", "c"]


def test_a_spent_budget_is_not_caught() -> None:
    world = Scripted()
    stopped = world.stopped(get("a", catch=[get("b")], **loop(get("c"))), persistence={"list": [1] * 9},
                            limits=SequenceLimits(steps=3))  # fmt: skip
    assert "more than 3 steps" in stopped.message
    assert world.addresses == ["a", "c", "c"]


# The end


def test_steps_after_a_failure_and_steps_always() -> None:
    world = Scripted(bad=500)
    after = [post("told", body=["{{$.path}}", "{{$.status}}"], save_to="told")]
    always: Any = [post("always", save_to="always")]
    stopped = world.stopped(get("a", save_to="a"), get("bad"), get("never"), **{"on_failure": after, "finally": always})
    assert (stopped.path, stopped.message) == ("requests[1]", "The answer was 500: Nope")
    assert list(stopped.persistence) == ["a", "told", "always"]
    assert stopped.persistence["told"]["body"] == ["requests[1]", 500]
    assert [record.path for record in world.records[2:]] == ["on_failure[0]", "finally[0]"]
    world.sent.clear()
    result = world.run(get("a"), on_failure=after, **{"finally": [post("always", body="{{$.at}}", save_to="end")]})
    assert (world.addresses, result["end"]["body"]) == (["a", "always"], "a")


def test_what_fails_at_the_end_changes_nothing() -> None:
    world = Scripted(bad=500, worse=404)
    end: dict[str, Any] = {"on_failure": [get("worse"), get("never")], "finally": [get("worse"), get("never")]}
    assert world.stopped(get("bad"), **end).path == "requests[0]"
    assert world.addresses == ["bad", "worse", "worse"]
    assert world.run(get("a"), **{"finally": [get("worse")]}) == {}
    assert world.records[-1].error == "The answer was 404: Nope"


def test_a_spent_budget_leaves_a_little_for_the_end() -> None:
    world = Scripted()
    stopped = world.stopped(get("a"), get("b"), limits=SequenceLimits(steps=1), on_failure=[get("c")],
                            **{"finally": [get("d", **loop(get("e")))]}, persistence={"list": [1] * 500})  # fmt: skip
    assert "more than 1 steps" in stopped.message
    assert world.addresses[:4] == ["a", "c", "d", "e"]
    assert len(world.sent) == 101


# Pauses


def test_a_sleep_is_a_pause_and_on_record() -> None:
    world = Scripted()
    result = world.run(
        get("a"), {"sleep": 2.5, "name": "a rest"}, {"sleep": "{{#.seconds}}"}, post("b", body="{{$.at}}", save_to="b"),
        persistence={"seconds": 7},
    )  # fmt: skip
    assert (world.pauses.seconds, result["b"]["body"]) == ([2.5, 7], "a")
    assert [record.method for record in world.records] == ["GET", "SLEEP", "SLEEP", "POST"]
    assert "a number of seconds" in world.stopped({"sleep": "{{#.none}}"}).message
    assert "longer than" in world.stopped({"sleep": 50}, limits=SequenceLimits(seconds=10)).message
    assert "longer than" in world.stopped({"sleep": "{{#.long}}"}, persistence={"long": 10**400}).message


# Loops


@pytest.mark.parametrize("parallel", [None, 1, 3])
def test_a_loop_has_a_limit_and_collects_last_values(parallel: int | None) -> None:
    world = Scripted()
    more: dict[str, Any] = {} if parallel is None else {"parallel": parallel}
    inner = [get("x"), get("in{{@}}", **{"break": where("@", eq=3)}), get("rest{{@}}")]
    step = get("a", **loop(*inner, max_items=2, collect="all", filter=where("@", ne=2), **more))
    result = world.run(step, persistence={"list": [1, 2, 3, 4]})
    assert [value["at"] for value in result["all"]] == ["rest1", "in3"]
    empty = world.run(get("a", **loop(get("in"), collect="all", **more)), persistence={"list": []})
    assert empty["all"] == []
    nothing = world.run(get("a", **loop(collect="all", **more)), persistence={"list": [5, 6]})
    assert nothing["all"] == [5, 6]


def test_what_is_collected_fits_into_the_room() -> None:
    world = Scripted(**{"in": "x" * 100})
    step = get("a", **loop(get("in"), collect="all", parallel=2), ignore_error=True)
    stopped = world.stopped(step, persistence={"list": [1] * 9}, limits=SequenceLimits(persistence=500))
    assert "larger than 500" in stopped.message


def test_a_filter_that_fails_in_a_parallel_loop_has_its_place() -> None:
    world = Scripted()
    step = get("a", **loop(get("in{{!}}"), filter=where("@", regex="{{@}}"), parallel=3))
    stopped = world.stopped(step, persistence={"list": ["a", "b", "(", "d"]})
    assert stopped.path == "requests[0].__def_loop__[2].filter"
    assert world.addresses == ["a", "in0", "in1"]
    assert [record.path for record in world.records][1] == "requests[0].__def_loop__[2].filter"


# Sensitive


def test_what_sensitive_steps_saved_is_known() -> None:
    secret = get("a", save_to="a", save_req_to="ar", assign={"b": 1}, sensitive=True, **loop(get("in"), collect="c"))
    run = Interpreter(
        parse({"persistence": {"list": [1]}, "requests": [secret, get("x", save_to="x"), {"parallel": {
            "branches": [[get("y", save_to="y", sensitive=True)]]}}]}),
        send=Scripted().send, jac=Scripted().jac, clock=lambda: 0.0,
    )  # fmt: skip
    run.run()
    assert run.sensitive == {"a", "ar", "b", "c", "y"}


# Calls


class Library:
    """Stored sequences, by name and version."""

    def __init__(self, **sequences: Any) -> None:
        self.sequences = sequences

    def load(self, name: str, version: int | None, inputs: dict[str, Any] | None) -> StoredProgram:
        if name not in self.sequences:
            raise StepFailure(f"There is no stored sequence {name!r}.")
        arguments, outputs = self.sequences[name]
        arguments = {**arguments, "persistence": {**arguments.get("persistence", {}), "inputs": inputs}}
        reader = TemplateReader(ValidationFaults())
        templates = outputs and {key: reader.json(value, None) for key, value in outputs.items()}
        return StoredProgram(parse(arguments), version or 3, templates)


def called(library: Library, *requests: dict[str, Any], state: Any = None, **more: Any) -> Interpreter:
    world = Scripted(bad=500)
    options: dict[str, Any] = {
        "send": world.send, "jac": world.jac, "clock": lambda: 0.0, "load": library.load, "performer": InTurn(), **more
    }  # fmt: skip
    program = parse({"requests": list(requests)})
    return Interpreter.resume(program, state, **options) if state else Interpreter(program, **options)


INNER = (
    {"persistence": {"own": 1}, "requests": [post("in", body="{{#.inputs.n}}", save_to="kept")]},
    {"n": "{{#.kept.body}}"},
)


def test_a_stored_sequence_is_called_with_inputs_and_gives_its_outputs() -> None:
    library = Library(inner=INNER, plain=(INNER[0], None))
    records: list[StepRecord] = []
    result = called(
        library,
        get("a"),
        {"call": {"sequence": "{{'in'}}ner", "inputs": {"n": "{{$.at}}"}}, "save_to": "one"},
        {"call": {"sequence": "plain", "inputs": {"n": 2}, "version": 1}, "save_to": "two"},
        record=records.append,
    ).run()
    assert result["one"] == {"n": "a"}
    assert result["two"]["kept"]["body"] == 2
    assert list(result) == ["one", "two"]
    assert [(record.path, record.method) for record in records] == [
        ("requests[0]", "GET"), ("requests[1].call.requests[0]", "POST"), ("requests[1]", "CALL"),
        ("requests[2].call.requests[0]", "POST"), ("requests[2]", "CALL"),
    ]  # fmt: skip


def test_a_failure_of_a_stored_sequence_is_the_steps() -> None:
    broken = ({"requests": [get("bad")], "on_failure": [get("x")], "finally": [get("y")]}, None)
    step = {"call": {"sequence": "broken"}, "save_to": "it", "catch": [post("c", body="{{$.path}}")]}
    records: list[StepRecord] = []
    result = called(Library(broken=broken), step, record=records.append).run()
    assert result["it"]["body"] == "requests[0].call.requests[0]"
    assert [record.path for record in records][1:3] == ["requests[0].call.on_failure[0]", "requests[0].call.finally[0]"]
    with pytest.raises(SequenceStopped, match=r"There is no stored sequence 'none'"):
        called(Library(), {"call": {"sequence": "none"}}).run()


def test_sequences_that_call_each_other_without_an_end_are_stopped() -> None:
    again = ({"requests": [{"call": {"sequence": "again"}}]}, None)
    with pytest.raises(SequenceStopped, match="more than 10 deep"):
        called(Library(again=again), {"call": {"sequence": "again"}}).run()


def test_a_run_may_be_taken_over_after_each_step_whatever_it_does() -> None:
    """Pauses, pages, catches, calls and the end included."""
    pages = get("list", paginate={"next": {"param": "p"}, "items": "$.body", "max_pages": 2}, save_to="pages")
    polled = post("x", until={"filter": where("#.none", eq=1), "attempts": 3, "delay": 1}, ignore_error=True)
    looped = {"by": "#.pages", "requests": [get("x{{@}}", save_to="x{{@}}")], "collect": "c"}
    requests: list[dict[str, Any]] = [
        {**pages, "body": [1, 2]},
        {**polled, "save_to": "p", "sensitive": True},
        get("bad", catch=[get("one"), post("two", body="{{$}}")], save_to="c2", retry={"attempts": 2, "delay": 1}),
        {"sleep": 1},
        {"parallel": {"branches": [[{"call": {"sequence": "inner", "inputs": {"n": 1}}}], [get("q"), get("r")]]},
         "save_to": "calls"},
        {**pages, "body": [3], "save_to": "seen", "__def_loop__": looped},
        get("bad"),
    ]  # fmt: skip
    program = {"requests": requests, "on_failure": [post("f", body="{{^.status}}", save_to="f")], "finally": [get("z")]}
    library = Library(inner=INNER)

    def start(state: Any = None, **more: Any) -> Interpreter:
        options: dict[str, Any] = {"send": sending, "jac": Scripted().jac, "clock": lambda: 0.0, "load": library.load}
        parsed = parse(program)
        return Interpreter.resume(parsed, state, **options, **more) if state else Interpreter(parsed, **options, **more)

    def sending(outgoing: StepRequest) -> StepResponse:
        return Scripted(bad=500).send(outgoing)

    def end(run: Interpreter) -> Any:
        with pytest.raises(SequenceStopped) as caught:
            run.run()
        return str(caught.value), json.dumps(caught.value.persistence), sorted(run.sensitive)

    states: list[Any] = []
    paths: list[str] = []
    run = start()

    def record(step: StepRecord) -> None:
        paths.append(step.path)
        states.append(json.loads(json.dumps(run.checkpoint())))

    run._record = record
    expected = end(run)
    assert len(states) > 20
    for done, state in enumerate(states, 1):
        more: list[StepRecord] = []
        assert end(start(state, record=more.append)) == expected
        assert [step.path for step in more] == paths[done:]


@pytest.mark.parametrize("skips", [0, 1, 3])
def test_stored_sequences_that_wait_for_nothing_may_be_taken_over_while_others_go_on(skips: int) -> None:
    left_out = post("never", when=where("#.none", eq=1))
    library = Library(quick=({"requests": [left_out] * skips}, {"n": "{{#.inputs.n}}"}))
    step = {"call": {"sequence": "quick", "inputs": {"n": "{{@}}"}}}
    at_once = get("a", **loop(step, parallel=3, collect="c"))
    program = parse({"requests": [at_once], "persistence": {"list": [1, 2, 3, 4]}})
    options: dict[str, Any] = {"send": Scripted().send, "jac": jac, "clock": lambda: 0.0, "load": library.load}
    states: list[Any] = []
    run = Interpreter(program, **options, record=lambda step: states.append(json.dumps(run.checkpoint())))
    expected = run.run()
    assert expected["c"] == [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]
    assert len(states) == 1 + 4 * (skips + 1)
    for state in states:
        assert Interpreter.resume(program, json.loads(state), **options).run() == expected


# Where a run stopped, another goes on


def gone_on(world: Scripted, *requests: dict[str, Any], persistence: Any = None, **mended: Any) -> list[str]:
    """The addresses of a run that goes on from where one stopped, when servers answer with `mended`."""
    program = parse({"requests": list(requests), "persistence": persistence or {"list": [1, 2, 3]}})
    stopped = Interpreter(program, send=world.send, jac=jac, clock=lambda: 0.0)
    with pytest.raises(SequenceStopped):
        stopped.run()
    state = continued(json.loads(json.dumps(stopped.checkpoint())))
    again = Scripted(**mended)
    run = Interpreter.resume(program, state, send=again.send, jac=jac, clock=lambda: 0.0)
    assert (run.steps, run.elapsed) == (0, 0.0)
    run.run()
    return again.addresses


def jac(name: str, arguments: dict[str, Any], master: str | None) -> StepResponse:
    return StepResponse(200)


@pytest.mark.parametrize(
    ("requests", "sent"),
    [
        ([get("a"), get("bad"), get("c")], ["bad", "c"]),
        (
            [get("a", **loop(get("i{{@}}"), get("bad"), get("e{{!}}")))],
            ["bad", "e0", "i2", "bad", "e1", "i3", "bad", "e2"],
        ),
        ([get("a", **loop(get("{{@}}"), get("bad"), parallel=2))], ["1", "2", "bad", "bad", "3", "bad"]),
        ([{"parallel": {"branches": [[get("a")], [get("bad")]]}}], ["a", "bad"]),
        ([get("bad", retry={"attempts": 2, "on": [500], "delay": 0})], ["bad"]),
        ([get("bad", catch=[get("bad"), get("c")])], ["bad", "c"]),
        ([get("a", ignore_error=True, **loop(get("b"))), get("bad")], ["bad"]),
    ],
)
def test_a_run_goes_on_from_the_step_that_failed(requests: Any, sent: list[str]) -> None:
    assert gone_on(Scripted(bad=500), *requests) == sent


def test_a_run_goes_on_from_where_it_stopped_after_its_on_failure_too() -> None:
    """What came after the failure is of no effect on where the other run begins, but what it saved stays."""
    world = Scripted(bad=500)
    program = parse({
        "requests": [get("a", save_to="a"), post("bad", body="{{$.at}}"), post("c", body="{{#.told.at}}", save_to="c")],
        "on_failure": [get("x", save_to="told")],
        "finally": [get("y"), get("z")],
    })  # fmt: skip
    run = Interpreter(program, send=world.send, jac=jac, clock=lambda: 0.0)
    states: list[str] = []
    run._record = lambda record: states.append(json.dumps(run.checkpoint()))
    with pytest.raises(SequenceStopped):
        run.run()
    for state in [*states[2:], json.dumps(run.checkpoint())]:  # taken over by another worker meanwhile, or not
        taken_over = Interpreter.resume(program, json.loads(state), send=world.send, jac=jac, clock=lambda: 0.0)
        with pytest.raises(SequenceStopped):
            taken_over.run()
        again = Scripted()
        kept = continued(json.loads(json.dumps(taken_over.checkpoint())))
        result = Interpreter.resume(program, kept, send=again.send, jac=jac, clock=lambda: 0.0).run()
        assert again.addresses == ["bad", "c", "y", "z"]
        assert (again.sent[0].body, result["c"]["body"]) == ("a", "x")
