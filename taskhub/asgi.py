"""The entry of the web server."""

import gc
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskhub.settings")

import django

from taskhub.descendants import end_orphans, mark_descendants


def _application() -> Any:
    django.setup(set_prefix=False)
    mark_descendants()
    end_orphans()
    from taskhub.db.connections import use_pool

    use_pool()
    from taskhub.web.front.application import Front  # its modules read the settings

    front = Front()
    gc.freeze()  # what is loaded stays: a look through all of it would be a pause of all requests
    return front


application = _application()
