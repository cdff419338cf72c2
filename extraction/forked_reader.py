"""What goes on in the OS process that is forked to read pages, see `reader_process`."""

import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import orjson
from selectolax.lexbor import SelectolaxError

from extraction.domain.page_reader import DetailsLink
from extraction.domain.process_status import PageFailure

MEBIBYTE = 1024 * 1024
RECORDS_MAX_BYTES = 64 * MEBIBYTE  # of what is taken from one page
READ_BYTES = 256 * 1024  # at once
LENGTH = struct.Struct("!Q")
ANSWER = struct.Struct("!QQ")  # the lengths of an answer and of its records

_TOO_MUCH = orjson.dumps(["The page takes too much memory to read.", False])


@dataclass
class ReadPage:
    """What was read of a page, as it is stored: `count` records as JSON, and what it shows (see `shown_by`).

    See `PageReading` for the others.
    """

    records: bytes = b""
    count: int = 0
    links: Sequence[DetailsLink] = ()
    next: Sequence[str] = ()
    shown: bytes = b""
    findings: str = ""  # as `Findings.encode` writes them
    left_out: int = 0  # records without a required value


Read = Callable[..., ReadPage]  # of texts, and of other arguments, which are JSON


def serve(connection: socket.socket, read: Read) -> None:
    """The reader: answers until its parent closes the connection, or is gone."""
    _leave_parent(connection.fileno())
    requests = cast(IO[bytes], connection.makefile("rb", READ_BYTES))
    limited = 0
    while head := _next_frame(requests):
        seconds, memory, count, arguments = orjson.loads(head)
        texts = [_next_frame(requests).decode() for _ in range(count)]
        if memory // MEBIBYTE != limited:  # as a rule it is as much as for the page before
            limited = memory // MEBIBYTE
            _limit_memory(memory)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        answer, records = _read_page(read, texts, arguments)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if answer is _TOO_MUCH:
            limited = 0  # what earlier pages left here is not the next one's
        connection.sendall(ANSWER.pack(len(answer), len(records)) + answer + records[:READ_BYTES])
        connection.sendall(memoryview(records)[READ_BYTES:])  # long ones are not copied: memory is limited


def _next_frame(requests: IO[bytes]) -> bytes:
    head = requests.read(LENGTH.size)
    return requests.read(LENGTH.unpack(head)[0]) if head else b""


def _read_page(read: Read, texts: list[str], arguments: list[Any]) -> tuple[bytes, bytes]:
    """The frames of the answer and the records."""
    try:
        page = read(texts, *arguments)
        if len(page.records) > RECORDS_MAX_BYTES:
            raise PageFailure(f"More than {RECORDS_MAX_BYTES} bytes of records are taken from the page.")
        links = [(link.key.hex(), link.rule, link.url) for link in page.links]
        answer = [page.count, links, page.next, page.shown.hex(), page.findings, page.left_out]
        return orjson.dumps(answer), page.records
    except PageFailure as failure:
        return orjson.dumps([failure.reason, failure.retry]), b""
    except (MemoryError, SelectolaxError):  # the parser's word for it
        return _TOO_MUCH, b""
    except Exception as error:
        return orjson.dumps([f"The page cannot be read: {type(error).__name__}.", False]), b""


def _leave_parent(connection: int) -> None:
    """Leaves to the parent what is the parent's: its files and sockets, and how it takes signals."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPROF, signal.SIGVTALRM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.closerange(3, connection)
    os.closerange(connection + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _limit_memory(more: int) -> None:
    """Lets this process have so many bytes more than it has now."""
    with suppress(OSError, ValueError):  # on systems that do not tell, or do not limit
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        limit = pages * resource.getpagesize() + more
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
