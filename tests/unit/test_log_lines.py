"""Nothing that is logged begins a line of its own, or drives the terminal that shows it."""

import io
import json
import logging
import os
import re
from typing import Any

import pytest
from django.conf import settings

from taskhub.security.log_lines import JsonFormatter, LineFormatter, escape_controls
from taskhub.start.supervisor import OutputLines, Printer
from taskhub.telemetry.log_context import about, accepted_request_id

HARMFUL = [
    *map(chr, [*range(9), *range(10, 32), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)]),
    "\ud800",
    "\udfff",
]
FORGED = "fell\n2026-11-30 ERROR taskhub forged\r\x1b[2J\x9b31m\u2028\u2029\x85\x07\u202e\ud800"


@pytest.mark.parametrize("character", HARMFUL, ids=ascii)
def test_each_control_character_is_escaped(character: str) -> None:
    escaped = escape_controls(f"a{character}b")
    assert escaped.isascii()
    assert escaped.isprintable()
    assert escape_controls(escaped) == escaped


def test_texts_stay_as_they_are() -> None:
    text = "Zażółć\tgęślą 🙂 \\n \u00a0 %s"
    assert escape_controls(text) == text


LINES = LineFormatter("%(asctime)s %(levelname)s %(name)s %(message)s")


def logged(record_of: str, formatter: logging.Formatter = LINES) -> str:
    """What a logger with a formatter of the settings writes of a record."""
    target = io.StringIO()
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    logger = logging.Logger(FORGED if record_of == "name" else "taskhub")
    logger.addHandler(handler)
    if record_of == "traceback":
        try:
            raise ValueError(FORGED)
        except ValueError:
            logger.exception("A run failed")
    else:
        logger.warning("The walker says %s", FORGED, stack_info=record_of == "stack")
    return target.getvalue()


@pytest.mark.parametrize("part", ["message", "name", "traceback", "stack"])
def test_a_record_is_one_line_and_its_traceback_is_indented(part: str) -> None:
    first, *more = logged(part).removesuffix("\n").split("\n")
    assert first.startswith("20")
    assert "forged" in first or part == "traceback"
    assert all(line.startswith("    ") for line in more)
    assert bool(more) == (part in {"traceback", "stack"})
    assert all(line.isprintable() for line in (first, *more))


def test_a_line_names_the_run_and_the_request_that_it_is_about() -> None:
    with about(run_id="0190", request_id="r-1"), about(run_id="0191"):
        lines = logged("traceback").split("\n")
    assert " [run=0191 request=r-1] A run failed" in lines[0]
    assert not any("run=" in line for line in lines[1:])
    with about(request_id="r-2"):
        assert " [request=r-2] The walker says" in logged("message")
    assert "[" not in logged("message").partition("The walker")[0]


@pytest.mark.parametrize("part", ["message", "name", "traceback", "stack"])
def test_a_record_is_one_object_in_a_line_of_json(part: str) -> None:
    with about(run_id="0190", request_id="r-1"):
        line = logged(part, JsonFormatter()).removesuffix("\n")
    assert line.isascii()
    assert line.isprintable()
    said = json.loads(line)
    assert said["at"].endswith("+00:00")
    assert said["level"] == ("ERROR" if part == "traceback" else "WARNING")
    assert (said["run"], said["request"], said["process"]) == ("0190", "r-1", os.getpid())
    assert FORGED in said["logger" if part == "name" else "traceback" if part == "traceback" else "message"]
    assert ("traceback" in said) == (part in {"traceback", "stack"})


def test_a_record_about_nothing_says_so_in_json() -> None:
    assert json.loads(logged("message", JsonFormatter())).keys() == {"at", "level", "logger", "message", "process"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"at": "now", "message": "fell"}', {"program": "web", "at": "now", "message": "fell"}),
        ("said in plain words", {"program": "web", "message": "said in plain words"}),
        ('{"program": "beat"}', {"program": "web"}),
        ("7", {"program": "web", "message": "7"}),
        ("[" * 60_000, {"program": "web", "message": "[" * 60_000}),
        ("\x1b[2J\u2028", {"program": "web", "message": "\x1b[2J\u2028"}),
    ],
    ids=["object", "text", "forged", "number", "nested", "controls"],
)
def test_the_supervisor_passes_on_json_with_the_program_in_it(line: str, said: dict[str, str]) -> None:
    target = io.StringIO()
    Printer(target, as_json=True)("web", line)
    written = target.getvalue().removesuffix("\n")
    assert written.isprintable()
    assert json.loads(written) == said


@pytest.mark.parametrize("sent", ["a", "7f0c-1.b_2~c:d/e+f=@", "x" * 128])
def test_a_plain_id_of_a_request_is_kept(sent: str) -> None:
    assert accepted_request_id(sent) == sent


@pytest.mark.parametrize("sent", ["", " ", "a b", "x" * 129, "a\n", "é", '"', "[run=1]", "a,b"], ids=ascii)
def test_another_gets_a_new_one(sent: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", accepted_request_id(sent))
    assert accepted_request_id(sent) != accepted_request_id(sent)


def test_the_handlers_of_the_settings_write_such_lines() -> None:
    logging_settings: Any = settings.LOGGING
    writers = [one for one in logging_settings["handlers"].values() if one["class"] == "logging.StreamHandler"]
    assert [writer["formatter"] for writer in writers] == ["line"]
    assert logging_settings["formatters"]["line"]["()"] == "taskhub.security.log_lines.LineFormatter"
    for name in ("django", "_granian", "granian.access"):
        assert logging.getLogger(name).handlers == []
        assert logging.getLogger(name).propagate


def test_the_supervisor_passes_on_what_a_program_says_without_controls() -> None:
    said = b"one\ttwo\x1b[2J\rthree\x00\xc2\x9b31m\xe2\x80\xa8four\xff\r\nnext"
    lines = OutputLines()
    heard = [*lines.feed(said), *lines.flush()]
    assert heard == ["one\ttwo\\x1b[2J\\rthree\\x00\\x9b31m\\u2028four\ufffd", "next"]
    target = io.StringIO()
    Printer(target)("up", "stopped: \x1b]0;x\x07\nweb | forged")
    assert target.getvalue() == "up | stopped: \\x1b]0;x\\x07\\nweb | forged\n"


def test_a_line_that_cannot_be_encoded_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(message)s"))
    handler.handle(logging.LogRecord("a", logging.INFO, "", 1, "half \ud800", (), None))
    stream.flush()
    assert stream.buffer.getvalue() == b"half \\ud800\n"
    assert capsys.readouterr().err == ""
