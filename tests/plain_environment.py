"""The environment of somebody who has not set anything of taskhub's, so that a hub brings its own servers."""

import os
import signal

STRANGE = ("TASKHUB_", "PYTEST_", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")


def plain_environment(**variables: str) -> dict[str, str]:
    """This process's without what the tests set, and with these."""
    return {name: value for name, value in os.environ.items() if not name.startswith(STRANGE)} | variables


def hear_ctrl_c() -> None:
    """In a process that is about to be executed: shells have what they start in the background ignore this signal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
