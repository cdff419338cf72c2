"""Records are compared while they are exported, which threads of a web process do by turns."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from extraction.services.record_comparison import RecordComparison, unique_records


def unique() -> Iterator[dict[str, Any]]:
    return unique_records(iter([{"id": 1}, {"id": 1}, {"id": 2}]), ["id"])


def compared() -> Iterator[dict[str, Any]]:
    before = [{"id": 1, "v": 1}, {"id": 3, "v": 1}]
    return RecordComparison(["id"], ["id"], tells_gone=True).compare([{"id": 1, "v": 2}, {"id": 2, "v": 1}], before)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (unique, [{"id": 1}, {"id": 2}]),
        (
            compared,
            [
                {"id": 1, "v": 2, "_change": "changed"},
                {"id": 2, "v": 1, "_change": "new"},
                {"id": 3, "_change": "gone"},
            ],
        ),
    ],
    ids=["unique", "compared"],
)
def test_records_may_be_read_by_one_thread_after_another(make: Any, expected: list[dict[str, Any]]) -> None:
    records = make()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        threads = [(other if place % 2 else one) for place in range(len(expected) + 1)]
        found = [thread.submit(next, records, None).result() for thread in threads]
    assert found == [*expected, None]
