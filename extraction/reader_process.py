"""Reads pages in an OS process of their own, which can be ended.

A page and a selector can be made for each other so that the parser, a selector or a filter computes for hours in C,
where nothing interrupts it. So pages are never read in the process that fetches them. It forks a reader when a slice
has its first page. The kernel ends the reader when it has computed for as long as a page may take
(`ITIMER_PROF`, which no code in C can put off); then that page fails, and the next page gets a new reader.

The budget is one for a page, whatever its selectors and filters, and counts computing time: a busy machine fails none.
A slow one gets more of it (`slowness`), so that what can be read at all can be read everywhere.
"""

import asyncio
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import orjson
from selectolax.lexbor import LexborHTMLParser

from extraction.domain.page_reader import DetailsLink
from extraction.domain.process_status import PageFailure
from extraction.forked_reader import ANSWER, LENGTH, MEBIBYTE, Read, ReadPage, serve

SECONDS_LEAST = 1.0  # of computing, on a CPU as of 2026
SECONDS_A_MEBIBYTE = 1.0  # more: large tables take 0.1 to 0.4
SAMPLE = f"<table>{('<tr>' + '<td>some words</td>' * 8 + '</tr>') * 400}</table>"
SAMPLE_SECONDS = 0.0015  # that the sample takes on such a CPU
SLOWNESS_MAX = 20.0
MEMORY_LEAST = 256 * MEBIBYTE
MEMORY_A_BYTE = 128  # of a page: its elements as objects take some fifty
# By the clock, for a reader that neither computes nor answers. It is long, for the kernel counts better.
PATIENCE_SECONDS = 60.0
PATIENCE_A_SECOND = 20.0
ENDING_SECONDS = 0.5  # between the end of a reader's connection and its own

_TOO_LONG = frozenset({signal.SIGPROF, signal.SIGKILL})


@cache
def slowness() -> float:
    """How many times longer than the CPU of the budget this one takes to read, at least 1; it is measured once."""
    return min(SLOWNESS_MAX, max(1.0, min(_sample_seconds() for _ in range(5)) / SAMPLE_SECONDS))


def _sample_seconds() -> float:
    started = time.thread_time()
    for node in LexborHTMLParser(SAMPLE).css("td"):
        node.text()
    return time.thread_time() - started


@dataclass(eq=False)
class _SentPage:
    """A page that was sent to be read, or is to be sent to the next reader. `answer` has its records behind it."""

    request: bytes
    seconds: float  # of computing
    answer: "asyncio.Future[tuple[bytes, bytes]]"


class ReaderProcess:
    """Reads the pages of one slice with `read`, one at a time. `close` ends it.

    Pages are sent while others are being read, so that it need not wait for the next one. Those that were sent to a
    reader that ended are sent again to the next one.

    `prepare` loads what each reader would have to load else, and `extra_seconds` are more for each page.
    """

    def __init__(self, read: Read, prepare: Callable[[], None] | None = None, extra_seconds: float = 0.0) -> None:
        self._read, self._prepare, self._extra_seconds = read, prepare, extra_seconds
        self._pages: deque[_SentPage] = deque()  # in the order in which they were sent, which is that of the answers
        self._pid: int | None = None
        self._connection: _ReaderConnection | None = None
        self._starting: asyncio.Task[None] | None = None
        self._impatience: asyncio.TimerHandle | None = None

    async def read(self, texts: Sequence[str], *arguments: Any) -> ReadPage:
        """What `read(texts, *arguments)` gives. Raises `PageFailure`, also where it takes too long or too much."""
        pages = [text.encode("utf-8", "replace") for text in texts]
        size = sum(map(len, pages))
        seconds = slowness() * (SECONDS_LEAST + self._extra_seconds + SECONDS_A_MEBIBYTE * size / MEBIBYTE)
        head = orjson.dumps([seconds, MEMORY_LEAST + MEMORY_A_BYTE * size, len(pages), arguments])
        request = b"".join(part for frame in (head, *pages) for part in (LENGTH.pack(len(frame)), frame))
        page = _SentPage(request, seconds, asyncio.get_running_loop().create_future())
        self._pages.append(page)
        if self._connection:
            self._connection.transport.write(request)
            if len(self._pages) == 1:
                self._wait_for_first()
        else:
            self._begin()
        try:
            answer, records = await page.answer
        except asyncio.CancelledError:
            if page in self._pages:
                self._pages.remove(page)
                self._begin_anew()  # or the next page would get this one's answer
            raise
        match orjson.loads(answer):
            case [count, links, next, shown, findings, left_out]:
                found = [DetailsLink(bytes.fromhex(key), rule, url) for key, rule, url in links]
                return ReadPage(records, count, found, next, bytes.fromhex(shown), findings, left_out)
            case [reason, retry]:
                raise PageFailure(reason, retry=retry)
        raise PageFailure("The page cannot be read.")

    def take_answer(self, answer: bytes, records: bytes) -> None:
        """Takes the answer of the page that was being read: the next one is, now."""
        page = self._pages.popleft()
        if not page.answer.done():
            page.answer.set_result((answer, records))
        self._wait_for_first()

    def _wait_for_first(self) -> None:
        """Gives the first page its time by the clock."""
        if self._impatience:
            self._impatience.cancel()
            self._impatience = None
        if self._pages:
            patience = PATIENCE_SECONDS + PATIENCE_A_SECOND * self._pages[0].seconds
            self._impatience = asyncio.get_running_loop().call_later(patience, self._fail_first)

    def _begin(self) -> None:
        """Begins to start a reader, unless one is being started."""
        if self._starting is None or self._starting.done():
            self._starting = asyncio.ensure_future(self._start())

    def _begin_anew(self) -> None:
        """Ends the reader, and begins to start the next one where pages are left."""
        self.close()
        if self._pages:
            self._begin()

    async def _start(self) -> None:
        """Forks a reader, and sends it what waits. Where that fails, so does the first page."""
        try:
            if self._prepare:
                await asyncio.to_thread(self._prepare)
                self._prepare = None
            ours, theirs = socket.socketpair()
            self._pid = os.fork()
            if self._pid == 0:
                try:
                    serve(theirs, self._read)
                finally:
                    os._exit(1)  # whatever happens, it never comes back to what its parent is at
            theirs.close()
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_unix_connection(lambda: _ReaderConnection(self), sock=ours)
        except Exception as error:
            self._starting = None
            self._fail_first(error)
            return
        self._starting, self._connection = None, connection
        connection.transport.writelines([page.request for page in self._pages])
        self._wait_for_first()

    def lose(self, connection: "_ReaderConnection") -> None:
        """Fails the page that was being read when the reader ended, unless it was ended here."""
        if connection is self._connection:
            self._fail_first()

    def _fail_first(self, error: Exception | None = None) -> None:
        """Fails the page that was being read; others are sent to the next reader."""
        page = self._pages.popleft() if self._pages else None
        reason = self._why_it_ended(page.seconds if page else 0.0)
        if page and not page.answer.done():
            page.answer.set_exception(PageFailure(reason) if error is None or isinstance(error, OSError) else error)
        self._begin_anew()

    def _why_it_ended(self, seconds: float) -> str:
        code = self._end()
        if -code in _TOO_LONG:
            return f"The page takes too long to read: its selectors and filters may compute for {seconds:.1f} s."
        ending = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"The page cannot be read: its reader ended {ending}."

    def _end(self) -> int:
        """Ends the reader, after some time in which it may end by itself; how it ended, as `subprocess` says it."""
        pid = self._let_go()
        if pid is None:
            return 0
        until = time.monotonic() + ENDING_SECONDS
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
            while not ended and time.monotonic() < until:
                time.sleep(0.005)
                ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
        except ChildProcessError:  # where SIGCHLD is ignored, nobody can wait for a child
            return 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Ends the reader. The loop does not wait until the kernel has taken its memory apart."""
        if (pid := self._let_go()) is not None:
            with suppress(ProcessLookupError):  # where SIGCHLD is ignored, who has ended is gone
                os.kill(pid, signal.SIGKILL)
            asyncio.get_running_loop().run_in_executor(None, _wait, pid)

    def _let_go(self) -> int | None:
        """Closes the connection to the reader, whatever it is at; the id of its process."""
        pid, connection, starting = self._pid, self._connection, self._starting
        self._pid = self._connection = self._starting = None
        if self._impatience:
            self._impatience.cancel()
        if starting:
            starting.cancel()
        if connection:
            connection.transport.close()
        return pid


def _wait(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


class _ReaderConnection(asyncio.Protocol):
    """The end of a reader's connection in the process that fetches."""

    transport: asyncio.Transport

    def __init__(self, process: ReaderProcess) -> None:
        self._process, self._received = process, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        while len(received) >= ANSWER.size:
            length, records = ANSWER.unpack_from(received)
            end = ANSWER.size + length + records
            if len(received) < end:
                return
            with memoryview(received) as view:  # it may be long: it is copied once
                answer = bytes(view[ANSWER.size : ANSWER.size + length])
                taken = bytes(view[ANSWER.size + length : end])
            del received[:end]
            self._process.take_answer(answer, taken)

    def connection_lost(self, error: Exception | None) -> None:
        self._process.lose(self)
