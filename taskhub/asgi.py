"""The entry of the web server."""

import gc
import os
import sys
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskhub.settings")

import django

from taskhub.descendants import end_orphans, mark_descendants

# For which a thread may keep the interpreter while others want it. The event loop wants it several times for each
# request: with Python's 5 ms and 64 threads that compute it would get it three times a second.
SWITCH_SECONDS = 0.001


def _application() -> Any:
    django.setup(set_prefix=False)
    mark_descendants()
    end_orphans()
    from taskhub.db.connections import use_pool

    use_pool()
    from taskhub.web.front.application import Front  # its modules read the settings

    front = Front()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # what is loaded stays: a look through all of it would be a pause of all requests
    return front


application = _application()
