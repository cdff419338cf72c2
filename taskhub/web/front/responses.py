"""Answers that wait for something. The front serves them on its event loop, without a thread or a connection."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse


class WakeUpSource(Protocol):
    """A registration for wake-ups. A wake-up is a hint: who is woken looks anew."""

    @property
    def connected(self) -> bool:
        """Whether wake-ups arrive at present."""

    @property
    def longest_wait(self) -> float:
        """Seconds after which one must look anew, since a wake-up may have been lost."""

    def call_on_wake(self, callback: Callable[[], Any]) -> None:
        """`callback` is called, in any thread, at each wake-up from now on."""


Subscribe = Callable[[], AbstractContextManager[WakeUpSource]]


class DeferredResponse(HttpResponse):
    """An answer that is made when something has happened, or when `seconds` are over.

    `answer(time_is_up)` is called in a thread of Django's, at once and after each wake-up; it gives the answer, or None
    while there is none yet. `release` gives back what the wait holds. Another server than the front sends it as a 500.
    """

    def __init__(
        self,
        *,
        seconds: float,
        subscribe: Subscribe,
        answer: Callable[[bool], HttpResponseBase | None],
        release: Callable[[], None],
    ) -> None:
        super().__init__("This answer waits; serve the hub by taskhub.asgi.", "text/plain", 500)
        self._has_been_logged = True  # Django would log it as a failed call, before the front makes the answer of it
        self.seconds = seconds
        self.subscribe = subscribe
        self.answer = answer
        self.release = release

    def then(self, record: Callable[[HttpResponseBase], object]) -> None:
        """`record` is called with the answer before it is sent."""
        answer = self.answer

        def recorded(time_is_up: bool) -> HttpResponseBase | None:
            response = answer(time_is_up)
            if response is not None:
                record(response)
            return response

        self.answer = recorded

    def close(self) -> None:
        super().close()
        self.release()

    def dress(self, response: HttpResponseBase) -> HttpResponseBase:
        """The answer with the headers that middleware has given to this response."""
        for name, value in self.items():
            if name.lower() not in {"content-type", "content-length"}:
                response.headers.setdefault(name, value)
        return response


class EventPiece(NamedTuple):
    """Some events of a stream. `is_full`: there are more already, and nobody need be woken for them."""

    data: bytes
    is_last: bool
    is_full: bool = False


class EventStreamResponse(StreamingHttpResponse):
    """Server-sent events (HTML standard, section 9.2): a piece at once and after each wake-up, until the last.

    `next_piece` is called in a thread of Django's, also after `keep_alive` seconds of silence. After `seconds` the
    stream ends.
    """

    def __init__(
        self,
        *,
        seconds: float,
        keep_alive: float,
        subscribe: Subscribe,
        next_piece: Callable[[], EventPiece],
        release: Callable[[], None],
    ) -> None:
        self.seconds = seconds
        self.keep_alive = keep_alive
        self.subscribe = subscribe
        self.next_piece = next_piece
        super().__init__(content_type="text/event-stream")
        self["Cache-Control"], self["X-Accel-Buffering"] = "no-store", "no"
        self.release = release

    def close(self) -> None:
        super().close()
        self.release()
