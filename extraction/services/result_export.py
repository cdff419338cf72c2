"""Reads the records of a process in the order of its pages.

The order follows from the pages alone: it does not matter which worker fetched them, and when.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any, cast

import orjson

from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import Record
from extraction.domain.payload import Payload
from extraction.domain.record_changes import CHANGE, ONLY, SAME
from extraction.domain.tables import TableLosses
from extraction.models import ExtractionPage, Process
from extraction.services.downloaded_files import count_failed_files, put_files
from extraction.services.payloads import load_payload
from extraction.services.record_comparison import RecordComparison, unique_records
from extraction.writers import write_records
from taskhub.errors import Rejected

PAGES_AT_ONCE = 100  # of a list
SIZES_MAX = 100_000  # of nested records, that are remembered
KEYS_AT_ONCE = 1_000  # of lists
LISTS_AT_ONCE = 100  # of details, whose first pages are read together
FIRST_PAGES = 5  # of each list of details
# Pages that lead to each other nest without an end but the rule's: ten pages, each with links to all of them, eight
# levels deep, are a hundred million records. So many more records than there are may be read and written.
REPEATED_LEAST = 1_000_000
REPEATED_A_RECORD = 200

# The records of the first pages of lists, by the lists' keys in hexadecimal.
FirstPages = dict[str, list[list[Record]]]


class ResultExport:
    """Exports the records of one process. It reads them in batches, so memory does not grow with their number."""

    def __init__(self, process: Process, payload: Payload | None = None) -> None:
        self.process = process
        self.payload = payload or load_payload(process)
        self._left = REPEATED_LEAST + REPEATED_A_RECORD * process.records
        self.changes: Counter[str] = Counter()  # how many records are new, changed, same or gone, once all were read

    def records(self) -> Iterator[Record]:
        """The records of the result: each once, as many as may be, and compared with those before, as its payload says.

        Raises `Rejected` as `found_records` does.
        """
        records = self.own_records()
        if self.payload.changes:
            records = self._compared(records)
        return records

    def own_records(self) -> Iterator[Record]:
        """The same, without what was before."""
        records, payload = self.found_records(), self.payload
        if payload.unique:
            records = unique_records(records, payload.unique)
        return islice(records, payload.record_limit.records) if payload.record_limit else records

    def _compared(self, records: Iterator[Record]) -> Iterator[Record]:
        """Records that say what became of them; what did, is not known before the process has all of its own."""
        payload, before = self.payload, self._before()
        if before is None:
            yield from ({**record, CHANGE: None} for record in records)
            return
        rules = payload.rule.listed_rules()
        columns = dict.fromkeys(name for rule in rules for name in rule.record_names())
        is_whole = self.process.failed == count_failed_files(self.process)
        comparison = RecordComparison(payload.unique, list(columns), tells_gone=is_whole)
        self.changes = comparison.counts
        for record in comparison.compare(records, before):
            if payload.changes != ONLY or record[CHANGE] != SAME:
                yield record

    def _before(self) -> Iterator[Record] | None:
        """The records that are compared with; None where they are not known (yet, or any more)."""
        if self.process.compared_with is None:
            return None
        if self.process.compared_with == 0:
            return iter(())
        process = Process.objects.filter(pk=self.process.compared_with).first()
        return ResultExport(process).own_records() if process else None

    def found_records(self) -> Iterator[Record]:
        """The records of the payload's lists, with those of the pages behind them.

        Raises `Rejected` where these nest so often in each other that they would not end.
        """
        if self.process.main is None:
            return iter(())
        lists = self.payload.lists()
        found = self._records_of(self._found_lists() if lists is None else lists)
        rule = self.payload.rule
        records = self._expand(found, rule)
        return self._counted(records, any(listed.nests for listed in rule.listed_rules())) if rule.nests else records

    def _counted(self, records: Iterable[Record], nested: bool) -> Iterator[Record]:
        """Passes records on, each counted with all that nest in it. Details of several records are one object."""
        if not nested:
            for record in records:
                self._count(1)
                yield record
            return
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
        count = self.process.records + sum(self._records_before())
        rule, csv = self.payload.rule, self.payload.csv
        return write_records(self.records(), rule, format, max_records=count, gzip=gzip, losses=losses, csv=csv)

    def _records_before(self) -> Iterable[int]:
        """How many records may be gone."""
        return Process.objects.filter(pk=self.process.compared_with or 0).values_list("records", flat=True)

    def _only_page(self) -> Iterator[bytes]:
        """The file that was made of the process's only page."""
        for compressed in ExtractionPage.objects.filter(process=self.process).values_list("records", flat=True):
            if compressed:
                yield zlib.decompress(compressed)

    def _records_of(self, lists: Iterable[bytes]) -> Iterator[Record]:
        """The records of lists, one list after the other; the first pages of several are read at once."""
        keys = iter(lists)
        while group := [key.hex() for key in islice(keys, LISTS_AT_ONCE)]:
            yield from self._detail_records(group, self._read_first_pages(group))

    def _found_lists(self) -> Iterator[bytes]:
        """The keys of lists that were found on the way, by the links that were followed to them, and then by time."""
        for hops in range(self.payload.hops + 1):
            rows = ExtractionPage.objects.filter(process=self.process, rule=0, ordinal=0, hops=hops).order_by("id")
            after = 0
            while batch := list(rows.filter(id__gt=after).values_list("id", "key")[:KEYS_AT_ONCE]):
                after = batch[-1][0]
                yield from (bytes(key) for _, key in batch)

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
            for records in self._records_in(compressed for _, compressed in pages):
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
            records = self._detail_records((key for _, key in inner_links), first_pages)
            yield from self._expand(records, inner) if inner.nests else records

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
        pages = ExtractionPage.objects.filter(process=self.process, chain__in=chains, ordinal__lt=FIRST_PAGES)
        rows = list(pages.order_by("chain", "ordinal").values_list("chain", "records"))
        for (key, _), records in zip(rows, self._records_in(column for _, column in rows), strict=True):
            first_pages.setdefault(bytes(key).hex(), []).append(records)
        return first_pages

    def _records_in(self, columns: Iterable[Any]) -> list[list[Record]]:
        """The records of pages, from the column of their rows, with the files that were downloaded for them."""
        pages = [_decompress_records(column) for column in columns]
        if self.payload.rule.downloads:
            put_files(self.process, [record for page in pages for record in page])
        return pages


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
