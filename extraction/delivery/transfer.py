"""One file, to one destination. Through the gate: what speaks HTTP runs as a program whose only way out it is."""

import asyncio
import base64
import json
import mimetypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from extraction.delivery import sftp
from extraction.domain.destinations import GCS, S3, SFTP, Destination
from taskhub.errors import Failed, Problem, Unavailable
from taskhub.outbound import Policy
from taskhub.outbound.proxy import GateProxy

PIECE = 1024 * 1024
ANSWERS_MAX = 64 * 1024 * 1024  # bytes that come back, of all calls of one delivery


def deliver(destination: Destination, name: str, file: IO[bytes], size: int, policy: Policy) -> None:
    """Raises `Failed` where it cannot succeed so, `Unavailable` where it may later."""
    path = "/".join(part for part in (destination.path, name) if part)
    if destination.kind == SFTP:
        sftp.put(dict(destination.options), path, file, policy)
        return
    kind, _ = mimetypes.guess_type(name)
    asked = {"scheme": destination.kind, "options": options_of(destination), "path": path, "size": size}
    asked["type"] = kind or "application/octet-stream"
    with gate(policy) as proxy:
        answer = _uploaded(asked, file, proxy.address)
        if answer.get("error"):
            raise _problem(destination, answer, proxy.refused)


def _problem(destination: Destination, answer: dict[str, Any], refused: list[Problem]) -> Problem:
    if refused:
        return refused[0]
    words = f"{destination.kind} does not take the file: {answer['error']}"
    return Unavailable(words) if answer.get("again") else Failed(words)


def options_of(destination: Destination) -> dict[str, str]:
    """As opendal names them. What it would look for on the machine itself, it is told not to."""
    given = destination.options
    match destination.kind:
        case kind if kind == S3:
            own = {"disable_config_load": "true", "disable_ec2_metadata": "true"}
            own |= {} if given.get("endpoint") else {"enable_virtual_host_style": "true"}
            return own | {
                "bucket": given["bucket"],
                "region": given.get("region") or "us-east-1",
                "access_key_id": given["accessKeyId"],
                "secret_access_key": given["secretAccessKey"],
                **_if(given, sessionToken="session_token", endpoint="endpoint"),
            }
        case kind if kind == GCS:
            own = {"disable_config_load": "true", "disable_vm_metadata": "true", "bucket": given["bucket"]}
            if credential := given.get("credential"):
                own["credential"] = base64.b64encode(json.dumps(credential).encode()).decode()
            return own | _if(given, accessToken="token", endpoint="endpoint")
    return _if(
        given,
        accessToken="access_token",
        refreshToken="refresh_token",
        clientId="client_id",
        clientSecret="client_secret",
    )


def _if(given: Any, **names: str) -> dict[str, str]:
    return {theirs: str(given[ours]) for ours, theirs in names.items() if given.get(ours)}


def _uploaded(asked: dict[str, Any], file: IO[bytes], gateway: str) -> dict[str, Any]:
    with subprocess.Popen(
        [sys.executable, "-m", "extraction.delivery.upload_program"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(gateway),
    ) as process:
        try:
            return _fed(process, asked, file)
        finally:
            process.kill()


def _fed(process: "subprocess.Popen[bytes]", asked: dict[str, Any], file: IO[bytes]) -> dict[str, Any]:
    assert process.stdin
    assert process.stdout
    with suppress(BrokenPipeError):  # it has answered before it was sent all
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        while piece := file.read(PIECE):
            process.stdin.write(piece)
        process.stdin.close()
    try:
        return dict(json.loads(process.stdout.read()))
    except ValueError:
        return {"error": "The program that sends it fell.", "again": True}


def environment(gateway: str) -> dict[str, str]:
    """Nothing of the hub's own: no credentials, no other proxies."""
    kept = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME") if name in os.environ}
    return kept | {"HTTPS_PROXY": gateway, "HTTP_PROXY": gateway, "ALL_PROXY": gateway, "NO_PROXY": ""}


@contextmanager
def gate(policy: Policy) -> Iterator[GateProxy]:
    """The gate as a proxy, which serves in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="gate", daemon=True)
    thread.start()
    proxy = GateProxy(policy, max_bytes=ANSWERS_MAX)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
