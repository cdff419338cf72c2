"""The folder that holds everything a private hub owns: key, locks, the list of what runs, and the data.

Only its owner can open it. As root, the group of the servers' account may pass through it (mode 0710) and no further.
"""

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .account import Account, can_execute, server_account

DEFAULT_HOME = "var"
SHARED_DATA = Path("/var/lib")


class CannotStart(Exception):
    """One clear sentence for the person who started the hub; `manage.py` prints it and exits with code 2."""


class Lock:
    """A lock between processes; taking it again changes its kind."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def share(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def take(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def try_take(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Home:
    """`$TASKHUB_HOME`, created on first use.

    `path` is absolute; `data` is where the servers keep their files: the home itself, or a folder under /var/lib when
    the servers' account cannot reach the home.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(os.path.abspath(path or os.environ.get("TASKHUB_HOME") or DEFAULT_HOME))
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, os.strerror(13))
        except OSError as error:
            raise CannotStart(
                f"The home {self.path} cannot be used ({error.strerror}): make it writable for this user"
                " or set TASKHUB_HOME to another folder."
            ) from None

    def secret_key(self) -> str:
        """The key that signs and encrypts, generated once with mode 0600."""
        file = self.path / "secret_key"
        with suppress(FileExistsError, OSError):
            _write_new(file, secrets.token_urlsafe(48))
        try:
            key = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise CannotStart(f"The secret key {file} cannot be read ({reason}).") from None
        if not key:
            raise CannotStart(f"The secret key {file} is empty: restore it, or remove the file to have a new one made.")
        return key

    @contextmanager
    def lock(self, name: str) -> Iterator["Lock"]:
        """One of the home's locks, freed at the end of the block or of this process."""
        with open(self.path / name, "a") as file:
            yield Lock(file.fileno())

    def data(self, account: Account | None) -> Path:
        """Where servers running as `account` keep their files; made reachable for them and closed to others."""
        if account is None:
            self.path.chmod(0o700)
            return self.path
        if can_execute(account, self.path.parent):
            folder = self.path
        else:
            folder = SHARED_DATA / f"taskhub-{short_hash(self.path)}"
        try:
            folder.mkdir(mode=0o710, exist_ok=True)
            os.chown(folder, -1, account.gid)
            folder.chmod(0o710)
        except OSError as error:
            raise CannotStart(
                f"The folder {folder} for the data of {account.name} cannot be made ({error.strerror})."
            ) from None
        return folder

    def account(self) -> Account | None:
        """Who the servers run as: None is this user; never root."""
        return server_account(owner_of=self.path / "postgres")


def short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _write_new(file: Path, text: str) -> None:
    """Create `file` whole or not at all, never over another one."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, file)
    finally:
        draft.unlink()
