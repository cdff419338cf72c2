"""What the pages of a list have shown so far, by which its end is known. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from extraction.domain.page_addresses import digest

# How many values have to be the same before pages count as shown again: a price or an author alone may come again.
EVIDENCE = 4
RUN_MAX = 16  # pages
PAGES_MAX = 10_000  # from the first, that are remembered

NOTHING = digest(b"")[:15] + b"\0"  # what a page without records shows


def shown_by(records: Sequence[Mapping[str, Any]], content: bytes) -> bytes:
    """What a page shows, in 16 bytes: a digest of its content, and how many different values there are, up to 255."""
    if not records:
        return NOTHING
    values: set[Any] = set()
    for record in records:
        for value in record.values():
            entries = value if isinstance(value, list) else (value,)
            values.update(orjson.dumps(entry) if isinstance(entry, dict | list) else entry for entry in entries)
    return digest(content)[:15] + bytes([min(255, len(values - {None}))])


def without_columns(records: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """The records without what is different each time that they are read."""
    if not names:
        return records
    return [{name: value for name, value in record.items() if name not in names} for record in records]


class ListHistory:
    """The pages of one list that were read, in their order: their keys, and what they showed (`shown_by`)."""

    def __init__(self, keys: Iterable[bytes] = (), shown: Iterable[bytes] = ()) -> None:
        self.keys = set(keys)
        self._shown: list[bytes] = []
        self._places: dict[bytes, list[int]] = {}
        for one in shown:
            self.add(one)

    def add(self, shown: bytes) -> None:
        """Adds what the next page shows; nothing where that is not known."""
        if not shown:
            return
        self._places.setdefault(shown, []).append(len(self._shown))
        self._shown.append(shown)

    def has_shown(self, shown: bytes) -> bool:
        """Whether the list ends with a page that shows this, for nothing new comes.

        It shows the same as the page before it, as where both are empty; or it ends a run of pages that was there
        before, and is long enough not to be so by chance.
        """
        if self._shown and self._shown[-1] == shown:
            return True
        run = [shown]
        while sum(one[-1] for one in run) < EVIDENCE:
            place = len(self._shown) - len(run)
            if place < 0 or len(run) == RUN_MAX:
                return False
            run.insert(0, self._shown[place])
        starts = (place + 1 - len(run) for place in self._places.get(shown, ()))
        return any(start >= 0 and self._shown[start : start + len(run)] == run for start in starts)
