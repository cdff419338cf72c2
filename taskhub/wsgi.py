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
    return _django(environ, start_response)
