"""A handler of the logging configuration that gives records to whoever asks for them.

Django configures logging before apps are loaded, and again at each `django.setup()`, which takes the handlers off that
were added since. So the handler stands in the configuration, and the receiver at its class.
"""

import logging
from collections.abc import Callable
from typing import ClassVar


class LogRelay(logging.Handler):
    """Gives each record to `receive`, which is set by the app that wants them."""

    receive: ClassVar[Callable[[logging.LogRecord], None]] = staticmethod(lambda record: None)

    def createLock(self) -> None:
        self.lock = None  # there is nothing to be kept apart, and an interruption could leave it taken

    def emit(self, record: logging.LogRecord) -> None:
        type(self).receive(record)
