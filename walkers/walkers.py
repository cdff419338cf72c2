"""The bundled walkers, sentinel `taskhub`: the documents' examples, and something to call for newcomers."""

import logging
import time
from typing import Annotated, Any

from pydantic import Field

from walkers.authoring.places import Place
from walkers.authoring.walker import Walker

log = logging.getLogger(__name__)


class Echo(Walker):
    """Reports its value."""

    value: Annotated[Any, Field(examples=["hello"])] = None

    def visit(self, here: Place) -> None:
        self.report(self.value)


class Pause(Walker):
    """Sleeps `seconds` in so many `steps`, tells its progress, logs each of them, and reports how long it slept."""

    seconds: Annotated[float, Field(ge=0, le=3600)] = 1.0
    steps: Annotated[int, Field(ge=1, le=10_000)] = 10

    def visit(self, here: Place) -> None:
        for step in range(self.steps):
            self.progress(step, self.steps, f"{step} of {self.steps}")
            log.info("step %d of %d", step + 1, self.steps)
            time.sleep(self.seconds / self.steps)
        self.progress(self.steps, self.steps, "awake")
        self.report(self.seconds)


class Fail(Walker):
    """Raises an error with its message."""

    message: str = "This walker fails."

    def visit(self, here: Place) -> None:
        raise RuntimeError(self.message)


class GetBotset(Walker):
    """Reports the nodes below the one it stands on, each with `jid`, `kind` and `context`."""

    name = "get_botset"

    def visit(self, here: Place) -> None:
        if here is not self.start:
            self.report(here)
        self.take(here.out(), once=True)


class RunWalker(Walker):
    """Reports its node and its `ctx`, which may hold any keys."""

    name = "run"
    extra = True

    def visit(self, here: Place) -> None:
        self.report({"node": here.jid, "ctx": self.ctx})
