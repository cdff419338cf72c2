"""Documents on their way to the hub, and files on their way from it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from taskhub_client.errors import HubUnreachable, UnknownAnswer
from taskhub_client.exchange import (
    TRIES,
    Compute,
    Emit,
    Flow,
    NoAnswer,
    Pause,
    ReadChunk,
    Request,
    back_off,
    call_object,
    send,
)

PIECE = 256 * 1024
MEMORY_MAX = 8 * 1024 * 1024  # bytes of a packed body; a larger one waits in a temporary file
UPLOAD_SECONDS = 600.0  # until the hub has stored a body

Documents = Iterable[Mapping[str, Any]] | str | Path | IO[bytes]
COUNTS = ("count", "inserted", "updated", "unchanged", "rejected")


def upload_documents(
    address: str,
    documents: Documents,
    *,
    batch: int | None = None,
    on_invalid: str | None = None,
    tries: int = TRIES,
) -> Flow[dict[str, int]]:
    """Uploads documents to `{address}/upload`, and returns the counts that the hub gives.

    `documents` are mappings, or a file of one JSON object a line, by its path or open for bytes; one whose name ends
    in .gz is sent as it is. All of them are one body, which is stored as a whole or not at all; with `batch` mappings
    go in bodies of so many. A body is packed before it is sent, so it can be sent again where the answer was lost.
    """
    counts = dict.fromkeys(COUNTS, 0)
    bodies = packed_bodies(documents, batch)
    while body := (yield Compute(lambda: next(bodies, None))):
        with body:
            request = Request(
                "POST",
                f"{address}/upload",
                {"on_invalid": on_invalid},
                content=lambda body=body: pieces_of(body),  # type: ignore[misc]
                headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
                read_seconds=UPLOAD_SECONDS,
                tries=tries,
            )
            answer = yield from call_object(request)
        for name in COUNTS:
            counts[name] += int(answer.get(name, 0))
    return counts


def state_request(address: str, state: Any) -> Request:
    """Replaces a crawler's state at `{address}/state`, by any JSON, also by null."""
    body = json.dumps(state).encode()
    return Request("PUT", f"{address}/state", content=lambda: body, headers={"Content-Type": "application/json"})


def packed_bodies(documents: Documents, batch: int | None) -> Iterator[IO[bytes]]:
    """Bodies in gzip, each at its beginning."""
    if isinstance(documents, (str, Path)):
        file = Path(documents).open("rb")  # noqa: SIM115 - who uploads it closes it
        if Path(documents).suffix == ".gz":
            yield file
            return
        with file:
            yield pack(iter(lambda: file.read(PIECE), b""))
    elif hasattr(documents, "read"):
        yield pack(iter(lambda: documents.read(PIECE), b""))
    else:
        rest = iter(documents)
        while lines := list(islice(rest, batch)) if batch else rest:
            yield pack(json.dumps(document).encode() + b"\n" for document in lines)
            if not batch:
                return


def pack(pieces: Iterable[bytes]) -> IO[bytes]:
    """The pieces as one body in gzip."""
    body: Any = SpooledTemporaryFile(MEMORY_MAX)  # noqa: SIM115 - who uploads it closes it
    try:
        with gzip.GzipFile(fileobj=body, mode="wb", compresslevel=6, mtime=0) as stream:
            for piece in pieces:
                stream.write(piece)
    except BaseException:
        body.close()
        raise
    return body  # type: ignore[no-any-return]


def pieces_of(body: IO[bytes]) -> Iterator[bytes]:
    body.seek(0)
    return iter(lambda: body.read(PIECE), b"")


def download(request: Request, path: str | Path) -> Flow[Path]:
    """Writes an answer to a file, which is there when it is whole. One that breaks off is asked for again."""
    path = Path(path)
    part = path.with_name(f"{path.name}.part")
    try:
        for failures in range(1, TRIES + 1):
            yield from send(request)
            try:
                with part.open("wb") as file:
                    while chunk := (yield ReadChunk()):
                        file.write(chunk)
                part.replace(path)
                return path
            except NoAnswer as error:
                if failures == TRIES:
                    raise HubUnreachable(f"{request.path} broke off again and again: {error}") from error
            yield Pause(back_off(failures))
    finally:
        part.unlink(missing_ok=True)
    raise AssertionError("the last try returns or raises")


def lines_of(request: Request) -> Flow[None]:
    """Emits the objects of an answer that has one a line. One that breaks off raises `HubUnreachable`."""
    yield from send(request)
    rest = b""
    try:
        while chunk := (yield ReadChunk()):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield Emit(read_line(line))
    except NoAnswer as error:
        raise HubUnreachable(f"{request.path} broke off: {error}") from error
    if rest.strip():
        yield Emit(read_line(rest))


def read_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise UnknownAnswer("The answer is not lines of JSON: is this the address of a hub?") from error
