"""Files that processes download, in the storage of results: stores and finds them, and puts them into records.

A file is a page of its process, by whose key it is named in the storage. So a worker that takes up a download writes to
the same name as one that was killed, and whoever removes the pages of a process knows its files.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

import orjson
from django.conf import settings

from extraction.domain.downloads import (
    DOWNLOAD_RULE,
    LINK,
    URL,
    DownloadedFile,
    read_file_name,
    stored_name,
)
from extraction.domain.findings import FILES_MISSING, ExtractionWarning
from extraction.domain.page_addresses import page_key
from extraction.domain.process_status import PageFailure, PageState
from extraction.models import ExtractionPage, Process
from extraction.services.result_files import delete_result, store_result
from taskhub.errors import NotFound

PIECE = 64 * 1024
KEYS_AT_ONCE = 1_000


@contextmanager
def storing() -> Iterator[None]:
    """Raises `PageFailure` where there is no room, or no storage, which may change."""
    try:
        yield
    except OSError as error:
        raise PageFailure(f"The file cannot be stored: {error.strerror or error}", retry=True) from None


def store_file(name: str, file: IO[bytes]) -> tuple[int, str]:
    """Stores a file, whole or not at all; its size in bytes, and its SHA-256. Raises `PageFailure`."""
    with storing():
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        file.seek(0)
        return store_result(name, iter(partial(file.read, PIECE), b"")), sha256


def delete_if_removed(process: Process, name: str) -> None:
    """Deletes a file that was stored while its process was removed, which may have missed it."""
    if not Process.objects.filter(pk=process.pk, removed_at__isnull=True).exists():
        delete_result(name)


def put_files(process: Process, records: Sequence[dict[str, Any]]) -> None:
    """Puts the files of a process into records that say where they come from; null for those that are not there."""
    wanted = {file[URL]: page_key(DOWNLOAD_RULE, file[URL]) for record in records for file in _files_in(record)}
    stored = _descriptions(process, wanted.values())
    for record in records:
        for name, value in record.items():
            if isinstance(value, dict):
                record[name] = _file(process, value, stored.get(wanted[value[URL]]))
            elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
                record[name] = [one and _file(process, one, stored.get(wanted[one[URL]])) for one in value]


def _files_in(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for value in record.values():
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict))


def _descriptions(process: Process, keys: Iterable[bytes]) -> dict[bytes, dict[str, Any]]:
    """What is kept of files, by the keys of their pages."""
    found: dict[bytes, dict[str, Any]] = {}
    all_keys = list(set(keys))
    for start in range(0, len(all_keys), KEYS_AT_ONCE):
        some = all_keys[start : start + KEYS_AT_ONCE]
        rows = ExtractionPage.objects.filter(process=process, key__in=some, state=PageState.DONE)
        found |= {bytes(key): _unpacked(records) for key, records in rows.values_list("key", "records")}
    return found


def _unpacked(records: Any) -> dict[str, Any]:
    return dict(orjson.loads(zlib.decompress(records)))


def _file(process: Process, wanted: dict[str, Any], description: dict[str, Any] | None) -> DownloadedFile | None:
    if description is None:
        return None
    link = f"{settings.PUBLIC_URL}/v1/process/{process.id}/files/{description['name']}"
    return DownloadedFile({LINK: link, **description, URL: wanted[URL]})


def named_file(process: Process, name: str) -> dict[str, Any]:
    """What is kept of the file of a process that has a name. Raises `NotFound`."""
    place = read_file_name(name)
    rows = ExtractionPage.objects.filter(process=process, rule=DOWNLOAD_RULE, state=PageState.DONE)
    records = rows.filter(key=place[1]).values_list("records", flat=True).first() if place else None
    description = _unpacked(records) if records else None
    if description is None or description["name"] != name:
        raise NotFound("The process has no such file.")
    return description


def delete_files(process: Process, keys: Iterable[bytes]) -> None:
    """Deletes the files of some pages from the storage, those that were stored."""
    for key in keys:
        delete_result(stored_name(process.id, key))


def count_failed_files(process: Process) -> int:
    """How many files of a process could not be downloaded."""
    rows = ExtractionPage.objects.filter(process=process, rule=DOWNLOAD_RULE, state=PageState.FAILED)
    return rows.count() if process.failed else 0


def count_files(process: Process) -> int:
    """How many files a process has tried to download, or is yet to."""
    return ExtractionPage.objects.filter(process=process, rule=DOWNLOAD_RULE).count()


def warnings_of_files(process: Process) -> Iterator[ExtractionWarning]:
    """How many files are missing in records; the pages say why."""
    if count := count_failed_files(process):
        detail = f"{count} files could not be downloaded, and are null; GET /v1/process/{{id}}/pages tells why."
        yield ExtractionWarning(FILES_MISSING, "/fields", detail)
