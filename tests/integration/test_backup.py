"""Back-ups: made of a hub that runs, restored into a home of any name; and what is no back-up is refused."""

import errno
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from taskhub.embedded import client_programs
from taskhub.management import backup_archive
from taskhub.management.database_dump import _without_newer_settings
from tests.hub import PASSWORD, ROOT, Hub
from tests.plain_environment import plain_environment

READ = """
import json
from django.conf import settings
from taskhub.accounts.models import User
from taskhub.runs.models import Run
from taskhub.runs.webhooks.models import WebhookSecret
user = User.objects.get(email={email!r})
print(json.dumps([
    user.check_password({password!r}),
    Run.objects.get(pk={run!r}).result["report"],
    WebhookSecret.objects.get(owner=user).value,
    (settings.HOME / "files" / "canary.txt").read_text(),
]))
"""


def manage(environment: dict[str, str], *arguments: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.timeout(600)
def test_a_hub_that_runs_is_restored_into_a_home_with_spaces(hub: Hub) -> None:
    user, environment = hub.sign_up(), dict(hub.environment)
    run = user.post("/js/walker_run", {"name": "echo", "ctx": {"value": "kept"}, "is_async": True}).json()["task_id"]
    assert user.get(f"/js/walker_queue_wait?task_id={run}&timeout=60").json()["state"] == "SUCCESS"
    secret = user.get("/webhooks/secret").json()["current"]["secret"]
    (hub.home / "files").mkdir(exist_ok=True)
    (hub.home / "files" / "canary.txt").write_text("kept, too")
    with TemporaryDirectory(prefix="back ups ") as folder:
        archive = Path(folder, "hub's back-up.tar")
        made = manage(environment, "backup", str(archive))
        assert made.returncode == 0, made.stderr
        assert archive.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in Path(folder).iterdir()] == [archive.name]
        refusal(manage(environment, "backup", str(archive)), "exists already")
        refusal(manage(environment, "restore", str(archive), "--replace"), "stop it first")

        new = {**environment, "TASKHUB_HOME": str(Path(folder, 'a "new" home'))}
        restored = manage(new, "restore", str(archive))
        assert restored.returncode == 0, restored.stderr
        refusal(manage(new, "restore", str(archive)), "has tables already")
        assert manage(new, "restore", str(archive), "--replace").returncode == 0
        code = READ.format(email=user.email, password=PASSWORD, run=run)
        read = manage(new, "shell", "-v", "0", "--no-imports", "-c", code)
        assert json.loads(read.stdout) == [True, ["kept"], secret, "kept, too"], read.stderr


def refusal(done: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def text_file(path: Path) -> None:
    path.write_text("some text")


def tar(path: Path, members: dict[str, bytes], link: str = "") -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
            archive.addfile(entry)


def back_up(**changes: bytes) -> Callable[[Path], None]:
    manifest = {"format": 1, "taskhub": "0.1.0", "dump_bytes": 4}
    whole = {"manifest.json": json.dumps(manifest).encode(), "database.dump": b"dump", "secret_key": b"key"}
    return lambda path: tar(path, whole | changes)


def cut(path: Path) -> None:
    back_up(**{"files/long": bytes(50_000)})(path)
    path.write_bytes(path.read_bytes()[:20_000])


NEWER = json.dumps({"format": 2, "taskhub": "9.0.0", "dump_bytes": 4}).encode()
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing there": (lambda path: None, "cannot be restored: No such file"),
    "no archive": (text_file, "no back-up of taskhub"),
    "a cut archive": (cut, "no back-up of taskhub, or is not whole"),
    "another archive": (lambda path: tar(path, {"readme.txt": b"hello"}), "has 'readme.txt', which none has"),
    "a path outside": (back_up(**{"files/../../evil": b"x"}), "which none has"),
    "an absolute path": (back_up(**{"/files/evil": b"x"}), "which none has"),
    "a link": (lambda path: tar(path, {}, link="files/link"), "has 'files/link', which none has"),
    "no manifest": (lambda path: tar(path, {"secret_key": b"key"}), "no manifest"),
    "a newer format": (back_up(**{"manifest.json": NEWER}), "made by taskhub 9.0.0"),
    "half a dump": (back_up(**{"database.dump": b"du"}), "not whole"),
    "another key": (back_up(), "TASKHUB_SECRET_KEY lacks the key"),
}


@pytest.mark.parametrize("sort", REFUSED)
def test_what_is_no_back_up_of_this_hub_is_refused(tmp_path: Path, settings: Any, sort: str) -> None:
    make, words = REFUSED[sort]
    settings.HOME = tmp_path
    make(tmp_path / "archive")
    with pytest.raises(CommandError, match=words):
        call_command("restore", tmp_path / "archive")
    assert {path.name for path in tmp_path.iterdir()} <= {"archive"}


def test_an_archive_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file"):
        call_command("backup", tmp_path / "missing" / "archive")


def test_where_there_is_no_hub_nothing_is_backed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the command is called in another folder: no new home is made there, and no archive of nothing."""
    done = manage(plain_environment(), "backup", "hub.tar", folder=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        f"There is no hub in {tmp_path}/var: set TASKHUB_HOME to the home of the hub.\n",
    )
    monkeypatch.setattr(backup_archive, "_table_count", lambda: 0)
    with pytest.raises(CommandError, match="holds no hub"):
        call_command("backup", tmp_path / "hub.tar")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db
def test_a_database_that_is_away_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.HOME = tmp_path
    back_up(secret_key=settings.SECRET_KEYS[0].encode())(tmp_path / "archive")

    def be_away() -> int:
        raise OperationalError("connection failed: Connection refused\nIs it running?")

    monkeypatch.setattr(backup_archive, "_table_count", be_away)
    for command, archive in (("restore", tmp_path / "archive"), ("backup", tmp_path / "other")):
        with pytest.raises(CommandError, match=r"^The database cannot be used: connection failed: Connection refused$"):
            call_command(command, archive)


@pytest.mark.django_db(transaction=True)
def test_an_archive_is_written_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def refuse(*places: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    settings.HOME = tmp_path
    settings.DATABASE_URL = f"{settings.DATABASE_URL.rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    monkeypatch.setattr(os, "link", refuse)
    call_command("backup", tmp_path / "archive")
    with tarfile.open(tmp_path / "archive") as archive:
        assert archive.getnames() == ["manifest.json", "database.dump", "secret_key"]


@pytest.mark.parametrize(("version", "is_first"), [("9.6.24", True), ("99.1 (Debian 99.1-1)", False)])
def test_the_programs_of_postgresql_are_known_by_their_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_first: bool
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = client_programs("pg_dump")
    assert len(found) == 2
    assert [path for _, path in found].index(str(program)) == (0 if is_first else 1)


def test_older_servers_are_not_told_what_they_do_not_know() -> None:
    head = [b"SET statement_timeout = 0;\n", b"SET transaction_timeout = 0;\n"]
    body = [b"CREATE TABLE a (b text);\n", b"COPY a (b) FROM stdin;\n", b"SET transaction_timeout = 0;\n", b"\\.\n"]
    assert list(_without_newer_settings([*head, *body])) == [head[0], *body]
