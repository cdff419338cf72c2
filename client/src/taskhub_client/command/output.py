"""What commands print: tables and bars for people, JSON for programs; and how they end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar

import click

from taskhub_client.errors import HubError, ProblemError, RunFailed, WaitTimeout
from taskhub_client.hub import Hub
from taskhub_client.processes import ProcessFailed
from taskhub_client.records import RunRecord
from taskhub_client.runs import Run

P = ParamSpec("P")
T = TypeVar("T")

FAILED, MISUSED, REFUSED, INTERRUPTED = 1, 2, 3, 130  # exit codes; click itself ends with 2 for wrong options
PIPE_WIDTH = 10_000  # signs
NEVER_WRAPPED = {"run", "runs", "state", "stream"}  # what is copied, or is short
STATE_STYLES = {
    "SUCCESS": "green",
    "FAILURE": "red",
    "REVOKED": "yellow",
    "STARTED": "cyan",
    "PROGRESS": "cyan",
    "RETRY": "magenta",
    "PENDING": "dim",
}


class Session:
    """What all commands of one call share: the hub, and whether they print JSON."""

    def __init__(self, url: str | None, key: str | None, as_json: bool) -> None:
        self.as_json = as_json
        self._url, self._key = url, key
        self._hub: Hub | None = None

    @property
    def hub(self) -> Hub:
        if self._hub is None:
            self._hub = Hub(self._url, self._key)
        return self._hub

    @property
    def url(self) -> str | None:
        """The address that was given."""
        return self._url

    @property
    def given_key(self) -> str | None:
        return self._key

    def show(self, value: Any) -> None:
        """Prints a value as JSON: one line where a program asked for it."""
        click.echo(json_text(value, indent=None if self.as_json else 2))

    def table(
        self, columns: Mapping[str, Callable[[Any], Any]], rows: Iterable[Any], raw: Callable[[Any], Any]
    ) -> None:
        """Prints rows as they come: a table, or for programs what `raw` makes of each, one a line."""
        if self.as_json:
            for row in rows:
                self.show(raw(row))
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in columns:
            table.add_column(name, overflow="fold", no_wrap=name in NEVER_WRAPPED)
        for row in rows:
            table.add_row(*(styled(column(row)) for column in columns.values()))
        # A file or a pipe has no width: there each row is one line, with nothing cut off.
        Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def styled(value: Any) -> Any:
    """A cell; states have their colours. What the hub gave is no markup."""
    from rich.text import Text

    text = clean("" if value is None else str(value))
    return Text(text, style=STATE_STYLES.get(text, ""))


def local_time(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


def clean(text: str) -> str:
    """The text without control characters, which would command the terminal."""
    return "".join(
        character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON, in which what would command the terminal is escaped."""
    text = json.dumps(value, ensure_ascii=False, default=str, indent=indent)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text)


def finish(function: Callable[P, T]) -> Callable[P, T]:
    """Turns the errors of a command into a sentence, or with --json an object, on stderr, and into an exit code."""

    @wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (RunFailed, WaitTimeout, ProcessFailed) as error:
            show_error(error)
            sys.exit(FAILED)
        except HubError as error:
            show_error(error)
            sys.exit(REFUSED)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # whoever read the output has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except OSError as error:
            click.echo(str(error), err=True)
            sys.exit(MISUSED)

    return command


def tell(session: Session, text: str) -> None:
    """Prints a sentence on stderr."""
    click.echo(json_text({"message": text}) if session.as_json else clean(text), err=True)


def show_error(error: HubError) -> None:
    """Prints an error on stderr: `{"error", "problem"?, "run"?, "process"?}` for programs."""
    session = click.get_current_context().find_object(Session)
    if session and session.as_json:
        members: dict[str, Any] = {"error": str(error)}
        if isinstance(error, ProblemError):
            members["problem"] = error.problem
        elif isinstance(error, RunFailed) and error.run:
            members["run"] = error.run.value
        elif isinstance(error, ProcessFailed):
            members["process"] = error.process
        click.echo(json_text(members), err=True)
        return
    click.echo(clean(str(error)), err=True)
    if isinstance(error, RunFailed) and error.error and error.error.where:
        click.echo(f"at {clean(error.error.where)}", err=True)
    if isinstance(error, ProblemError) and error.status == 401:
        click.echo("Sign in with: taskhub login", err=True)


def show_started(session: Session, run: Run) -> None:
    """Prints the id of a run that is not waited for."""
    if session.as_json:
        session.show({"id": run.id, "state": run.state})
    else:
        click.echo(run.id)


def show_run(session: Session, record: RunRecord) -> None:
    if session.as_json:
        session.show(record.value)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    shown: Sequence[tuple[str, Any]] = [
        ("run", record.id),
        ("name", record.name),
        ("kind", record.kind),
        ("state", record.state),
        ("progress", progress_text(record)),
        ("error", f"{record.error.type}: {record.error.message}" if record.error else ""),
        ("where", record.error.where if record.error else ""),
    ]
    for name, value in shown:
        if value:
            table.add_row(name, styled(value))
    Console().print(table)


def progress_text(record: RunRecord) -> str:
    progress = record.progress or {}
    done, total, message = progress.get("done"), progress.get("total"), progress.get("message")
    if message or done is None:
        return str(message or "")
    return f"{done} of {total}" if total else str(done)


def wait_with_bar(session: Session, run: Run, timeout: float | None = None) -> Any:
    """The run's result; meanwhile a bar shows its progress on the terminal. Raises `RunFailed`, `WaitTimeout`.

    Who interrupts it is told that the run goes on.
    """
    try:
        return _wait_with_bar(session, run, timeout)
    except KeyboardInterrupt:
        tell(session, f"Run {run.id} goes on. taskhub wait {run.id} waits for it, taskhub cancel {run.id} stops it.")
        raise


def _wait_with_bar(session: Session, run: Run, timeout: float | None) -> Any:
    if session.as_json or not sys.stderr.isatty() or timeout is not None:
        return run.wait(timeout)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(run.record.name, total=None)
        for record in run.events():
            progress = record.progress or {}
            text = f"{clean(record.name)} {record.state} {clean(progress_text(record))}"
            bars.update(bar, description=text, total=progress.get("total"), completed=progress.get("done") or 0)
    return run.wait()


def limited(rows: Iterable[T], limit: int) -> Iterable[T]:
    return islice(rows, limit)


def read_json_file(file: Any) -> Any:
    """What is in a file of JSON. Raises `click.UsageError` with the place of the fault."""
    try:
        return json.loads(file.read().removeprefix("\ufeff"))  # editors of Windows begin a file so
    except ValueError as error:
        raise click.UsageError(f"{file.name} is not JSON: {error}") from error


def read_values(pairs: Sequence[str]) -> dict[str, Any]:
    """`name=value` pairs: the value is JSON, or else a text; `name=@file` reads it from a file."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is not name=value.")
        if text.startswith("@"):
            try:
                with open(text[1:], encoding="utf-8-sig") as file:
                    text = file.read()
            except (OSError, UnicodeDecodeError) as error:
                raise click.UsageError(f"{text[1:]} cannot be read: {error}") from error
        try:
            values[name] = json.loads(text)
            json.dumps(values[name], allow_nan=False)  # Python reads more numbers than JSON has
        except ValueError:
            values[name] = text
    return values
