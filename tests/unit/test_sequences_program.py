"""Arguments become a program, or a list of all their faults with paths."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sequences.domain.program import LOOPS_MAX, SIZE_MAX, STEPS_MAX, parse
from sequences.domain.scope import Scope
from sequences.domain.validation_errors import FAULTS_MAX, InvalidSequence, dotted
from taskhub.jsontools.jsonc import parse_jsonc

DATA = Path(__file__).resolve().parent.parent / "data"
GET = {"method": "GET", "url": "http://host/"}
JAC = {"method": "JAC", "api": "master_self"}


def faults_of(arguments: Any) -> list[str]:
    with pytest.raises(InvalidSequence) as caught:
        parse(arguments)
    assert all(fault["detail"] for fault in caught.value.errors)
    assert caught.value.status == 400
    return [fault["path"] for fault in caught.value.errors]


def faults_of_request(**changes: Any) -> list[str]:
    return faults_of({"requests": [{**GET, **changes}]})


def printed(version: int) -> Any:
    lines = (DATA / f"sequence_v{version}.jsonc").read_text().splitlines()
    return parse_jsonc("\n".join(line for line in lines if "..." not in line))


@pytest.mark.parametrize("version", [1, 2])
def test_both_documents_are_read(version: int) -> None:
    program = parse(printed(version))
    assert [path for path, _ in program.walk()] == [
        "requests[0]",
        "requests[1]",
        "requests[1].__def_loop__.requests[0]",
        "requests[1].__def_loop__.requests[1]",
        "requests[2]",
        *["requests[3]"] * (version - 1),
    ]
    assert program.container == {"index": "0"}
    assert program.persistence == {"additional_field": "can_be_call_via_#.additional_field"}
    steps = [step for _, step in program.walk()]
    assert [step.constant_method for step in steps] == [*["POST"] * 4, "GET", *["JAC"] * (version - 1)]
    assert [step.ignore_error for step in steps[:4]] == [False, True, True, False]


def test_the_inner_loop_of_the_documents_may_be_filled_in() -> None:
    arguments = printed(2)
    inner = arguments["requests"][1]["__def_loop__"]["requests"][0]
    inner["__def_loop"] = {"by": "{{$.context}}", "requests": [GET]}
    paths = [path for path, _ in parse(arguments).walk()]
    assert "requests[1].__def_loop__.requests[0].__def_loop.requests[0]" in paths


@pytest.mark.parametrize("method", ["get", "Post", "PUT", "patch", "DELETE", "HEAD", "options", "jac"])
def test_methods_in_any_case(method: str) -> None:
    (step,) = parse({"requests": [{"method": method, "url": "http://host/"}]}).steps
    assert step.constant_method == method.upper()


def test_both_spellings_mean_the_same() -> None:
    for key, headers in (("url", "header"), ("api", "headers")):
        (step,) = parse({"requests": [{"method": "GET", key: "http://host/", headers: {"A": 1, "B": None}}]}).steps
        scope = Scope(None, {})
        assert (step.address.render(scope), step.headers.render(scope)) == ("http://host/", {"A": "1"})
    parse({"requests": [{**GET, "api": GET["url"]}]})


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        (None, [""]),
        ([], [""]),
        ({}, ["requests"]),
        ({"requests": {}}, ["requests"]),
        ({"requests": [], "more": 1}, ["more"]),
        ({"requests": [], "persistence": []}, ["persistence"]),
        ({"requests": [], "container": 1}, ["container"]),
        ({"requests": [], "container": {"index": [1], "previous": 1}}, ["container.previous", "container.index"]),
        ({"requests": [], "container": {"index": True}}, ["container.index"]),
        ({"requests": [GET, 1, {}]}, ["requests[1]", "requests[2].method", "requests[2].url"]),
        ({"requests": [{**JAC, "body": [1]}]}, ["requests[0].body"]),
        ({"requests": [{**JAC, "body": "x"}]}, ["requests[0].body"]),
        ({"requests": [{**JAC, "master": 1}]}, ["requests[0].master"]),
        ({"requests": [{**JAC, "header": []}]}, ["requests[0].header"]),
        ({"requests": [], "persistence": {"a": "\x00"}}, [""]),
        ({"requests": [], "persistence": {"a": "\ud800"}}, [""]),
        ({"requests": [], "persistence": {"a": float("nan")}}, [""]),
        ({"requests": [], "persistence": {"a": "x" * SIZE_MAX}}, [""]),
        ({"requests": [], "persistence": {"a": {1, 2}}}, [""]),
    ],
)
def test_faults_of_the_whole(arguments: Any, paths: list[str]) -> None:
    assert faults_of(arguments) == paths


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({"method": None}, ["method"]),
        ({"method": "TRACE"}, ["method"]),
        ({"method": "{{method}}"}, ["method"]),
        ({"method": "TRACE {{"}, ["method"]),
        ({"method": 1}, ["method"]),
        ({"url": None}, ["url"]),
        ({"url": " "}, ["url"]),
        ({"url": 5}, ["url"]),
        ({"url": "ftp://host/"}, ["url"]),
        ({"url": "/js/walker_list"}, ["url"]),
        ({"url": "http://host/{{"}, ["url"]),
        ({"url": "http://host/{{data}}"}, ["url"]),
        ({"api": "http://other/"}, ["api"]),
        ({"header": {}, "headers": {"a": "b"}}, ["headers"]),
        ({"header": []}, ["header"]),
        ({"header": "Accept: x"}, ["header"]),
        ({"header": {"a b": "x", "c": "x\ny", "d": [1], "e": "ж"}}, ['header["a b"]', *(f"header.{x}" for x in "cde")]),
        ({"header": {"a": "{{"}}, ["header.a"]),
        ({"body": {"a": [{"b": "{{"}]}}, ["body.a[0].b"]),
        ({"body": {"{{x}}": 1}}, ['body["{{x}}"]']),
        ({"master": "{{#.master}}"}, ["master"]),
        ({"save_to": ""}, ["save_to"]),
        ({"save_req_to": 1}, ["save_req_to"]),
        ({"save_to": "{{"}, ["save_to"]),
        ({"ignore_error": "true"}, ["ignore_error"]),
        ({"break": {}}, ["break"]),
        ({"break": [{"by": "$.a"}]}, ["break[0]"]),
        ({"timeouts": 1}, ["timeouts"]),
        ({"__def_loop__": []}, ["__def_loop__"]),
        ({"__def_loop__": {}}, ["__def_loop__.by", "__def_loop__.requests"]),
        ({"__def_loop": {"by": 1, "requests": []}}, ["__def_loop.by"]),
        ({"__def_loop": {"by": "$", "requests": []}, "__def_loop__": {}}, ["__def_loop"]),
        ({"__def_loop": {"by": "$", "filter": {}, "requests": [{}]}}, [
            "__def_loop.filter", "__def_loop.requests[0].method", "__def_loop.requests[0].url"
        ]),
        ({"__def_loop": {"by": "$", "requests": [], "while": 1}}, ["__def_loop.while"]),
    ],
)  # fmt: skip
def test_faults_of_a_request(changes: dict[str, Any], paths: list[str]) -> None:
    assert faults_of_request(**changes) == [f"requests[0].{path}" for path in paths]


def test_null_counts_as_absent() -> None:
    keys = ("body", "header", "save_to", "save_req_to", "ignore_error", "break", "__def_loop__", "api", "master")
    program = parse({"persistence": None, "container": None, "requests": [{**GET, **dict.fromkeys(keys)}]})
    (step,) = program.steps
    assert (step.loop, step.break_when, step.save_to, step.ignore_error, step.body.value) == (
        None,
        None,
        None,
        False,
        None,
    )


def test_empty_presets_count_as_absent() -> None:
    container: dict[str, Any] = {"current": {}, "parent_current": {}, "index": {}}
    assert parse({"container": container, "requests": []}).container == {"index": "0"}
    container = {"current": 0, "parent_current": [], "index": 7}
    assert parse({"container": container, "requests": []}).container == container | {"index": "7"}


def test_all_faults_are_told_up_to_a_limit() -> None:
    paths = faults_of({"requests": [1] * 900})
    assert paths == [*(f"requests[{index}]" for index in range(FAULTS_MAX)), ""]


def test_there_are_limits_of_steps_and_of_loops() -> None:
    parse({"requests": [GET] * STEPS_MAX})
    assert faults_of({"requests": [GET] * (STEPS_MAX + 1)}) == ["requests"]
    requests: Any = [GET]
    for _ in range(LOOPS_MAX):
        requests = [{**GET, "__def_loop": {"by": "$", "requests": requests}}]
    parse({"requests": requests})
    (path,) = faults_of({"requests": [{**GET, "__def_loop": {"by": "$", "requests": requests}}]})
    assert path.count("__def_loop") == LOOPS_MAX + 1


def test_a_path_shows_odd_keys_in_brackets_and_cuts_long_ones() -> None:
    assert dotted((((None, "requests"), 0), "a.b")) == 'requests[0]["a.b"]'
    assert dotted((None, "x y")) == '["x y"]'
    assert len(dotted((None, "ä" * 1000))) < 700


TEXTS = st.sampled_from(
    [
        "http://host/",
        "http://host/{{$.a}}",
        "{{#.a}}",
        "{{",
        "{{$..a}}",
        "{{$.(#.a)}}",
        "GET",
        "jac",
        "$.a",
        "x",
        "(",
        "\ud800",
    ]
) | st.text(max_size=4)
KEYS = st.sampled_from(
    ["persistence", "container", "requests", "current", "parent_current", "index", "method", "url", "api", "header",
     "headers", "body", "save_to", "save_req_to", "ignore_error", "break", "master", "__def_loop__", "__def_loop", "by",
     "filter", "condition", "or", "and", "eq", "ne", "gt", "regex", "a"]
)  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@settings(deadline=None)
@given(ANY | st.fixed_dictionaries({"requests": st.lists(st.dictionaries(KEYS, ANY, max_size=6), max_size=3)}))
@example({"requests": [{"method": "GET", "url": "http://h/" + "{{" * 100_000}]})
@example({"requests": [{"method": "GET", "url": "http://h/{{'" + "\\'" * 100_000}]})
@example({"requests": [{"method": "GET", "url": "http://h/" + "{" * 100_000}]})
@example({"requests": [{"method": "GET", "url": "http://h/", "body": {"k" * 100_000: ["{{"] * 400}}]})
def test_any_json_is_a_program_or_has_placed_faults(arguments: Any) -> None:
    try:
        program = parse(arguments)
    except InvalidSequence as faulty:
        text = json.dumps(faulty.errors)
        assert 0 < len(faulty.errors) <= FAULTS_MAX + 1
        assert len(text) < 300_000
    else:
        assert program.container["index"]
