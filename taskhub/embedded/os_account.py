"""The account that the private servers run as. PostgreSQL does not run as root, so root chooses an unprivileged one."""

import os
import pwd
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

CANDIDATES = ("taskhub", "postgres", "nobody")


@dataclass(frozen=True)
class OsAccount:
    name: str
    uid: int
    gid: int


NOBODY = OsAccount("nobody", 65534, 65534)


class PopenIdentity(TypedDict, total=False):
    """Arguments of `subprocess.Popen` that start a program as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


def identity(account: OsAccount | None) -> PopenIdentity:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def server_account(data: Iterable[Path]) -> OsAccount | None:
    """The account for the servers; None when this user can run them itself.

    Data that exists (the first of `data`) stays with its owner: a new account on the machine must not lock it out.
    """
    if os.geteuid() != 0:
        return None
    for folder in data:
        if folder.exists() and (status := folder.stat()).st_uid:
            return OsAccount(f"user {status.st_uid}", status.st_uid, status.st_gid)
    for name in CANDIDATES:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return OsAccount(name, entry.pw_uid, entry.pw_gid)
    return NOBODY


def can_execute(account: OsAccount, path: Path) -> bool:
    """Whether `account` may run the file, or pass through the folder, at `path`. Asks the system, so ACLs count."""
    try:
        test = subprocess.run(["/bin/sh", "-c", '[ -x "$1" ]', "sh", path], cwd="/", **identity(account))
    except OSError:  # a root that may not become somebody else, as in some containers
        return False
    return test.returncode == 0


def change_owner(path: Path, account: OsAccount | None) -> None:
    """Makes the account the folder's owner, and closes the folder to everybody else."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700)
