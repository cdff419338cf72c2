"""The home of the demonstration, which is removed at its end."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from taskhub.embedded import Home

ADMIN, PASSWORD = "admin@example.com", "correct horse battery"  # of a hub that lasts a minute
STRANGE = ("TASKHUB_", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")


@contextmanager
def temporary_home() -> Iterator[None]:
    """Removes the hub's variables from the environment, and sets a temporary TASKHUB_HOME and a superuser."""
    for name in [name for name in os.environ if name.startswith(STRANGE)]:
        del os.environ[name]
    with TemporaryDirectory(prefix="taskhub-demo-", ignore_cleanup_errors=True) as home:
        os.environ |= {"TASKHUB_HOME": home, "TASKHUB_ADMIN_EMAIL": ADMIN, "TASKHUB_ADMIN_PASSWORD": PASSWORD}
        try:
            yield
        finally:
            data, _ = Home(home).locate_data()
            shutil.rmtree(data, ignore_errors=True)  # of servers that run under another account
