"""A back-up of a hub in one file: a tar archive of its database, secret key and files.

    manifest.json   version of the archive and of taskhub, time, size of the dump
    database.dump   what `pg_dump --format=custom` writes
    secret_key      the keys that encrypt what is stored, newest first
    files/...       files of runs, results and logs

The database is dumped before the files are read, so each file that it names is there, but those that are deleted
meanwhile. Redis holds nothing that must be kept.
"""

import io
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, ProgrammingError, connection

import taskhub
from taskhub.management.database_dump import DumpError, dump_database, restore_database
from taskhub.runs.models import Leadership, Worker, live_workers
from taskhub.runs.scheduler.leadership import is_led

FORMAT = 1
MANIFEST, DUMP, KEY, FILES = "manifest.json", "database.dump", "secret_key", "files"

Say = Callable[[str], object]


class ArchiveError(Exception):
    """A back-up cannot be made or restored; the message is a sentence for the operator."""


def write_archive(path: Path, say: Say) -> None:
    """Writes the back-up of this hub, which may run, to a new file that only this user can read.

    The file appears whole or not at all. Raises `ArchiveError`.
    """
    if path.exists():
        raise ArchiveError(f"{path} exists already: choose another name.")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=path.parent) as folder:
            dump, draft = Path(folder, DUMP), Path(folder, "archive")
            if not _table_count():
                raise ArchiveError("The database holds no hub: set TASKHUB_HOME or DATABASE_URL to those of the hub.")
            dump_database(dump)
            say(f"database: {dump.stat().st_size:,} bytes")
            with _new_file(draft) as file:
                with tarfile.open(fileobj=file, mode="w") as archive:
                    count = _add_all(archive, dump)
                file.flush()
                os.fsync(file.fileno())
            _put_at(draft, path)
        say(f"files: {count:,}")
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written: {error.strerror or error}.") from None
    except DumpError as error:
        raise ArchiveError(str(error)) from None
    except OperationalError as error:
        raise _out_of_reach(error) from None


def restore_archive(path: Path, say: Say, *, replace: bool) -> None:
    """Restores a back-up into this home and database, which must be empty unless `replace`; then migrates.

    The files are unpacked beside those that are there, and take their place when the database is restored, which is one
    transaction. After an interruption it can be called again with `replace`. Raises `ArchiveError`.
    """
    try:
        with tarfile.open(path, "r:") as archive, tempfile.TemporaryDirectory(prefix=".restore-", dir=_home()) as name:
            folder = Path(name)
            _unpack(archive, folder)
            _check_manifest(folder)
            _check_key(folder)
            _empty_database(replace=replace)
            restore_database(folder / DUMP)
            say("database: restored")
            call_command("migrate", verbosity=0)
            # Those were of the hub that was backed up: nothing of this one runs.
            Worker.objects.all().delete()
            Leadership.objects.all().delete()
            _put_in_place(folder)
            say(f"files: {sum(1 for file in (_home() / FILES).rglob('*') if file.is_file()):,}")
    except tarfile.TarError:
        raise ArchiveError(f"{path} is no back-up of taskhub, or is not whole.") from None
    except OSError as error:
        raise ArchiveError(f"{path} cannot be restored: {error.strerror or error}.") from None
    except DumpError as error:
        raise ArchiveError(str(error)) from None
    except OperationalError as error:
        raise _out_of_reach(error) from None


def _out_of_reach(error: OperationalError) -> ArchiveError:
    return ArchiveError(f"The database cannot be used: {(str(error).strip() or 'it is away').splitlines()[0]}")


def _home() -> Path:
    return Path(settings.HOME)


def _put_at(draft: Path, path: Path) -> None:
    """Gives a file its name; never over a file that came meanwhile, where the file system has hard links."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # as on many sticks and network shares
        draft.rename(path)


def _new_file(path: Path) -> IO[bytes]:
    """A new file that only this user can read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


# Writing


def _add_all(archive: tarfile.TarFile, dump: Path) -> int:
    """Adds everything; returns the number of files of the hub."""
    manifest = {
        "format": FORMAT,
        "taskhub": taskhub.__version__,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "dump_bytes": dump.stat().st_size,
    }
    _add(archive, MANIFEST, io.BytesIO(json.dumps(manifest, indent=1).encode()))
    with open(dump, "rb") as file:
        _add(archive, DUMP, file)
    _add(archive, KEY, io.BytesIO(",".join(settings.SECRET_KEYS).encode()))
    count = 0
    for place in _files():
        with suppress(FileNotFoundError), open(place, "rb") as file:  # the hub may have deleted it by now
            _add(archive, PurePosixPath(FILES, place.relative_to(_home() / FILES)).as_posix(), file)
            count += 1
    return count


def _files() -> Iterator[Path]:
    for folder, _, names in os.walk(_home() / FILES):
        yield from (Path(folder, name) for name in names)


def _add(archive: tarfile.TarFile, name: str, file: IO[bytes]) -> None:
    """Adds what the file holds at this moment; what is appended to it later is left out."""
    entry = tarfile.TarInfo(name)
    entry.size = file.seek(0, os.SEEK_END)
    entry.mtime, entry.mode = int(time.time()), 0o600
    file.seek(0)
    archive.addfile(entry, file)


# Restoring


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpacks the members that a back-up has, and refuses any other: an archive may come from anywhere."""
    for entry in archive:
        parts = PurePosixPath(entry.name).parts
        known = parts[:1] == (FILES,) or entry.name in (MANIFEST, DUMP, KEY)
        if not known or not entry.isfile() or ".." in parts:
            raise ArchiveError(f"The back-up has {entry.name!r}, which none has.")
        place = folder.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        content = archive.extractfile(entry)
        with _new_file(place) as file:
            shutil.copyfileobj(content or io.BytesIO(), file)


def _check_manifest(folder: Path) -> None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        known, size = manifest["format"] == FORMAT, manifest["dump_bytes"]
    except (OSError, ValueError, LookupError, TypeError):
        raise ArchiveError("The archive has no manifest of a back-up of taskhub.") from None
    if not known:
        raise ArchiveError(f"The back-up was made by taskhub {manifest.get('taskhub')}: restore it with that version.")
    if not (folder / DUMP).exists() or (folder / DUMP).stat().st_size != size or not (folder / KEY).exists():
        raise ArchiveError("The back-up is not whole.")


def _has_key_file() -> bool:
    """Whether the hub's key is in its home, and not only in the environment."""
    file = _home() / KEY
    return settings.PRIVATE and file.exists() and file.read_text().strip() == os.environ.get("TASKHUB_SECRET_KEY")


def _check_key(folder: Path) -> None:
    """A hub whose key comes from the environment must have that of the back-up; a home gets it as a file."""
    newest = (folder / KEY).read_text().split(",")[0].strip()
    if not _has_key_file() and newest not in settings.SECRET_KEYS:
        raise ArchiveError(
            "TASKHUB_SECRET_KEY lacks the key of the back-up, so stored secrets could not be read: take `secret_key`"
            " out of the archive (tar --extract), and add it to the variable."
        )


def _empty_database(*, replace: bool) -> None:
    if not _table_count():
        return
    if not replace:
        raise ArchiveError(
            "The database has tables already: restore into an empty one, in another TASKHUB_HOME or by another"
            " DATABASE_URL, or say --replace to lose what it holds."
        )
    if _is_running():
        raise ArchiveError("A hub uses this database: stop it first.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        (schema,) = cursor.fetchone()
        cursor.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")


def _table_count() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()")
        return int(cursor.fetchone()[0])


def _is_running() -> bool:
    """Whether a worker or beat of this hub has given a sign of life in the last seconds."""
    try:
        return live_workers().exists() or is_led("beat")
    except ProgrammingError:  # tables of something else
        return False


def _put_in_place(folder: Path) -> None:
    """Replaces the files of the home, and its key unless the environment has it."""
    files = _home() / FILES
    if files.exists():
        files.rename(folder / "files-before")
    (folder / FILES).mkdir(exist_ok=True)
    (folder / FILES).rename(files)
    if _has_key_file():
        (folder / KEY).replace(_home() / KEY)
