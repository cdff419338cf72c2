"""Transfers one file to one destination, through the gate.

Storages that speak HTTP are called by a program of its own, whose only way out is the gate.
"""

import asyncio
import base64
import json
import mimetypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
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
    """Transfers a file. Raises `Failed` where that cannot succeed, `Unavailable` where it may succeed later."""
    path = "/".join(part for part in (destination.path, name) if part)
    if destination.kind == SFTP:
        sftp.upload(dict(destination.options), path, file, policy)
        return
    media_type, _ = mimetypes.guess_type(name)
    job = {"scheme": destination.kind, "options": options_of(destination), "path": path, "size": size}
    job["type"] = media_type or "application/octet-stream"
    with gate(policy) as proxy:
        answer = _run_upload_program(job, file, proxy.address)
        if answer.get("error"):
            raise _problem(destination, answer, proxy.refused)


def _problem(destination: Destination, answer: dict[str, Any], refused: list[Problem]) -> Problem:
    if refused:
        return refused[0]
    detail = f"{destination.kind} does not take the file: {answer['error']}"
    return Unavailable(detail) if answer.get("again") else Failed(detail)


def options_of(destination: Destination) -> dict[str, str]:
    """The options of opendal for a destination. They keep it from looking for credentials on this machine."""
    sent = destination.options
    match destination.kind:
        case kind if kind == S3:
            options = {"disable_config_load": "true", "disable_ec2_metadata": "true"}
            options |= {} if sent.get("endpoint") else {"enable_virtual_host_style": "true"}
            return options | {
                "bucket": sent["bucket"],
                "region": sent.get("region") or "us-east-1",
                "access_key_id": sent["accessKeyId"],
                "secret_access_key": sent["secretAccessKey"],
                **_rename_present(sent, sessionToken="session_token", endpoint="endpoint"),
            }
        case kind if kind == GCS:
            options = {"disable_config_load": "true", "disable_vm_metadata": "true", "bucket": sent["bucket"]}
            if credential := sent.get("credential"):
                options["credential"] = base64.b64encode(json.dumps(credential).encode()).decode()
            return options | _rename_present(sent, accessToken="token", endpoint="endpoint")
    return _rename_present(
        sent,
        accessToken="access_token",
        refreshToken="refresh_token",
        clientId="client_id",
        clientSecret="client_secret",
    )


def _rename_present(sent: Mapping[str, Any], **new_names: str) -> dict[str, str]:
    """The values that are present, under their new names."""
    return {new_name: str(sent[name]) for name, new_name in new_names.items() if sent.get(name)}


def _run_upload_program(job: dict[str, Any], file: IO[bytes], proxy: str) -> dict[str, Any]:
    with subprocess.Popen(
        [sys.executable, "-m", "extraction.delivery.upload_program"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(proxy),
    ) as process:
        try:
            return _feed(process, job, file)
        finally:
            process.kill()


def _feed(process: "subprocess.Popen[bytes]", job: dict[str, Any], file: IO[bytes]) -> dict[str, Any]:
    """Sends the job and the file to the program; its answer."""
    assert process.stdin
    assert process.stdout
    with suppress(BrokenPipeError):  # it answered before it had read all
        process.stdin.write(json.dumps(job).encode() + b"\n")
        while piece := file.read(PIECE):
            process.stdin.write(piece)
        process.stdin.close()
    try:
        return dict(json.loads(process.stdout.read()))
    except ValueError:
        return {"error": "The upload program ended without an answer.", "again": True}


def environment(proxy: str) -> dict[str, str]:
    """The environment of the upload program: none of the hub's credentials, and no way out but the proxy."""
    inherited = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME")
    variables = {name: os.environ[name] for name in inherited if name in os.environ}
    return variables | {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "ALL_PROXY": proxy, "NO_PROXY": ""}


@contextmanager
def gate(policy: Policy) -> Iterator[GateProxy]:
    """Runs the gate as a proxy, on an event loop in a thread of its own."""
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
