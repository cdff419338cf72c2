"""Transfers one file to one destination, through the gate, within a time.

A program of its own transfers it, whose only way out is the gate: so a delivery can be ended at any moment, whatever
its library waits for.
"""

import asyncio
import base64
import json
import mimetypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import IO, Any

from django.conf import settings

from extraction.domain.destinations import GCS, S3, SFTP, Destination
from taskhub.errors import Failed, Problem, Unavailable
from taskhub.outbound import Policy, Unreachable
from taskhub.outbound.proxy import GateProxy

PIECE = 1024 * 1024
ANSWERS_MAX = 64 * 1024 * 1024  # bytes that come back, of all calls of one delivery
CHECK_SECONDS = 0.5

Answer = dict[str, Any]


def deliver(
    destination: Destination,
    name: str,
    file: IO[bytes],
    size: int,
    policy: Policy,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Transfers a file within EXTRACTION_DELIVERY_SECONDS; `check` is called meanwhile, and ends it by raising.

    Raises `Failed` where that cannot succeed, `Unavailable` where it may succeed later.
    """
    path = "/".join(part for part in (destination.path, name) if part)
    media_type, _ = mimetypes.guess_type(name)
    job = {"scheme": destination.kind, "options": options_of(destination), "path": path, "size": size}
    job["type"] = media_type or "application/octet-stream"
    with gate(policy, "sftp" if destination.kind == SFTP else "https") as proxy:
        answer = _run_upload_program(job, file, proxy.address, check)
        if answer is None:
            seconds = settings.EXTRACTION_DELIVERY_SECONDS
            raise Unreachable(f"{destination.describe(name)} took longer than {seconds:g} seconds.")
        if answer.get("error"):
            raise _problem(destination, answer, proxy.refused)


def _problem(destination: Destination, answer: Answer, refused: list[Problem]) -> Problem:
    if refused:
        return refused[0]
    detail = (
        answer["error"] if destination.kind == SFTP else f"{destination.kind} does not take the file: {answer['error']}"
    )
    return Unavailable(detail) if answer.get("again") else Failed(detail)


def options_of(destination: Destination) -> dict[str, Any]:
    """What the program is told of a destination: for opendal its options, which keep it from looking for credentials
    on this machine; for SFTP what was sent."""
    sent = destination.options
    match destination.kind:
        case kind if kind == SFTP:
            return dict(sent)
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


def _run_upload_program(job: Answer, file: IO[bytes], proxy: str, check: Callable[[], None]) -> Answer | None:
    """The program's answer; None when the time was up. Raises what `check` raises. The program is ended either way."""
    until = time.monotonic() + settings.EXTRACTION_DELIVERY_SECONDS
    process = subprocess.Popen(
        [sys.executable, "-m", "extraction.delivery.upload_program"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(proxy),
    )
    try:
        answer: Future[Answer] = Future()
        # A program that takes nothing of the file would hold up whoever writes to it: this thread keeps the time.
        arguments = (process, {**job, "parent": os.getpid()}, file, answer)
        threading.Thread(target=_feed, args=arguments, name="delivery", daemon=True).start()
        while (left := until - time.monotonic()) > 0:
            check()
            with suppress(TimeoutError):
                return answer.result(min(left, CHECK_SECONDS))
        return None
    finally:
        process.kill()
        process.wait()


def _feed(process: "subprocess.Popen[bytes]", job: Answer, file: IO[bytes], answer: "Future[Answer]") -> None:
    """Sends the job and the file to the program, and waits for its answer."""
    assert process.stdin
    assert process.stdout
    try:
        with process.stdout:
            with suppress(BrokenPipeError), process.stdin:  # it may answer before it has read all
                process.stdin.write(json.dumps(job).encode() + b"\n")
                while piece := _read(file):
                    process.stdin.write(piece)
            answer.set_result(dict(json.loads(process.stdout.read())))
    except ValueError:
        answer.set_result({"error": "The upload program ended without an answer.", "again": True})
    except Exception as error:
        answer.set_exception(error)


def _read(file: IO[bytes]) -> bytes:
    """The next piece of the file. Raises `Unavailable`, whatever its storage raises."""
    try:
        return file.read(PIECE)
    except Exception as error:
        raise Unavailable(f"The file cannot be read at present: {type(error).__name__}.") from error


def environment(proxy: str) -> dict[str, str]:
    """The environment of the upload program: none of the hub's credentials, and no way out but the proxy."""
    inherited = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME")
    variables = {name: os.environ[name] for name in inherited if name in os.environ}
    return variables | {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "ALL_PROXY": proxy, "NO_PROXY": ""}


@contextmanager
def gate(policy: Policy, tunnel_scheme: str) -> Iterator[GateProxy]:
    """Runs the gate as a proxy, on an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="gate", daemon=True)
    thread.start()
    proxy = GateProxy(policy, max_bytes=ANSWERS_MAX, tunnel_scheme=tunnel_scheme)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
