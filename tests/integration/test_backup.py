"""Back-ups: made of a hub that runs, restored into a home of any name; and what is no back-up is refused."""

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.hub import PASSWORD, ROOT, Hub

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


def manage(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


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
