"""Lines of the log, of which nobody but the hub decides where they begin and what a terminal makes of them."""

import json
import logging
import re
from datetime import UTC, datetime

from taskhub.telemetry.log_context import log_context

# All but the tab; line and paragraph separators; signs that turn the direction of writing; halves of characters.
_CONTROLS = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
INDENT = "    "


def escape_controls(text: str) -> str:
    r"""`text` with control characters as Python writes them, such as `\n` and `\x1b`."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class LineFormatter(logging.Formatter):
    """Writes a record as one line, with the ids of the run and the request that it is about before its message. Those
    of its traceback are indented, so that none looks like a record."""

    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(f"{name}={id}" for name, id in log_context().items())
        record.message = f"[{about}] {record.getMessage()}" if about else record.getMessage()
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        traceback = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        more = [line for text in (traceback, record.stack_info) if text for line in text.split("\n")]
        line = escape_controls(self.formatMessage(record))
        return "\n".join([line, *(INDENT + escape_controls(inner) for inner in more)])


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON, as programs that gather logs read it: `at`, `level`, `logger` and `message`,
    `run` and `request` with the ids of what it is about, `process`, and `traceback` of an error."""

    def format(self, record: logging.LogRecord) -> str:
        traceback = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        trouble = "\n".join(text for text in (traceback, record.stack_info) if text)
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **log_context(),
            "process": record.process,
            **({"traceback": trouble} if trouble else {}),
        }
        return json.dumps(line)  # in ASCII: neither a control character nor half of one is left as it is
