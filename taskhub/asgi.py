"""The entry of the web server."""

import gc
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskhub.settings")

import django
from django.conf import settings

from taskhub.descendants import end_orphans, mark_descendants


def _use_pool() -> None:
    """Lets all threads of this process share one pool of connections. None may have a connection before that."""
    if settings.DATABASE_POOL_SIZE:
        database = settings.DATABASES["default"]
        database["OPTIONS"]["pool"] = settings.DATABASE_POOL
        database["CONN_MAX_AGE"] = 0


def _application() -> Any:
    django.setup(set_prefix=False)
    mark_descendants()
    end_orphans()
    _use_pool()
    from taskhub.web.front.application import Front  # its modules read the settings

    front = Front()
    gc.freeze()  # what is loaded stays: a look through all of it would be a pause of all requests
    return front


application = _application()
