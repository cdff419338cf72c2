"""The folder that holds everything a private hub owns: key, locks, the list of what runs, and the data.

Only its owner can open it. As root, the group of the servers' account may pass through it (mode 0710) and no further.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .os_account import OsAccount, can_execute, change_owner, server_account

DEFAULT_HOME = "var"
OWNER = "owner.lock"
SHARED_DATA = Path("/var/lib")


class CannotStart(Exception):
    """The hub cannot start. `manage.py` prints the message, which is one sentence, and exits with code 2."""


def home_path(path: str | os.PathLike[str] | None = None) -> Path:
    return Path(os.path.abspath(path or os.environ.get("TASKHUB_HOME") or DEFAULT_HOME))


def require_home() -> None:
    """Raises CannotStart where there is no home: whoever only reads one is not to make a new, empty one."""
    if not (home_path() / OWNER).exists():
        raise CannotStart(f"There is no hub in {home_path()}: set TASKHUB_HOME to the home of the hub.")


class HomeLock:
    """A lock between processes (flock), released by the kernel when its holder ends; shared or exclusive."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def share(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def take(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def try_take(self, holder: str) -> bool:
        """Takes the lock if it is free, and writes the holder into its file, as far as the disk has room."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(self.descriptor, 0)
        with suppress(OSError):
            os.write(self.descriptor, holder.encode())
        return True

    def holder(self) -> str:
        return os.pread(self.descriptor, 200, 0).decode(errors="replace").strip() or "another process"


class Home:
    """`$TASKHUB_HOME` as an absolute path, created on first use. Raises CannotStart when it cannot be used.

    A folder that holds other things and that others may enter keeps its mode: somebody may have named /tmp.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = home_path(path)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.listdir(self.path):
                self.path.chmod(0o700)
            self.is_private = _is_closed(self.path)
            (self.path / OWNER).touch(mode=0o600)
        except OSError as error:
            raise CannotStart(
                f"The home {self.path} cannot be used ({error.strerror}): make it writable for this user,"
                " or set TASKHUB_HOME to another folder."
            ) from None

    def secret_key(self) -> str:
        """The key that signs and encrypts, generated once with mode 0600."""
        file = self.path / "secret_key"
        try:
            if not file.exists():
                _write_new(file, secrets.token_urlsafe(48) + "\n")
            key = file.read_text().strip()
        except OSError as error:
            raise CannotStart(f"The secret key {file} cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise CannotStart(f"The secret key {file} cannot be read (it is not text).") from None
        if not key:
            raise CannotStart(f"The secret key {file} is empty: restore it, or remove the file to have a new one made.")
        return key

    @contextmanager
    def lock(self, name: str) -> Iterator[HomeLock]:
        """One of the home's locks, freed at the end of the block."""
        try:
            file = open(self.path / name, "a+")  # noqa: SIM115 - closed below
        except OSError as error:
            raise CannotStart(f"The lock {self.path / name} cannot be opened ({error.strerror}).") from None
        with file:
            yield HomeLock(file.fileno())

    def locate_data(self) -> tuple[Path, OsAccount | None]:
        """The folder of the servers' files, and the account that they run as; None is this user.

        The folder is the home, or one under /var/lib where their account cannot reach the home.
        """
        elsewhere = SHARED_DATA / f"taskhub-{short_hash(self.path)}"
        account = server_account([self.path / "postgres", elsewhere / "postgres"])
        if account is None or can_execute(account, self.path.parent if self.is_private else self.path):
            return self.path, account
        return elsewhere, account

    def open_for(self, account: OsAccount | None, data: Path) -> None:
        """Creates `data`, which `account` may pass through and nobody else may enter."""
        if data == self.path and not self.is_private:
            return
        try:
            data.mkdir(mode=0o700, exist_ok=True)
            if account is not None:
                os.chown(data, -1, account.gid)
            data.chmod(0o700 if account is None else 0o710)
        except OSError as error:
            raise CannotStart(f"The folder {data} cannot be made ready ({error.strerror}).") from None


def _is_closed(folder: Path) -> bool:
    """Whether the folder belongs to this user, and others can at most pass through it."""
    status = folder.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o067


def private_folder(path: Path, account: OsAccount | None) -> None:
    """Creates a folder for `account` alone. Raises CannotStart if it exists and belongs to somebody else."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if path.is_symlink() or status.st_uid not in (os.geteuid(), account.uid if account else os.geteuid()):
        raise CannotStart(f"The folder {path} belongs to somebody else: remove it.")
    change_owner(path, account)


def short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _write_new(file: Path, text: str) -> None:
    """Creates a file whole or not at all, and never replaces one."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink(missing_ok=True)
