"""What the fork server loads before it forks the programs: all that they would load themselves."""

import os
from importlib import import_module

from taskhub.embedded import CannotStart

# Django finds the apps by itself. These are what the programs load when they start or at their first request or run.
MODULES = (
    "granian.cli",
    "granian.server.mp",
    "uvloop",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.bin.beat",
    "celery.apps.worker",
    "celery.apps.beat",
    "celery.concurrency.prefork",
    "celery.concurrency.solo",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "django.contrib.staticfiles.finders",
    "whitenoise.middleware",
    "taskhub.urls",
    "taskhub.web.front.application",
    "taskhub.runs.scheduler.beat",
)


def load() -> None:
    """Loads all code of the hub. Raises `CannotStart` for a wrong setting."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskhub.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
        from taskhub.celery import app
        from taskhub.telemetry import spans

        app.loader.import_default_modules()  # the tasks
        app.finalize()
        spans.load()
        for name in MODULES:
            import_module(name)
    except ImproperlyConfigured as error:
        raise CannotStart(str(error)) from None
