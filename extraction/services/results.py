"""Results: the records of a process in the order of its pages, and the file that they are written to.

The order follows from the pages alone, so it is the same whoever fetched them, and when.
"""

import logging
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import orjson
from django.core.files import File
from django.core.files.storage import storages

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record
from extraction.domain.payload import Payload
from extraction.models import ExtractionPage, Process
from extraction.services.payloads import load_payload
from extraction.writers import written
from taskhub.errors import Unavailable

log = logging.getLogger(__name__)

STORAGE = "results"
PAGES = 100  # of a list, read at once
LISTS = 100  # of details, looked ahead for
AHEAD = 5  # pages of each


def result_storage() -> Any:
    return storages[STORAGE]


class ResultExport:
    """The records of one process. Reads them in batches: what it holds does not grow with their number."""

    def __init__(self, process: Process, payload: Payload | None = None) -> None:
        self.process = process
        self.payload = payload or load_payload(process)

    def records(self) -> Iterator[Record]:
        if self.process.main is None:
            return iter(())
        lists = (self._of_list(key, []) for key in self.payload.lists())
        return self._expanded(chain.from_iterable(lists), self.payload.rule)

    def pieces(self, format: str, *, gzip: bool) -> Iterator[bytes]:
        if not self.payload.MAKES_RECORDS:
            return self._file()
        return written(self.records(), self.payload.rule, format, most=self.process.records, gzip=gzip)

    def _file(self) -> Iterator[bytes]:
        """The file that the only page is."""
        for packed in ExtractionPage.objects.filter(process=self.process).values_list("records", flat=True):
            if packed:
                yield zlib.decompress(packed)

    def _of_list(self, first: bytes, ahead: list[list[Record]]) -> Iterator[Record]:
        """What the pages of a list showed, in their order. `ahead` are the first, where they were read already."""
        for records in ahead:
            yield from records
        if 0 < len(ahead) < AHEAD:
            return
        after = len(ahead) - 1
        while pages := list(self._pages(first, after)):
            after = pages[-1][0]
            for _, packed in pages:
                yield from _unpacked(packed)

    def _pages(self, first: bytes, after: int) -> Iterable[tuple[int, Any]]:
        rows = ExtractionPage.objects.filter(process=self.process, chain=first, ordinal__gt=after)
        return rows.order_by("ordinal").values_list("ordinal", "records")[:PAGES]

    def _expanded(self, records: Iterable[Record], rule: ExtractionRule) -> Iterator[Record]:
        """With the records of the pages behind each; or those alone, where the rule is a path to them."""
        nests = list(rule.nests.items())
        if not nests:
            yield from records
            return
        for group in _groups(records, [nest for nest, _ in nests]):
            links = [(inner, key) for record in group for nest, inner in nests for key in record[nest]]
            ahead = self._ahead([key for _, key in links])
            if rule.path:
                for inner, some in groupby(links, key=itemgetter(0)):
                    yield from self._expanded(self._behind([key for _, key in some], ahead), inner)
            else:
                for nest, inner in nests:
                    self._nest(group, nest, inner, ahead)
                yield from group

    def _nest(self, group: list[Record], nest: str, inner: ExtractionRule, ahead: "Ahead") -> None:
        """Puts records in the place of the keys of their pages."""
        keys = dict.fromkeys(key for record in group for key in record[nest])
        if inner.path:
            lists = {key: list(self._expanded(self._behind([key], ahead), inner)) for key in keys}
        else:  # one record stays one: all lists are expanded together
            lists = {key: list(self._behind([key], ahead)) for key in keys}
            for _ in self._expanded(chain.from_iterable(lists.values()), inner):
                pass
        for record in group:
            record[nest] = [nested for key in record[nest] for nested in lists[key]]

    def _behind(self, keys: list[str], ahead: "Ahead") -> Iterator[Record]:
        for key in keys:
            if pages := ahead.get(key):
                yield from self._of_list(bytes.fromhex(key), pages)

    def _ahead(self, keys: list[str]) -> "Ahead":
        """The first pages of several lists."""
        ahead: Ahead = {}
        chains = [bytes.fromhex(key) for key in dict.fromkeys(keys)]
        rows = ExtractionPage.objects.filter(process=self.process, chain__in=chains, ordinal__lt=AHEAD)
        for key, records in rows.order_by("chain", "ordinal").values_list("chain", "records"):
            ahead.setdefault(bytes(key).hex(), []).append(_unpacked(records))
        return ahead


Ahead = dict[str, list[list[Record]]]


def _unpacked(records: Any) -> list[Record]:
    """The records of a page, as its row has them."""
    return cast(list[Record], orjson.loads(zlib.decompress(records))) if records else []


def _groups(records: Iterable[Record], nests: list[str]) -> Iterator[list[Record]]:
    """Neighbours that lead to about LISTS lists together, or to fewer where there are many of them."""
    group: list[Record] = []
    count = 0
    for record in records:
        group.append(record)
        count += sum(len(record[nest]) for nest in nests)
        if count >= LISTS or len(group) >= 10 * LISTS:
            yield group
            group, count = [], 0
    if group:
        yield group


def file_name(process_id: str, format: str, *, gzip: bool) -> str:
    """The name of a result's file."""
    return f"{process_id}.{format}" + (".gz" if gzip else "")


def store_result(name: str, pieces: Iterator[bytes]) -> int:
    """Whole or not at all. Raises `OSError` where there is no room, or the storage is away."""
    place = _local_path(name)
    folder = place.parent if place else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".writing-", delete=False) as file:
        try:
            for piece in pieces:
                file.write(piece)
            file.flush()
            size = file.tell()
            if place:
                os.fsync(file.fileno())
                Path(file.name).replace(place)
            else:
                _sent(name, Path(file.name))
            return size
        finally:
            Path(file.name).unlink(missing_ok=True)


def _local_path(name: str) -> Path | None:
    """Where the storage keeps a file on this machine's disk; None where it keeps it elsewhere."""
    try:
        return Path(result_storage().path(name))
    except NotImplementedError:
        return None


def _sent(name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            result_storage().delete(name)
            result_storage().save(name, File(file))
    except OSError:
        raise
    except Exception as error:  # each storage has its own
        raise OSError(f"The storage does not take it: {type(error).__name__}") from error


def open_result(name: str) -> Any:
    """A finished file, to be read. Raises `Unavailable` when the storage is away, `FileNotFoundError` for none."""
    try:
        return result_storage().open(name, "rb")
    except FileNotFoundError:
        raise
    except Exception as error:
        log.error("The storage does not give %s: %s", name, error)
        raise Unavailable("The file cannot be read at present.", retry_after=60) from None


def delete_result(name: str) -> None:
    """Raises nothing for a file that is not there."""
    with suppress(FileNotFoundError):
        result_storage().delete(name)
