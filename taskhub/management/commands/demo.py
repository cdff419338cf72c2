"""`manage.py demo`: starts a hub in a temporary home, calls it with the client, and removes it."""

import logging
import signal
import sys
from importlib.util import find_spec
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Starts a hub on a free port in a temporary home, shows what it can do, and removes it. Exits with 0 or 1."
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        if not all(map(find_spec, ("taskhub_client", "httpx"))):
            raise CommandError("The hub is called with its client, which is not there: `make demo` brings it along.")
        from taskhub.demo.tour import TourFailed, give_tour

        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # by default it would leave the hub running
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each call
        try:
            give_tour(self.say)
        except TourFailed as error:
            raise CommandError(f"The demonstration failed: {error}") from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted.") from None

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
