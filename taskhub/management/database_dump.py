"""The hub's database in one file, as `pg_dump --format=custom` writes it: dumped, and restored into any server."""

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import psycopg.conninfo
from django.conf import settings
from django.db import connection

from taskhub.embedded import client_programs

NEWER_SETTINGS = 17  # from this version on PostgreSQL's programs set what earlier servers do not know


class DumpError(Exception):
    """A database cannot be dumped or restored; the message is the line in which a program says why."""


def dump_database(dump: Path) -> None:
    """Writes the hub's database to a new file, by the oldest program that knows the server.

    A newer one may write what the server itself does not know. Raises `DumpError`.
    """
    server, programs = _server_version(), client_programs("pg_dump")
    program = next((path for version, path in programs if version >= server), programs[-1][1])
    _run_postgres(program, "--format=custom", "--no-owner", "--no-privileges", "--file", str(dump))


def restore_database(dump: Path) -> None:
    """Restores a dump into the hub's database, in one transaction, by the newest program, which reads all dumps.

    What it sets, and an older server does not know, is left out. Raises `DumpError`.
    """
    newest, program = client_programs("pg_restore")[-1]
    options = ["--no-owner", "--no-privileges"]
    if newest < NEWER_SETTINGS or _server_version() >= NEWER_SETTINGS:
        _run_postgres(program, "--single-transaction", *options, str(dump))
        return
    script = dump.with_suffix(".sql")
    _run(program, *options, f"--file={script}", str(dump))
    psql = client_programs("psql")[-1][1]
    with open(script, "rb") as lines:
        known = _without_newer_settings(lines)
        _run_postgres(psql, "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", lines=known)
    script.unlink()


def _without_newer_settings(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a script, without those at its head that set what older servers do not know."""
    is_head = True
    for line in lines:
        is_head = is_head and not line.startswith(b"CREATE ")
        if not (is_head and line.startswith(b"SET transaction_timeout ")):
            yield line


def _server_version() -> int:
    with connection.cursor():
        return int(connection.connection.info.server_version) // 10_000


def _run_postgres(program: str, *arguments: str, lines: Iterable[bytes] = ()) -> None:
    """Runs a program against the hub's database, and lets it read `lines`. Raises `DumpError`."""
    address = psycopg.conninfo.conninfo_to_dict(settings.DATABASE_URL)
    password = str(address.pop("password", "") or "")
    variables = {"PGPASSWORD": password} if password else {}  # where no list of processes shows it
    _run(program, "--dbname", psycopg.conninfo.make_conninfo("", **address), *arguments, lines=lines, **variables)


def _run(program: str, *arguments: str, lines: Iterable[bytes] = (), **variables: str) -> None:
    """Raises `DumpError` with the line in which a program says why it fails."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [program, *arguments], env={**os.environ, **variables}, stdin=subprocess.PIPE, stdout=said, stderr=said
        )
        with suppress(BrokenPipeError), process:
            cast(IO[bytes], process.stdin).writelines(lines)
        if process.returncode:
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
            telling = next((line for line in words if "error" in line.lower()), words[-1])
            raise DumpError(f"{Path(program).name} failed: {telling}")
