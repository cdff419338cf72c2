"""Expressions and templates: what they mean, what they refuse, and that what was substituted is never looked at."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonpath_ng.parser import parse as parse_jsonpath

from sequences.domain.address_templates import read_address
from sequences.domain.expressions import Expression, read_expression
from sequences.domain.json_values import as_text, kind, same, weigh
from sequences.domain.scope import Scope
from sequences.domain.templates import CHARACTERS_MAX, EXPRESSIONS_MAX, Template, TemplateReader
from sequences.domain.validation_errors import InvalidSyntax, StepFailure, ValidationFaults

USERS = {"data": [{"id": 1, "jid": "a", "tags": ["x", "y"]}, {"id": 2, "jid": None}], "token": "t/ä k", "ok": True}
KEPT = {"login": {"token": "secret"}, "map": {"1": "one", "a": "letter", "": 0}, "key": "data", "true": {"1": 5},
        "got_3": "third", "got_1": [{"x": 1}], "o": "o", "oo": "both", "got_one_": "deep"}  # fmt: skip
ITEM = {"jid": "urn:uuid:1", "id": 1, "key with space": 7, "$ref": 8}


def scope(current: Any = USERS, **values: Any) -> Scope:
    return Scope(current, **{"persistence": KEPT, "item": ITEM, "index": "3", **values})


def value_of(text: str, current: Any = USERS) -> Any:
    return read_expression(text).evaluate(scope(current))


def templates() -> TemplateReader:
    return TemplateReader(ValidationFaults())


def rendered(template: Template, current: Any = USERS) -> Any:
    return template.render(scope(current))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$", USERS),
        ("#", KEPT),
        ("@", ITEM),
        ("!", "3"),
        (" $.token ", "t/ä k"),
        ("$.data.0.id", 1),
        ("$.data.1.jid", None),
        ("$.data.9.id", None),
        ("$.data.00.id", None),
        ("$.data.id", None),
        ("$.missing.deeper", None),
        ("$.token.0", None),
        ("!.x", None),
        ("@.$ref", 8),
        ("@['key with space']", 7),
        ('@["key with space"]', 7),
        ("$.data[0].id", 1),
        ("$.data[-1].id", 2),
        ("$.data[9].id", None),
        ("#.map.($.data.0.id)", "one"),
        ("#.map.($.data[0].jid)", "letter"),
        ("#.map.(@.missing)", None),
        ("#.got_(!)", "third"),
        ("#.got_(!).0", None),
        ("#.g(#.o)t_(!)", "third"),
        ("#.(#.o)(#.o)", "both"),
        ("#.got_(@.missing)", None),
        ("#.got_(#.map)", None),
        ("#.got_(@.id)[*].x", [1]),
        ("#.got_(@.id).0.x", 1),
        ("#['got_1'][0].x", 1),
        ("#.got_(#.map.(@.id))_", "deep"),
        ("#.map.($.data)", None),
        ("#.($.ok).($.data.0.id)", 5),
        ("#.map.(#.map.(#.nothing))", None),
        ("$.(#.key).0.(@.missing)", None),
        ("$.data[*].id", [1, 2]),
        ("$..jid", ["a", None]),
        ("$.data[*].nothing", []),
        ("$.data[9:].id", []),
        ("$.data[1:].id", [2]),
        ("$.data[*].(#.missing)", []),
        ("$.(#.key)[*].id", [1, 2]),
        ("$.data[*].tags.0", ["x"]),
        ("$.data[0,1].id", [1, 2]),
        ("$.data.0['id','jid']", [1, "a"]),
        ("$.data.0.tags.*", ["x", "y"]),
        ("$..tags[*]", ["x", "y"]),
        ("'{{'", "{{"),
        ('"it\'s"', "it's"),
        (r"'it\'s'", "it's"),
        ("''", ""),
    ],
)
def test_what_an_expression_stands_for(text: str, value: Any) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "x", "data", "{$.a", "$.", "$..", "#.a.", "$a", "$.a(b)", "$.(x)", "$.()", "$.(#.k", "$.a)",
        "$.(#.k))", "$.a(#)(x)", "$.a_()", "$.a_(#.k", "$..a_(!)",
        "$.[?(@.a)]", "$.data[?id==1]", "$.a|$.b", "$.a&$.b", "$.a.`parent`", "$.`len`",
        "$.a.$.b", "$..$", "$.a where b", "$.a where b.c", "$.a b", "#.a[", "#.a[b.c]", "'x", "'a'b", "$.it's",
        "$..(#.k)", "$.a~", "$.#", "$.a + 1", "$.a[0]b", "$[" + "9" * 900 + ".]", "$.a.(#.b).",
        "!." + "a" * 1001, "$" + ".(#" * 20 + ")" * 20,
    ],
)  # fmt: skip
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(InvalidSyntax) as caught:
        read_expression(text)
    assert str(caught.value)


@given(st.text(alphabet="$#@!.()[]*'\"\\`|&~?:,{} \n09-abwhere", max_size=25) | st.text(max_size=8))
@example("$" + "[0]" * 300)
@example("$" + "." * 999)
@example("$." + "'" * 998)
@example("$." + "\\'" * 400)
@example("$" + "..*" * 300)
def test_any_text_is_an_expression_or_unreadable(text: str) -> None:
    try:
        expression = read_expression(text)
        expression.evaluate(scope())
    except (InvalidSyntax, StepFailure):
        return


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = NAMES.map(".{}".format) | st.sampled_from(
    ["[*]", ".*", "[0]", "[-1]", "[1:]", "[0,1]", "..a", "..*", "['a','b']", "['b']"]
)
TREES = st.recursive(
    st.integers(0, 3) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(STEPS, max_size=4).map("".join), TREES)
def test_paths_find_what_jsonpath_ng_finds(steps: str, tree: Any) -> None:
    expression = read_expression(f"${steps}")
    found = [match.value for match in parse_jsonpath(f"${steps}").find(tree)]
    value = expression.evaluate(scope(tree))
    definite = not any(sign in steps for sign in ("*", ":", ",", ".."))
    assert value == (found if not definite else found[0] if found else None)


@pytest.mark.parametrize("path", ["$..*..*..*..*", "$" + "[*]" * 20, "$..a..a..a..a..a", "$" + ".*" * 20])
def test_a_path_made_to_be_slow_ends(path: str) -> None:
    tree: Any = 1
    for _ in range(12):
        tree = [tree] * 4 + [{"a": tree}]
    with pytest.raises(StepFailure, match="too many values"):
        value_of(path, tree)


def test_persistence_as_a_whole_is_a_copy_and_its_values_are_not() -> None:
    assert value_of("#") is not KEPT
    assert value_of("#.login") is KEPT["login"]
    assert value_of("$", KEPT) is not KEPT
    assert value_of("$") is USERS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{$.data.0.id}}", 1),
        ("{{ $.data.0.id }}", 1),
        ("{{$.ok}}", True),
        ("{{$.missing}}", None),
        ("{{$.data.0.tags}}", ["x", "y"]),
        ("{{$..jid}}", ["a", None]),
        ("{{!}}", "3"),
        ("n={{$.data.0.id}}", "n=1"),
        ("{{$.ok}}{{$.data.0.id}}", "true1"),
        ("<{{$.missing}}{{$.data.1.jid}}>", "<>"),
        ("tags {{$.data.0.tags}}", 'tags ["x","y"]'),
        ("{{$.token}}/", "t/ä k/"),
        ("{{{$.data.0.id}}}", "{1}"),
        ('{"a":{"b":{{$.data.0.id}}}}', '{"a":{"b":1}}'),
        ("{{'{{'}}$.id}}", "{{$.id}}"),
        ("{{'}}'}}", "}}"),
        ("}} { }", "}} { }"),
        ("can_be_call_via_#.additional_field", "can_be_call_via_#.additional_field"),
    ],
)
def test_a_whole_expression_keeps_its_type_and_a_part_is_text(text: str, value: Any) -> None:
    assert rendered(templates().value(text, None)) == value
    assert rendered(templates().text(text, None)) == as_text(value)


@pytest.mark.parametrize(
    ("text", "character"),
    [("a{{", 2), ("{{$.a}}{{$.b}", 8), ("{{'}}", 1), ("{{", 1), ("{{{", 2), ("é{{$.a", 2)],
)
def test_an_open_expression_is_a_fault_at_its_character(text: str, character: int) -> None:
    faults = ValidationFaults()
    TemplateReader(faults).value(text, ((None, "requests"), 0))
    assert faults.errors == [
        {"path": "requests[0]", "detail": f"The '{{{{' at character {character} is not closed by '}}}}'."}
    ]


@pytest.mark.parametrize("text", ["{{}}", "{{ }}", "{{x}}", "{{$.}}", "a {{$.a b}} c", "{{$.a[?(@.b)]}}"])
def test_a_bad_expression_is_a_fault_of_its_string(text: str) -> None:
    faults = ValidationFaults()
    TemplateReader(faults).json({"a": [text]}, (None, "body"))
    assert [fault["path"] for fault in faults.errors] == ["body.a[0]"]


def test_expressions_stand_at_any_depth_of_json_and_in_keys() -> None:
    body = {"z": 1, "{{$.token}}": ["{{$.ok}}", {"deep": ["{{@.id}}", "x{{@.id}}"]}], "a": None}
    assert list(rendered(templates().json(body, None)).items()) == [
        ("z", 1),
        ("t/ä k", [True, {"deep": [1, "x1"]}]),
        ("a", None),
    ]
    order = rendered(templates().json({"z": "{{$.ok}}", "b": 1, "a": "{{!}}"}, None))
    assert list(order.items()) == [("z", True), ("b", 1), ("a", "3")]


def test_json_without_expressions_is_passed_on_as_it_is() -> None:
    body = {"a": [1, {"b": "c"}]}
    template = templates().json(body, None)
    assert template.constant
    assert template.value is body


HOSTILE = st.text(alphabet="{}#$!.@()[]*'\"\\ abc", max_size=10) | st.sampled_from(
    ["{{#.login.token}}", "{{$}}", "{{", "}}", "{{'{{'}}#.login.token}}", "#.login.token"]
)


@given(st.lists(HOSTILE, max_size=4), st.text(alphabet="{ab ", max_size=3))
def test_what_was_substituted_is_never_expanded(values: list[str], between: str) -> None:
    between = between.replace("{{", "")
    holder = {"values": values}
    text = between.join(f"{{{{$.values.{place}}}}}" for place in range(len(values)))
    expected = between.join(values)
    reader = templates()
    assert rendered(reader.text(text, None), holder) == expected
    assert rendered(reader.json({"{{$.values.0}}": [f"<{text}>"]}, None), holder) == {
        values[0] if values else "": [f"<{expected}>"]
    }
    address = read_address(f"http://h/?{text}", None, reader, reader.faults)
    assert unquote(rendered(address, holder)) == f"http://h/?{expected}"
    assert "secret" not in rendered(reader.text(text, None), holder)


def test_there_is_a_limit_to_expressions_and_to_the_text_they_make() -> None:
    faults = ValidationFaults()
    TemplateReader(faults).json(["{{!}}"] * (EXPRESSIONS_MAX + 1), (None, "body"))
    assert [fault["path"] for fault in faults.errors] == [f"body[{EXPRESSIONS_MAX}]"]
    faults = ValidationFaults()
    TemplateReader(faults).json(["{{$.%s}}" % ("a" * 998)] * (CHARACTERS_MAX // 1000 + 1), (None, "body"))
    assert [fault["path"] for fault in faults.errors] == [f"body[{CHARACTERS_MAX // 1000}]"]
    with pytest.raises(StepFailure, match="too long together"):
        rendered(templates().text("{{$}}" * 1000, None), "x" * 10_000)


def test_an_expression_knows_what_it_depends_on() -> None:
    def roots(text: str) -> set[str]:
        expression: Expression = read_expression(text)
        return set(expression.roots)

    assert roots("$.a[*].b") == {"$"}
    assert roots("$.(#.a).(@.(!))") == {"$", "#", "@", "!"}
    assert roots("'a'") == set()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-2, 2).map(lambda number: round(number, 1))
    | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_two_values_are_the_same_as_json(left: Any, right: Any) -> None:
    def tagged(value: Any) -> Any:
        if isinstance(value, list):
            return [tagged(item) for item in value]
        if isinstance(value, dict):
            return {key: tagged(item) for key, item in value.items()}
        return kind(value), value

    assert same(left, right) is (tagged(left) == tagged(right))
    assert same(left, json.loads(json.dumps(left)))


@given(JSON)
def test_weight_follows_the_text(value: Any) -> None:
    weight = weigh(value, 10_000, "It")
    assert len(json.dumps(value, separators=(",", ":"))) <= weight
    assert weigh([value] * 50, 100_000, "It") >= 50 * weight
    with pytest.raises(StepFailure, match="It would be larger than"):
        weigh(value, weight - 1, "It")


def test_weight_has_limits_of_depth_and_of_repetition() -> None:
    value: Any = []
    for _ in range(99):
        value = [value]
    weigh([1], 1000, "It")
    weigh(value, 1000, "It")
    with pytest.raises(StepFailure, match="deeper than 100"):
        weigh([[value, 1]], 1000, "It")
    bomb: Any = "x"
    for _ in range(60):
        bomb = [bomb] * 1000
    with pytest.raises(StepFailure, match="larger"):
        weigh(bomb, 1_000_000, "It")
