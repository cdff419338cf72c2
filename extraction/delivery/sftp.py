"""SFTP: to the server whose key is known, through a connection that the gate made."""

import asyncio
import socket
from pathlib import PurePosixPath
from typing import IO, Any

import asyncssh

from taskhub.errors import Failed, Unavailable
from taskhub.outbound import Policy, Unreachable, resolve

PIECE = 256 * 1024
SECONDS = 30  # to connect and to log in
PORT = 22


def put(options: dict[str, Any], path: str, file: IO[bytes], policy: Policy) -> None:
    """Writes the file beside its place, and renames it: whole or not at all. Raises `Problem`."""
    asyncio.run(_put(options, path, file, policy))


async def _put(options: dict[str, Any], path: str, file: IO[bytes], policy: Policy) -> None:
    known = _Known(options["hostKey"])
    reached = await asyncio.to_thread(_connected, options["host"], int(options.get("port") or PORT), policy)
    try:
        async with (
            asyncssh.connect(
                sock=reached,
                login_timeout=SECONDS,
                connect_timeout=SECONDS,
                config=None,
                known_hosts=b"",  # none is known in advance: each is asked for below
                client_factory=lambda: known,
                username=options["user"],
                password=options.get("password"),
                client_keys=_keys(options),
                agent_path=None,
            ) as connection,
            connection.start_sftp_client() as client,
        ):
            await _write(client, path, file)
    except asyncssh.KeyImportError as error:
        raise Failed(f"The private key cannot be read: {error}.") from None
    except asyncssh.HostKeyNotVerifiable:
        raise Failed(f"The server shows another key, {known.seen}; put it in hostKey if it is the right one.") from None
    except asyncssh.PermissionDenied:
        raise Failed("The server refuses the user or the password.") from None
    except asyncssh.SFTPError as error:
        raise Failed(f"The server does not take the file: {error.reason}.") from None
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise Unavailable(f"The server broke off: {type(error).__name__}.") from None
    finally:
        reached.close()


class _Known(asyncssh.SSHClient):
    """Takes the one key whose fingerprint is known."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint, self.seen = fingerprint, ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.seen = key.get_fingerprint()
        return self.seen == self.fingerprint


def _keys(options: dict[str, Any]) -> Any:
    text = options.get("privateKey")
    return [asyncssh.import_private_key(text, options.get("passphrase"))] if text else None


def _connected(host: str, port: int, policy: Policy) -> socket.socket:
    """To one of the addresses that were checked, each tried in order."""
    for address in resolve(host, port, policy):
        try:
            return socket.create_connection((address, port), policy.connect_timeout)
        except OSError:
            continue
    raise Unreachable(f"{host} does not take connections.")


async def _write(client: Any, path: str, file: IO[bytes]) -> None:
    folder = str(PurePosixPath(path).parent)
    if folder not in {".", "/"}:
        await client.makedirs(folder, exist_ok=True)
    beside = f"{path}.part"
    async with client.open(beside, "wb") as sink:
        while piece := file.read(PIECE):
            await sink.write(piece)
    await client.posix_rename(beside, path)
