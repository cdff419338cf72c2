"""The entry of the web server."""

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskhub.settings")
os.environ.setdefault("TASKHUB_DATABASE_POOL", "16")
_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Takes the body in before Django begins: a slow client holds a thread, and no connection of the database's pool.

    What is longer than `BODY_MAX_BYTES` is left to the parsers: to refuse, or to read as files or documents.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isdecimal() and int(length) <= settings.BODY_MAX_BYTES:
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(length)))
    elif length or "HTTP_TRANSFER_ENCODING" in environ:
        start_response = _ending(start_response)
    return _django(environ, start_response)


def _ending(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """A refusal may leave some of the body unread, and then the web server ends the connection.

    `Connection: close` (RFC 9110, section 7.6.1) says so: else a client's next call may be sent to nobody.
    """

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        refused = [("Connection", "close")] if status >= "4" else []
        return start_response(status, [*headers, *refused], *rest)

    return start
