"""Who the private servers run as. PostgreSQL refuses root, so root hands them to an unprivileged account."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

CANDIDATES = ("taskhub", "postgres", "nobody")


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int


class Identity(TypedDict, total=False):
    """Arguments of `subprocess.Popen` that start a program as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


def identity(account: Account | None) -> Identity:
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def server_account(*, owner_of: Path) -> Account | None:
    """The account for the servers; None when this user can run them itself.

    Data that exists stays with its owner, so that a new account on the machine does not lock it out.
    """
    if os.geteuid() != 0:
        return None
    if owner_of.exists() and (owner := owner_of.stat().st_uid):
        return _account(pwd.getpwuid(owner))
    for name in CANDIDATES:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise LookupError(f"none of the accounts {', '.join(CANDIDATES)} exists")


def can_execute(account: Account, path: Path) -> bool:
    """Whether `account` may run the file, or pass through the folder, at `path`. Asks the system, so ACLs count."""
    return subprocess.run(["/bin/sh", "-c", '[ -x "$1" ]', "sh", path], cwd="/", **identity(account)).returncode == 0


def give(path: Path, account: Account | None) -> None:
    """Hand a folder over to the servers' account, closed to everybody else."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700)


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
