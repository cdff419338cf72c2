"""Fields of documents by their paths, and the columns of tables."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlers.domain.documents import DocumentReader, keys_of_id
from crawlers.domain.field_paths import (
    cell_value,
    columns_of_documents,
    columns_of_schema,
    find_field,
    project_line,
    read_line,
    select_fields,
)
from crawlers.services.document_formats import array_of, join_lines, split_lines

DOCUMENT: dict[str, Any] = {
    "a": 1,
    "b": {"c": 2, "d": {"e": None}},
    "b.x": 3,
    "dots.in": {"name.s": 4},
    "list": [{"n": 1}, {"m": 2}, 5, [{"n": 3}]],
    "empty": {},
}


@pytest.mark.parametrize(
    ("fields", "selected"),
    [
        (["a"], {"a": 1}),
        (["b.c"], {"b": {"c": 2}}),
        (["b.d.e", "a", "b.c"], {"b": {"d": {"e": None}, "c": 2}, "a": 1}),
        (["b.c", "b"], {"b": {"c": 2, "d": {"e": None}}}),
        (["b", "b.c"], {"b": {"c": 2, "d": {"e": None}}}),
        (["b.x"], {"b.x": 3}),
        (["dots.in.name.s"], {"dots.in": {"name.s": 4}}),
        (["list.n"], {"list": [{"n": 1}, {}, [{"n": 3}]]}),
        (["empty.x"], {"empty": {}}),
        (["a.x", "absent", "b.absent"], {"b": {}}),
    ],
)
def test_fields_are_selected(fields: list[str], selected: dict[str, Any]) -> None:
    assert select_fields(DOCUMENT, fields) == selected
    assert list(select_fields(DOCUMENT, fields)) == list(selected)


@pytest.mark.parametrize(
    ("field", "value"),
    [("a", 1), ("b.d.e", None), ("b.x", 3), ("dots.in.name.s", 4), ("list.n", [1, [3]]), ("a.x", None), ("no", None)],
)
def test_a_field_is_found(field: str, value: Any) -> None:
    assert find_field(DOCUMENT, field) == value


def test_each_value_has_a_column_under_which_it_is_found() -> None:
    columns = columns_of_documents([DOCUMENT, {"z": 1}])
    assert columns == ["a", "b.c", "b.d.e", "b.x", "dots.in.name.s", "list", "empty", "z"]
    assert [find_field(DOCUMENT, column) for column in columns] == [1, 2, None, 3, 4, DOCUMENT["list"], {}, None]


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        (None, []),
        (True, []),
        ({"required": ["z", "a"]}, ["z", "a"]),
        ({"properties": {"z": {}, "a": {"properties": {"y": True}}}, "required": ["q", "a"]}, ["z", "a.y", "q"]),
        ({"properties": [], "required": "x"}, []),
    ],
)
def test_the_columns_of_a_schema(schema: Any, columns: list[str]) -> None:
    assert columns_of_schema(schema) == columns


@pytest.mark.parametrize("number", ["1.50", "12345678901234567890123", "1e5", "0.1234567890123456789", "-7"])
def test_numbers_are_written_as_they_were(number: str) -> None:
    line = f'{{"n": [{number}], "x": 1}}'.encode()
    shown = number if number not in {"1.50"} else "1.5"
    assert project_line(line, ["n"]) == f'{{"n":[{shown}]}}\n'.encode()
    assert cell_value(read_line(line)["n"]) == f"[{shown}]"


KEYS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text("ab.", max_size=3), KEYS, max_size=4), max_size=4), st.integers(1, 50))
def test_lines_are_the_same_however_they_are_cut(documents: list[Any], size: int) -> None:
    whole = b"".join(json.dumps(document).encode() + b"\n" for document in documents)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert list(split_lines(pieces)) == whole.split(b"\n")[:-1]
    assert json.loads(b"".join(array_of(pieces))) == documents
    assert b"".join(join_lines([whole] if whole else [])) == whole


@given(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text())
def test_the_id_as_json_names_the_documents_key(value: Any) -> None:
    try:
        key = DocumentReader(None, "id").read_key(json.dumps({"id": value}).encode(), 1).decode()
    except Exception:
        return  # no document can have this id
    if value is not None:
        assert keys_of_id(json.dumps(value))[0] == key
    if isinstance(value, str):
        assert key in keys_of_id(value)
