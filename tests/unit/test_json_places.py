"""Where a path or a pointer leads in a text: the place that an editor marks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.console.json_editor import FAULTS_MAX, EditorFault, JsonEditor, faults_of, sent_text
from taskhub.errors import Rejected, invalid
from taskhub.jsontools.json_places import find_places, keys_of_path, keys_of_pointer
from taskhub.jsontools.jsonc import parse_jsonc

TEXT = """{
  // "requests": of a comment
  "requests": [
    {"method": "GET", "a b": {"ä": [1, "two"]}},
    /* second */ {"url":
      "http://shop"},
  ],
  "empty": {}, "list": [[], [1e3, null]],
}
"""


@pytest.mark.parametrize(
    ("path", "place", "marked"),
    [
        ("", (1, 1), "{"),
        ("requests", (3, 3), '"requests"'),
        ("requests[0]", (4, 5), "{"),
        ("requests[0].method", (4, 6), '"method": "GET"'),
        ('requests[0]["a b"]', (4, 23), '"a b"'),
        ('requests[0]["a b"]["ä"][1]', (4, 40), '"two"'),
        ("requests[1].url", (5, 19), '"url":'),  # the value stands on the next line
        ("requests[1]", (5, 18), "{"),
        ("empty", (8, 3), '"empty"'),
        ("list[1][0]", (8, 30), "1e3"),
        ("list[1][1]", (8, 35), "null"),
        ("list[0]", (8, 25), "["),
        ("requests[0].url", (4, 5), "{"),  # what is missing is missing in its object
        ("requests[7].url", (3, 3), '"requests"'),
        ("nothing.at.all", (1, 1), "{"),
    ],
)
def test_a_path_has_its_place(path: str, place: tuple[int, int], marked: str) -> None:
    (found,) = find_places(TEXT, [keys_of_path(path)])
    line = TEXT.split("\n")[found.line - 1]
    assert (found.line, found.column) == place
    assert line[found.column - 1 :][: found.length] == marked


@pytest.mark.parametrize(
    ("pointer", "keys"),
    [
        ("", ()),
        ("/requests/0/a b", ("requests", "0", "a b")),
        ("/a~1b/~0c/~01", ("a/b", "~c", "~1")),
        ("/", ("",)),
    ],
)
def test_a_pointer_is_a_path_of_keys(pointer: str, keys: tuple[str, ...]) -> None:
    assert keys_of_pointer(pointer) == keys


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=15,
)


def paths_in(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(path, value), *(one for key, inner in pairs for one in paths_in(inner, (*path, str(key))))]


@given(VALUES, st.sampled_from([None, 2]))
def test_each_value_is_found_where_it_stands(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    paths = paths_in(value)
    lines = text.split("\n")
    for (path, inner), place in zip(paths, find_places(text, [path for path, _ in paths]), strict=True):
        rest = "\n".join([lines[place.line - 1][place.column - 1 :], *lines[place.line :]])
        if isinstance(inner, dict | list) or not path:
            written = json.dumps(path[-1]) if path and rest[0] == '"' else rest[0]
            assert rest.startswith(written)
        else:
            assert rest[: place.length].endswith(json.dumps(inner))


def test_faults_stand_in_the_order_of_the_text() -> None:
    problem = Rejected(
        errors=[
            {"path": "sequence.list", "detail": "second"},
            {"path": "outputs.requests", "detail": "of another text"},
            {"pointer": "/sequence/requests/0/method", "detail": "first"},
            {"path": "sequence", "detail": "the whole"},
        ]
    )
    assert faults_of(TEXT, problem, "sequence") == [
        EditorFault(1, 1, 1, "", "the whole"),
        EditorFault(4, 6, 15, "/requests/0/method", "first"),
        EditorFault(8, 16, 6, "list", "second"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "column", "detail"),
    [
        ('{"a": 1\n  "b": 2}', 2, 3, "Expecting ',' delimiter"),
        ("{\n  'a': 1}", 2, 3, "Expecting property name enclosed in double quotes"),
        ('{"a": 1,\n "a": 2}', 2, 5, "The key 'a' stands twice in one object."),
        ('{\n"a": NaN}', 2, 6, "NaN is not JSON."),
    ],
)
def test_what_is_no_json_has_its_place(text: str, line: int, column: int, detail: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse_jsonc(text)
    assert [(f.line, f.column, f.length) for f in faults_of(text, caught.value)] == [(line, column, 1)]
    assert detail in faults_of(text, caught.value)[0].detail


def test_faults_of_nothing_stand_at_its_beginning() -> None:
    assert faults_of("  ", invalid("/a/b", "It is missing.")) == [EditorFault(1, 1, 1, "/a/b", "It is missing.")]
    assert faults_of("{}", Rejected("No.")) == [EditorFault(1, 1, 1, "", "No.")]


def test_an_editor_shows_some_faults_and_counts_the_rest() -> None:
    editor = JsonEditor("a", "A", "\n" * 80, faults=[EditorFault(1, 1, 1, "", "No.")] * (FAULTS_MAX + 3))
    assert (len(editor.shown_faults), editor.more_faults, editor.rows) == (FAULTS_MAX, 3, 30)
    assert sent_text({"a": "1\r\n2"}, "a") == "1\n2"
