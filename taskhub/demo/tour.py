"""The tour of the demonstration: a hub is started, its chapters are shown one after the other, and it is stopped."""

import time
from collections import deque

from taskhub.demo.chapters import CHAPTERS, EMAIL, Say
from taskhub.demo.hub import TAIL_LINES, running_hub
from taskhub.demo.temporary_home import PASSWORD
from taskhub.demo.visitors import UnexpectedAnswer, sign_up
from taskhub_client import HubError


class TourFailed(Exception):
    """The hub did not start, or did something else than a chapter says."""


def give_tour(say: Say) -> None:
    """Gives the tour in the home of the environment, and says what happens. Raises `TourFailed`."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    began = time.monotonic()
    say("Starting PostgreSQL, Redis, web server, workers and beat in a temporary home")
    try:
        with running_hub(tail) as url:
            say(f"   ready at {url} after {time.monotonic() - began:.1f} s")
            _show_chapters(url, say)
    except (UnexpectedAnswer, HubError, OSError, ValueError, LookupError) as error:
        say("\n".join(["The hub's last lines:", *tail]))
        raise TourFailed(str(error) or type(error).__name__) from error
    say(f"All went well, in {time.monotonic() - began:.0f} s; the hub is stopped, and its home removed")


def _show_chapters(url: str, say: Say) -> None:
    with sign_up(url, EMAIL, PASSWORD) as hub:
        say(f"   {EMAIL} has signed up")
        for number, chapter in enumerate(CHAPTERS, 1):
            say(f"{number}. {chapter.__doc__}")
            chapter(hub, lambda line: say(f"   {line}"))
