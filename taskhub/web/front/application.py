"""The ASGI application of the hub: takes bodies in, lets Django answer in threads, sends the answers."""

import asyncio
import logging
import os
import signal
from contextlib import closing
from typing import Any

from django.core import signals
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponseBase
from django.urls import set_script_prefix
from django.utils.functional import LazyObject

from taskhub.metrics.reports import begin_reports, end_reports
from taskhub.telemetry.spans import flush_spans
from taskhub.web.front.broken_answers import end_connection
from taskhub.web.front.front_state import FrontState
from taskhub.web.front.http_exchange import HttpExchange, Send
from taskhub.web.front.process_guard import ProcessGuard
from taskhub.web.front.request_body import Receive
from taskhub.web.front.request_metrics import ROUTE, route_of
from taskhub.web.front.request_register import request_register
from taskhub.web.front.responses import DeferredResponse
from taskhub.web.front.wake_ups import ClientGone

log = logging.getLogger(__name__)

STOP_SECONDS = 0.5  # for answers to those who wait


class RegisteredRequest(WSGIRequest):
    """A request of which the register says who made it, as soon as that is known."""

    @property
    def user(self) -> Any:
        return self._caller

    @user.setter
    def user(self, user: Any) -> None:
        self._caller = user
        if not isinstance(user, LazyObject):  # a session's user is looked up when he is needed
            request_register.add(f"by {user.pk or 'nobody'}")


class DjangoHandler(BaseHandler):
    """Django's synchronous handler, called in a thread with a whole request."""

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware()

    def respond(self, environ: dict[str, Any]) -> HttpResponseBase:
        """The response. One that neither streams nor waits is closed here, in the thread that holds its connection."""
        set_script_prefix("")
        signals.request_started.send(sender=type(self), environ=environ)
        request = RegisteredRequest(environ)
        response = self.get_response(request)
        environ[ROUTE] = route_of(request)
        if not (response.streaming or isinstance(response, DeferredResponse)):
            response.close()
        return response


class Front(FrontState):
    """Serves HTTP. Only whole requests take a thread; who sends slowly, reads slowly or waits holds none."""

    def __init__(self) -> None:
        super().__init__(DjangoHandler().respond)
        self._guard = ProcessGuard(self)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        exchange = HttpExchange(self, scope, receive, send)
        try:
            with closing(exchange):
                await exchange.serve()
        except Exception as error:
            client, server = scope.get("client"), scope.get("server")
            if exchange.is_answering and client and server:
                await asyncio.to_thread(end_connection, client, server[1])
            if not isinstance(error, ClientGone):
                raise
            log.debug("The client of %s left", scope["path"])

    async def _live(self, receive: Receive, send: Send) -> None:
        """The life of this process (lifespan of ASGI)."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                loop = asyncio.get_running_loop()
                loop.add_signal_handler(signal.SIGTERM, self._stop, loop)
                request_register.open()
                begin_reports("web")
                self._guard.start()
            else:
                self._guard.stop()
                request_register.close()
                end_reports()
                flush_spans()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answers open waits with the state as it is, then lets the server stop.

        The server waits for open requests before it tells the application that it stops. So SIGTERM comes here first,
        and goes on to the server as SIGINT, which means the same to it.
        """
        self.stopping = True
        for wake in self.open_waits:
            wake.set()
        loop.call_later(STOP_SECONDS, os.kill, os.getpid(), signal.SIGINT)
