"""`manage.py demo`: starts a hub in a temporary home, calls it over HTTP, and removes it."""

import signal
import sys
import time
from collections import deque
from collections.abc import Iterable
from http.client import HTTPException
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from taskhub.demo.chapters import CHAPTERS, Chapter
from taskhub.demo.hub import TAIL_LINES, running_hub
from taskhub.demo.visitor import UnexpectedAnswer, Visitor


class Command(BaseCommand):
    help = "Starts a hub on a free port in a temporary home, shows what it can do, and removes it. Exits with 0 or 1."
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # by default it would leave the hub running
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        began = time.monotonic()
        self.say("Starting PostgreSQL, Redis, web server, workers and beat in a temporary home")
        try:
            with running_hub(tail) as url:
                self.say(f"   ready at {url} after {time.monotonic() - began:.1f} s")
                self.show(CHAPTERS, Visitor(url))
        except (UnexpectedAnswer, OSError, HTTPException, ValueError, LookupError) as error:
            self.say("\n".join(["The hub's last lines:", *tail]))
            raise CommandError(f"The demonstration failed: {error or type(error).__name__}") from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted.") from None
        self.say(f"All went well, in {time.monotonic() - began:.0f} s; the hub is stopped, and its home removed")

    def show(self, chapters: Iterable[Chapter], visitor: Visitor) -> None:
        for number, chapter in enumerate(chapters, 1):
            self.say(f"{number}. {chapter.__doc__}")
            chapter(visitor, lambda line: self.say(f"   {line}"))

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
