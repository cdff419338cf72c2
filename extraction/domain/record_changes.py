"""What makes records the same: by their content, or by the fields that tell them apart. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from extraction.domain.downloads import SHA256, DownloadedFile
from extraction.domain.extraction_rule import CHANGE_COLUMN, OWN_COLUMNS
from extraction.domain.findings import has_value

CHANGE = CHANGE_COLUMN  # says what became of a record
NEW, CHANGED, SAME, GONE = "new", "changed", "same", "gone"
ALL, ONLY = "all", "only"  # records of each sort, or only those that are not the same


class RecordLimit(NamedTuple):
    """How many records a result has. `listed` are the rules that give them, `listing` those that also lead to them.

    It `takes_first` where the first records are those of the result, whatever is in them; and the pages before one are
    known where the records come from `one_list`.
    """

    records: int
    listed: frozenset[int]
    listing: frozenset[int]
    takes_first: bool
    one_list: bool

    def most_of(self, rule: int, before: int) -> int | None:
        """How many records of a page can be in the result, where its process has found so many before; None where all
        can."""
        if not self.takes_first or rule not in self.listed:
            return None
        return max(0, self.records - before) if self.one_list else self.records


def content_digest(record: Mapping[str, Any]) -> bytes:
    """A digest of what a record holds, with its details, but for where and when it was found."""
    return _digest(_content(record))


def identity_digest(record: Mapping[str, Any], names: Sequence[str]) -> bytes | None:
    """A digest of the values that tell a record from others; None where it has none of them."""
    values = [record.get(name) for name in names]
    return _digest(_content(values)) if any(map(has_value, values)) else None


def _content(value: Any) -> Any:
    if isinstance(value, DownloadedFile):
        return value.get(SHA256)  # its link is another one in each process
    if isinstance(value, dict):
        return {name: _content(inner) for name, inner in value.items() if name not in OWN_COLUMNS}
    return [_content(inner) for inner in value] if isinstance(value, list) else value


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
