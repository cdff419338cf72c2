"""Uploads by SFTP, to a server whose host key is known, through a tunnel of the gate. Runs in the upload program."""

import asyncio
import socket
from pathlib import PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

import asyncssh

from taskhub.errors import Failed, Unavailable

PIECE = 256 * 1024
LOGIN_SECONDS = 30  # to greet and to log in
PORT = 22


def upload(options: dict[str, Any], path: str, file: IO[bytes], proxy: str) -> None:
    """Uploads a file under a temporary name and renames it, so it arrives whole or not at all. Raises `Problem`."""
    asyncio.run(_upload(options, path, file, proxy))


async def _upload(options: dict[str, Any], path: str, file: IO[bytes], proxy: str) -> None:
    host_client = KnownHostClient(options["hostKey"])
    connected_socket = _open_tunnel(options["host"], int(options.get("port") or PORT), proxy)
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
    except TimeoutError:
        raise Unavailable(f"The server did not let anybody log in within {LOGIN_SECONDS} seconds.") from None
    except (asyncssh.Error, OSError) as error:
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


def _open_tunnel(host: str, port: int, proxy: str) -> socket.socket:
    """Connects through the gate, which knows best why it does not. Raises `Unavailable`."""
    gate = urlsplit(proxy)
    connection = socket.create_connection((gate.hostname or "", gate.port or 0))
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):  # what follows is the server's greeting
        head += byte
    if head.split(b" ")[1:2] != [b"200"]:
        connection.close()
        raise Unavailable("The gate does not connect.")
    return connection


async def _write(client: Any, path: str, file: IO[bytes]) -> None:
    folder = str(PurePosixPath(path).parent)
    if folder not in {".", "/"}:
        await client.makedirs(folder, exist_ok=True)
    temporary_path = f"{path}.part"
    async with client.open(temporary_path, "wb") as sink:
        while piece := file.read(PIECE):
            await sink.write(piece)
    await client.posix_rename(temporary_path, path)
