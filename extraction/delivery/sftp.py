"""Uploads by SFTP, to a server whose host key is known, over a connection to an address that the gate checked."""

import asyncio
import socket
from pathlib import PurePosixPath
from typing import IO, Any

import asyncssh

from taskhub.errors import Failed, Unavailable
from taskhub.outbound import Policy, Unreachable, resolve

PIECE = 256 * 1024
LOGIN_SECONDS = 30  # to connect and to log in
PORT = 22


def upload(options: dict[str, Any], path: str, file: IO[bytes], policy: Policy) -> None:
    """Uploads a file under a temporary name and renames it, so it arrives whole or not at all. Raises `Problem`."""
    asyncio.run(_upload(options, path, file, policy))


async def _upload(options: dict[str, Any], path: str, file: IO[bytes], policy: Policy) -> None:
    host_client = KnownHostClient(options["hostKey"])
    connected_socket = await asyncio.to_thread(
        _open_connection, options["host"], int(options.get("port") or PORT), policy
    )
    try:
        async with (
            asyncssh.connect(
                sock=connected_socket,
                login_timeout=LOGIN_SECONDS,
                connect_timeout=LOGIN_SECONDS,
                config=None,
                known_hosts=b"",  # empty, so that `KnownHostClient` checks every key
                client_factory=lambda: host_client,
                username=options["user"],
                password=options.get("password"),
                client_keys=_private_keys(options),
                agent_path=None,
            ) as connection,
            connection.start_sftp_client() as client,
        ):
            await _write(client, path, file)
    except asyncssh.KeyImportError as error:
        raise Failed(f"The private key cannot be read: {error}.") from None
    except asyncssh.HostKeyNotVerifiable:
        raise Failed(
            f"The server shows another key, {host_client.offered}; put it in hostKey if it is the right one."
        ) from None
    except asyncssh.PermissionDenied:
        raise Failed("The server refuses the user or the password.") from None
    except asyncssh.SFTPError as error:
        raise Failed(f"The server does not take the file: {error.reason}.") from None
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise Unavailable(f"The server broke off: {type(error).__name__}.") from None
    finally:
        connected_socket.close()


class KnownHostClient(asyncssh.SSHClient):
    """Accepts the one host key whose fingerprint is known; `offered` is the fingerprint of the server's."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint, self.offered = fingerprint, ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.offered = key.get_fingerprint()
        return self.offered == self.fingerprint


def _private_keys(options: dict[str, Any]) -> Any:
    key = options.get("privateKey")
    return [asyncssh.import_private_key(key, options.get("passphrase"))] if key else None


def _open_connection(host: str, port: int, policy: Policy) -> socket.socket:
    """Connects to the first of the host's checked addresses that answers. Raises `Unreachable` where none does."""
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
    temporary_path = f"{path}.part"
    async with client.open(temporary_path, "wb") as sink:
        while piece := file.read(PIECE):
            await sink.write(piece)
    await client.posix_rename(temporary_path, path)
