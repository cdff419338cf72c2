"""Files of runs, such as those sent with calls in the background: kept in the storage until their run is deleted."""

import hashlib
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.db import transaction
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from uuid_utils.compat import uuid7

from taskhub.errors import Rejected, not_stored
from taskhub.runs.models import Run
from walkers.domain.ids import NAME_MAX
from walkers.models import RunFile

ABANDONED_AFTER = timedelta(hours=1)
BATCH = 100
Files = MultiValueDict[str, UploadedFile]


def digests(files: Files) -> list[tuple[str, str | None, str]]:
    """Field, name and SHA-256 of each file, in a fixed order: equal lists are equal uploads."""
    return sorted((field, file.name or "", digest(file)) for field, file in _flat(files))


def digest(file: "File[bytes]") -> str:
    sha256 = hashlib.sha256()
    for chunk in file.chunks():
        sha256.update(chunk)
    file.seek(0)
    return sha256.hexdigest()


def store_files(files: Files) -> list[RunFile]:
    """Stores the files durably. They belong to no run until `attach` is called.

    The row is written before the file: a process that dies in between leaves a row by which `remove_abandoned` finds
    what there is to remove. Raises `Unavailable` when the disk is full or the storage away.
    """
    rows: list[RunFile] = []
    try:
        remove_abandoned()
        for field, file in _flat(files):
            row = _create_row(field, file)
            rows.append(row)
            _store(row, file)
    except OSError as error:
        with suppress(OSError):
            discard(rows)
        raise not_stored(error) from None
    return rows


def store_content(*, run: Run, field: str, name: str, content_type: str, content: bytes) -> RunFile:
    """Stores a file of a run that goes on. Raises `Unavailable` when the disk is full or the storage away."""
    file = SimpleUploadedFile(name, content, content_type)
    row = None
    try:
        row = _create_row(field, file, run)
        _store(row, file)
    except OSError as error:
        with suppress(OSError):
            discard([row] if row else [])
        raise not_stored(error) from None
    return row


def _flat(files: Files) -> Iterable[tuple[str, UploadedFile]]:
    for field, several in files.lists():
        if not 0 < len(field) <= NAME_MAX or not field.isprintable():
            raise Rejected(f"A file's field has a name of 1 to {NAME_MAX} printable characters.")
        for file in several:
            yield field, file


def _create_row(field: str, file: UploadedFile, run: Run | None = None) -> RunFile:
    return RunFile.objects.create(
        run=run,
        field=field,
        name=file.name or "",
        content_type="".join(char for char in file.content_type or "" if char.isprintable())[:255],
        size=file.size or 0,
        sha256=digest(file),
        path=f"runs/{timezone.now():%Y/%m/%d}/{uuid7()}",
    )


def _store(row: RunFile, file: UploadedFile) -> None:
    path = default_storage.save(row.path, file)
    if path != row.path:
        row.path = path
        row.save(update_fields=["path"])
    _sync_to_disk(path)


def _sync_to_disk(path: str) -> None:
    """Waits until the file and its folders are on the disk; storage elsewhere does that by itself."""
    try:
        file = Path(default_storage.path(path))
    except NotImplementedError:
        return
    root = Path(default_storage.path(""))
    for inode in (file, *(folder for folder in file.parents if folder.is_relative_to(root))):
        descriptor = os.open(inode, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def attach(*, rows: Collection[RunFile], run: Run) -> None:
    """Gives the stored files to a run, in the transaction that accepts it."""
    RunFile.objects.filter(pk__in=[row.pk for row in rows]).update(run=run)


def copy_files(old: Run, new: Run) -> None:
    """Gives a retry the same stored files."""
    rows = list(RunFile.objects.filter(run=old).order_by("pk"))
    for row in rows:
        row.pk, row.run = None, new
    RunFile.objects.bulk_create(rows)


def files_of(run: Run) -> Files:
    """The files as they were sent; each is opened when it is first read."""
    files: Files = MultiValueDict()
    for row in RunFile.objects.filter(run=run).order_by("pk"):
        files.appendlist(row.field, StoredFile(row))
    return files


class StoredFile(UploadedFile):
    """An uploaded file that waits in the storage."""

    _opened: Any = None

    def __init__(self, row: RunFile) -> None:
        self._path = row.path
        super().__init__(name=row.name, content_type=row.content_type, size=row.size)

    @property
    def file(self) -> Any:
        if self._opened is None:
            self._opened = default_storage.open(self._path)
        return self._opened

    @file.setter
    def file(self, value: Any) -> None:
        self._opened = value

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


def close_files(files: Files) -> None:
    for _, several in files.lists():
        for file in several:
            file.close()


def remove_files(run_ids: Collection[UUID]) -> None:
    """Removes the files of runs that are about to be deleted."""
    discard(list(RunFile.objects.filter(run_id__in=run_ids)))
    remove_abandoned()


def remove_abandoned() -> None:
    """Removes files that were stored for a run which then was not accepted."""
    since = timezone.now() - ABANDONED_AFTER
    discard(list(RunFile.objects.filter(run__isnull=True, created_at__lt=since)[:BATCH]))


def discard(rows: Collection[RunFile]) -> None:
    """Removes files with their rows. The rows stay where the storage is away: by them the files are found later."""
    paths = {row.path for row in rows}
    with transaction.atomic():
        RunFile.objects.filter(pk__in=[row.pk for row in rows]).delete()
        shared = RunFile.objects.filter(path__in=paths).values_list("path", flat=True)
        for path in paths.difference(shared):
            default_storage.delete(path)
