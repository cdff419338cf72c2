"""Files of results, in the storage of results: on this machine's disk, or elsewhere."""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.files import File
from django.core.files.storage import storages

from taskhub.errors import Unavailable
from taskhub.interruption import waiting

Value = TypeVar("Value")

log = logging.getLogger(__name__)

STORAGE = "results"
WRITING = ".writing"  # the folder of files that are being written
ABANDONED_SECONDS = 24 * 3600  # without a byte; then nobody writes it any more


def result_storage() -> Any:
    return storages[STORAGE]


def result_topic(process_id: str) -> str:
    """What is published when the file of a process was written, or is given up."""
    return f"results of {process_id}"


def store_result(name: str, pieces: Iterator[bytes]) -> int:
    """Stores a file, whole or not at all; returns its size. Raises `OSError` where there is no room, or no storage."""
    path, folder = _local_path(name), _local_path(WRITING)
    if path and folder:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
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


def delete_abandoned() -> None:
    """Deletes files whose writers were killed before they were whole."""
    folder = _local_path(WRITING)
    for path in folder.iterdir() if folder and folder.is_dir() else ():
        with suppress(FileNotFoundError):  # it is whole by now
            if path.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                path.unlink()


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
