"""A dry run is the interpreter with answers that are given: it tells what would be sent, and what was not found."""

import time
from typing import Any

import pytest

from sequences.domain import dry_run
from sequences.domain.dry_run import DryRun, read_answers
from sequences.domain.errors import SequenceStopped
from sequences.domain.exchange import SequenceLimits, StepResponse
from sequences.domain.interpreter import Interpreter
from sequences.domain.program import parse
from sequences.domain.scope import RunContext
from sequences.domain.strand_records import StoredProgram
from sequences.domain.validation_errors import InvalidSequence

LIMITS = SequenceLimits()


def get(url: str, **more: Any) -> dict[str, Any]:
    return {"method": "GET", "url": f"http://h/{url}", **more}


def tried(
    *requests: Any,
    answers: Any = None,
    limits: SequenceLimits = LIMITS,
    **top: Any,
) -> tuple[list[str], list[tuple[str, str]], str]:
    """The addresses that it would call, what was found nowhere, and where it stops."""
    nothing: list[tuple[str, str]] = []
    program = parse({"requests": list(requests), **top}, lambda place, text: nothing.append((place, text)))
    stored = StoredProgram(parse({"requests": [get("inner")]}), 1, None)
    run = DryRun(
        program,
        read_answers(answers),
        clock=time.monotonic,
        limits=limits,
        context=RunContext(),
        load=lambda name, version, inputs: stored,
    )
    stopped = ""
    try:
        run.run()
    except SequenceStopped as stop:
        stopped = str(stop)
    return [record.sent.address.removeprefix("http://h/") for record in run.records if record.sent], nothing, stopped


LOOP = {"__def_loop__": {"by": "$.list", "requests": [get("{{@}}", save_to="got_{{!}}")]}}
PAGES = {"next": {"param": "page"}, "items": "$.items"}
UNTIL = {"filter": [{"by": "$.done", "condition": {"eq": True}}], "attempts": 3}


@pytest.mark.parametrize(
    ("requests", "answers", "sent", "stopped"),
    [
        ([get("a"), {"method": "JAC", "api": "walker_list"}], None, ["a", "walker_list"], ""),
        ([get("a", save_to="a"), get("{{#.a.id}}")], {"requests[0]": {"body": {"id": 7}}}, ["a", "7"], ""),
        ([get("a", **LOOP)], {"requests[0]": {"body": {"list": [1, 2]}}}, ["a", "1", "2"], ""),
        ([get("a", **LOOP)], None, ["a"], "requests[0]: 'by' gives null, and a loop needs an array."),
        (
            [get("a", **LOOP), get("{{#.got_0}}{{#.got_1}}")],
            {
                "requests[0]": {"body": {"list": [1, 2]}},
                "requests[0].__def_loop__.requests[0]": {"body": "x"},
                "requests[0].__def_loop__[1].requests[0]": {"body": "y"},
            },
            ["a", "1", "2", "xy"],
            "",
        ),
        ([get("a"), get("b")], {"requests[0]": {"status": 404}}, ["a"], "requests[0]: The answer was 404."),
        (
            [get("a", catch=[get("caught/{{$.status}}")])],
            {"requests[0]": {"status": 503}},
            ["a", "caught/503"],
            "",
        ),
        (
            [get("a", retry={"attempts": 3})],
            {"requests[0]": [{"status": 503, "headers": {"Retry-After": 5}}, {"status": 503}]},
            ["a", "a", "a"],
            "",
        ),
        (
            [get("a", until=UNTIL)],
            {"requests[0]": [{"body": {"done": False}}, {"body": {"done": True}}]},
            ["a", "a"],
            "",
        ),
        (
            [get("a", paginate=PAGES, save_to="all"), get("b?n={{#.all | length}}")],
            {"requests[0]": [{"body": {"items": [1, 2]}}, {"body": {"items": [3]}}]},
            ["a?page=1", "a?page=2", "a?page=3", "b?n=3"],
            "",
        ),
        (
            [{"parallel": {"branches": [[get("a")], [get("b"), get("c")]]}}],
            {"requests[0].parallel.branches[1][0]": {"status": 500}},
            ["a", "b"],
            "requests[0].parallel.branches[1][0]: The answer was 500.",
        ),
        ([{"call": {"sequence": "x"}}, {"sleep": 3000}, get("late")], None, ["inner", "late"], ""),
        ([get("a"), get("redirected/{{^.headers.x}}/{{^.url | length}}")],
         {"requests[0]": {"headers": {"X": "1"}}}, ["a", "redirected/1/10"], ""),
    ],
)  # fmt: skip
def test_it_goes_where_its_answers_lead(requests: Any, answers: Any, sent: list[str], stopped: str) -> None:
    assert tried(*requests, answers=answers)[::2] == (sent, stopped)


@pytest.mark.parametrize(
    ("requests", "nothing"),
    [
        ([get("a?b={{#.none}}")], [("requests[0].url", "#.none")]),
        ([get("a", headers={"X-A": "{{$.x}}"})], [("requests[0].headers.X-A", "$.x")]),
        ([{**get("a"), "method": "POST", "body": {"a": ["{{$.x}}"]}}], [("requests[0].body.a[0]", "$.x")]),
        ([get("a", save_to="s{{#.none}}")], [("requests[0].save_to", "#.none")]),
        ([get("a", when=[{"by": "#.none", "condition": {"eq": 1}}])], [("requests[0].when[0].by", "#.none")]),
        ([get("a", assign={"b": "{{$..id}}"})], [("requests[0].assign.b", "$..id")]),
        ([get("a", assign={"b": "{{#.list}}", "c": "{{#.none | default(1)}}"})], []),
        ([get("a", ignore_error=True, __def_loop__={"by": "$.data", "requests": []})],
         [("requests[0].__def_loop__.by", "$.data")]),
    ],
)  # fmt: skip
def test_an_expression_that_finds_nothing_is_told_with_its_place(requests: Any, nothing: Any) -> None:
    assert tried(*requests, persistence={"list": []})[1] == nothing


def test_budgets_count() -> None:
    assert "more than 2 steps" in tried(get("a"), get("b"), get("c"), limits=SequenceLimits(steps=2))[2]
    assert "takes longer than 10 s" in tried({"sleep": 6}, {"sleep": 6}, limits=SequenceLimits(seconds=10))[2]
    endless = get("a", until={**UNTIL, "attempts": 10_000}, body="x" * 1000)
    sent, _, stopped = tried(endless, answers={"requests[0]": {"body": {"done": False}}})
    assert "characters together" in stopped
    assert len(sent) <= dry_run.SIZE_MAX // 1000


def test_its_own_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "SECONDS_MAX", -1.0)
    assert tried(get("a"))[::2] == ([], "requests[0]: A dry run takes at most -1 seconds.")


def test_it_sends_what_a_run_with_these_answers_sends() -> None:
    requests = [
        get("a", save_to="a", auth={"bearer": "t"}, query={"q": [1, 2]}),
        {"method": "POST", "url": "http://h/b", "form": {"x": "{{$.list}}"}, "save_req_to": "b"},
        get("c", __def_loop__={"by": "#.a.list", "parallel": 2, "requests": [get("{{@}}")]}),
    ]
    program = parse({"requests": requests})
    records: list[Any] = []
    Interpreter(
        program,
        send=lambda request: StepResponse(200, {"list": ["x", "y"]}),
        jac=lambda *call: StepResponse(200),
        clock=lambda: 0.0,
        record=records.append,
    ).run()
    answers = read_answers({record.path: {"body": record.value} for record in records})
    dry = DryRun(
        program,
        answers,
        clock=lambda: 0.0,
        limits=SequenceLimits(),
        context=RunContext(),
        load=lambda *call: pytest.fail("Nothing is called"),
    )
    dry.run()
    assert [(record.path, record.sent) for record in dry.records] == [(record.path, record.sent) for record in records]
    assert dry.answers.unused == []
    assert len(records) == 5


@pytest.mark.parametrize(
    ("answers", "path"),
    [
        ([], "answers"),
        ({"requests[0]": 1}, 'answers["requests[0]"]'),
        ({"a": {"status": 99}}, "answers.a.status"),
        ({"a": [{}, {"status": True}]}, "answers.a[1].status"),
        ({"a": {"headers": {"x": []}}}, "answers.a.headers.x"),
        ({"a": {"json": 1}}, "answers.a.json"),
    ],
)
def test_answers_that_are_none_are_refused_with_their_place(answers: Any, path: str) -> None:
    with pytest.raises(InvalidSequence) as caught:
        read_answers(answers)
    assert [fault["path"] for fault in caught.value.errors] == [path]
