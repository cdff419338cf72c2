"""Deferred answers without a front: Django's own handlers wait for them in the calling thread."""

import time
from collections.abc import Iterator
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponseBase
from django.test.client import ClientHandler

from taskhub.web.front.responses import DeferredResponse, EventStreamResponse


def wait_in_the_calling_thread() -> None:
    """Makes the handlers of Django's test client and test server wait for deferred answers."""
    for handler in (ClientHandler, WSGIHandler):
        _wait_in(handler)


def _wait_in(handler: Any) -> None:
    get_response = handler.get_response

    def get_answer(self: Any, request: Any) -> HttpResponseBase:
        response: HttpResponseBase = get_response(self, request)
        if isinstance(response, DeferredResponse):
            return finish(response)
        if isinstance(response, EventStreamResponse):
            response.streaming_content = events(response)
        return response

    handler.get_response = get_answer


def finish(response: DeferredResponse) -> HttpResponseBase:
    until = time.monotonic() + response.seconds
    try:
        with response.subscribe() as source:
            subscription: Any = source
            while True:
                left = until - time.monotonic()
                if answer := response.answer(left <= 0):
                    return response.dress(answer)
                subscription.wait(left)
    finally:
        response.close()


def events(response: EventStreamResponse) -> Iterator[bytes]:
    until = time.monotonic() + response.seconds
    with response.subscribe() as source:
        subscription: Any = source
        last = False
        while not last and time.monotonic() < until:
            piece, last, _ = response.next_piece()
            yield piece
            if not last:
                subscription.wait(min(response.keep_alive, until - time.monotonic()))
