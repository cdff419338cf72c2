"""Reads the records of a process in the order of its pages, and stores the file that they are written to.

The order follows from the pages alone: it does not matter which worker fetched them, and when.
"""

import logging
import os
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar, cast

import orjson
from django.conf import settings
from django.core.files import File
from django.core.files.storage import storages

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record
from extraction.domain.payload import Payload
from extraction.domain.tables import TableLosses
from extraction.models import ExtractionPage, Process
from extraction.services.payloads import load_payload
from extraction.writers import write_records
from taskhub.errors import Rejected, Unavailable
from taskhub.interruption import waiting

Value = TypeVar("Value")

log = logging.getLogger(__name__)

STORAGE = "results"
PAGES_AT_ONCE = 100  # of a list
SIZES_MAX = 100_000  # of nested records, that are remembered
LISTS_AT_ONCE = 100  # of details, whose first pages are read together
FIRST_PAGES = 5  # of each list of details
# Pages that lead to each other nest without an end but the rule's: ten pages, each with links to all of them, eight
# levels deep, are a hundred million records. So many more records than there are may be read and written.
REPEATED_LEAST = 1_000_000
REPEATED_A_RECORD = 200


def result_storage() -> Any:
    return storages[STORAGE]


# The records of the first pages of lists, by the lists' keys in hexadecimal.
FirstPages = dict[str, list[list[Record]]]


class ResultExport:
    """Exports the records of one process. It reads them in batches, so memory does not grow with their number."""

    def __init__(self, process: Process, payload: Payload | None = None) -> None:
        self.process = process
        self.payload = payload or load_payload(process)
        self._left = REPEATED_LEAST + REPEATED_A_RECORD * process.records

    def records(self) -> Iterator[Record]:
        """The records of the payload's lists, with those of the pages behind them.

        Raises `Rejected` where these nest so often in each other that they would not end.
        """
        if self.process.main is None:
            return iter(())
        lists = (self._list_records(key, []) for key in self.payload.lists())
        records = self._expand(chain.from_iterable(lists), self.payload.rule)
        return self._counted(records) if self.payload.rule.nests else records

    def _counted(self, records: Iterable[Record]) -> Iterator[Record]:
        """Passes records on, each counted with all that nest in it. Details of several records are one object."""
        sizes: dict[int, tuple[Record, int]] = {}
        for record in records:
            self._count(_nested_size(record, sizes))
            yield record
            if len(sizes) > SIZES_MAX:
                sizes.clear()

    def _count(self, records: int) -> None:
        self._left -= records
        if self._left < 0:
            raise Rejected("The records of details repeat too often in the result: pages lead to each other.")

    def pieces(self, format: str, *, gzip: bool, losses: TableLosses | None = None) -> Iterator[bytes]:
        """The result file in a format, piece by piece. `losses` has what it cannot hold, once all is written."""
        if not self.payload.MAKES_RECORDS:
            return self._only_page()
        count = self.process.records
        rule, csv = self.payload.rule, self.payload.csv
        return write_records(self.records(), rule, format, max_records=count, gzip=gzip, losses=losses, csv=csv)

    def _only_page(self) -> Iterator[bytes]:
        """The file that was made of the process's only page."""
        for compressed in ExtractionPage.objects.filter(process=self.process).values_list("records", flat=True):
            if compressed:
                yield zlib.decompress(compressed)

    def _list_records(self, key: bytes, first_pages: list[list[Record]]) -> Iterator[Record]:
        """The records of a list, page by page. Its `first_pages` are not read again."""
        for records in first_pages:
            self._count(len(records))
            yield from records
        if 0 < len(first_pages) < FIRST_PAGES:
            return
        after = len(first_pages) - 1
        while pages := list(self._pages(key, after)):
            after = pages[-1][0]
            for _, compressed in pages:
                records = _decompress_records(compressed)
                self._count(len(records))
                yield from records

    def _pages(self, key: bytes, after: int) -> Iterable[tuple[int, Any]]:
        """The next pages of a list, after the one at a place: their places and compressed records."""
        rows = ExtractionPage.objects.filter(process=self.process, chain=key, ordinal__gt=after)
        return rows.order_by("ordinal").values_list("ordinal", "records")[:PAGES_AT_ONCE]

    def _expand(self, records: Iterable[Record], rule: ExtractionRule) -> Iterator[Record]:
        """The records, with those of the pages behind them in place; or the latter alone, where the rule is a path."""
        if not rule.nests:
            yield from records
            return
        for group in _groups(records, rule):
            if rule.path:
                yield from self._follow_path(group, rule)
            else:
                self._expand_in_place(group, rule)
                yield from group

    def _follow_path(self, group: list[Record], rule: ExtractionRule) -> Iterator[Record]:
        """The records of the pages behind a group of records, in the order of the links to them."""
        nests = rule.nests.items()
        links = [(inner, key) for record in group for nest, inner in nests for key in record[nest]]
        first_pages = self._read_first_pages(key for _, key in links)
        for inner, inner_links in groupby(links, key=itemgetter(0)):
            yield from self._expand(self._detail_records((key for _, key in inner_links), first_pages), inner)

    def _expand_in_place(self, group: list[Record], rule: ExtractionRule) -> None:
        """Replaces the keys of details in records by the details' records."""
        first_pages = self._read_first_pages(key for nest in rule.nests for record in group for key in record[nest])
        for nest, inner in rule.nests.items():
            keys = dict.fromkeys(key for record in group for key in record[nest])
            lists = {key: self._detail_records([key], first_pages) for key in keys}
            if inner.path:
                nested = {key: list(self._expand(records, inner)) for key, records in lists.items()}
            else:
                nested = {key: list(records) for key, records in lists.items()}
                if inner.nests:  # each record stays one, so those of all lists are expanded together
                    for inner_group in _groups(chain.from_iterable(nested.values()), inner):
                        self._expand_in_place(inner_group, inner)
            for record in group:
                record[nest] = [detail for key in record[nest] for detail in nested[key]]

    def _detail_records(self, keys: Iterable[str], first_pages: FirstPages) -> Iterator[Record]:
        """The records of lists of details, one list after the other."""
        for key in keys:
            if pages := first_pages.get(key):
                yield from self._list_records(bytes.fromhex(key), pages)

    def _read_first_pages(self, keys: Iterable[str]) -> FirstPages:
        """Reads the first pages of several lists at once."""
        first_pages: FirstPages = {}
        chains = [bytes.fromhex(key) for key in dict.fromkeys(keys)]
        rows = ExtractionPage.objects.filter(process=self.process, chain__in=chains, ordinal__lt=FIRST_PAGES)
        for key, compressed in rows.order_by("chain", "ordinal").values_list("chain", "records"):
            first_pages.setdefault(bytes(key).hex(), []).append(_decompress_records(compressed))
        return first_pages


def _nested_size(record: Record, sizes: dict[int, tuple[Record, int]]) -> int:
    """How many records a record is, with those in it. `sizes` keeps what is known, and the records of these ids."""
    if known := sizes.get(id(record)):
        return known[1]
    details = (detail for value in record.values() if isinstance(value, list) for detail in value)
    size = 1 + sum(_nested_size(detail, sizes) for detail in details if isinstance(detail, dict))
    sizes[id(record)] = record, size
    return size


def _decompress_records(compressed: Any) -> list[Record]:
    """The records of a page, from the column of its row."""
    return cast(list[Record], orjson.loads(zlib.decompress(compressed))) if compressed else []


def _groups(records: Iterable[Record], rule: ExtractionRule) -> Iterator[list[Record]]:
    """Groups of records that lead to about LISTS_AT_ONCE lists of details together; large groups may lead to fewer."""
    nests = list(rule.nests)
    group: list[Record] = []
    count = 0
    for record in records:
        group.append(record)
        count += sum(len(record[nest]) for nest in nests)
        if count >= LISTS_AT_ONCE or len(group) >= 10 * LISTS_AT_ONCE:
            yield group
            group, count = [], 0
    if group:
        yield group


def result_topic(process_id: str) -> str:
    """What is published when the file of a process was written, or is given up."""
    return f"results of {process_id}"


def store_result(name: str, pieces: Iterator[bytes]) -> int:
    """Stores a file, whole or not at all; returns its size. Raises `OSError` where there is no room, or no storage."""
    path = _local_path(name)
    folder = path.parent if path else None
    if folder:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".writing-", delete=False) as file:
        try:
            for piece in pieces:
                file.write(piece)
            file.flush()
            size = file.tell()
            if path:
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            else:
                _upload(name, Path(file.name))
            return size
        finally:
            Path(file.name).unlink(missing_ok=True)


def _local_path(name: str) -> Path | None:
    """The path of a file in the storage; None where the storage is not on this machine's disk."""
    try:
        return Path(result_storage().path(name))
    except NotImplementedError:
        return None


def _upload(name: str, path: Path) -> None:
    """Copies a file to a storage elsewhere. Raises `OSError`."""

    def copy() -> None:
        with path.open("rb") as file:
            result_storage().delete(name)
            result_storage().save(name, File(file))
        if result_storage().size(name) != path.stat().st_size:
            raise OSError("The storage has another file than it was sent.")

    try:
        _within_time(copy)
    except OSError:
        raise
    except Exception as error:  # each storage has its own
        raise OSError(f"The storage does not take it: {type(error).__name__}") from error


def open_result(name: str) -> Any:
    """Opens a stored file. Raises `FileNotFoundError`, and `Unavailable` when the storage does not answer."""
    try:
        if _local_path(name):
            return result_storage().open(name, "rb")
        return _within_time(lambda: _fetched(result_storage().open(name, "rb")))
    except FileNotFoundError:
        raise
    except Exception as error:
        log.error("The storage does not give %s: %s", name, error)
        raise Unavailable("The file cannot be read at present.", retry_after=60) from None


def _fetched(file: Any) -> Any:
    """A file of a storage elsewhere once it is here: it comes when its content is asked for."""
    try:
        file.file  # noqa: B018 - a property, which fetches it
    except BaseException:
        file.close()
        raise
    return file


def delete_result(name: str) -> None:
    """Deletes a stored file, if it is there. Raises `OSError` and what its storage raises."""
    with suppress(FileNotFoundError):
        if _local_path(name):
            result_storage().delete(name)
        else:
            _within_time(lambda: result_storage().delete(name))


def _within_time(call: Callable[[], Value]) -> Value:
    """What a call of a storage elsewhere gives. Raises `OSError` when RESULTS_SECONDS are over.

    Its library keeps the time of each step only. A call that is out of time is left to itself, in its thread.
    """
    result: Future[Value] = Future()

    def run() -> None:
        with suppress(InvalidStateError):  # nobody waits for it any more
            try:
                result.set_result(call())
            except Exception as error:
                result.set_exception(error)

    threading.Thread(target=run, name="result-storage", daemon=True).start()
    try:
        with waiting(result.cancel):
            return result.result(settings.RESULTS_SECONDS)
    except TimeoutError:
        raise OSError(f"The storage took longer than {settings.RESULTS_SECONDS} seconds.") from None
    except CancelledError:
        raise OSError("The storage was not waited for.") from None
