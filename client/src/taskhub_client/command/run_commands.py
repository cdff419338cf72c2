"""Commands for runs: start a walker, wait, logs, list, cancel, retry."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

import click

from taskhub_client.command.bulk_changes import CHANGES, FILTERS, change_many, filters_of, with_options
from taskhub_client.command.output import (
    REFUSED,
    Session,
    clean,
    finish,
    local_time,
    progress_text,
    read_values,
    show_error,
    show_run,
    show_started,
    wait_with_bar,
)
from taskhub_client.errors import ProblemError
from taskhub_client.records import LogLine, RunRecord
from taskhub_client.walkers import RunOptions

TIME = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"])


@click.command()
@click.argument("walker")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--ctx", help="All values as one JSON object.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait: print the run's id.")
@click.option("--tag", "tags", multiple=True, help="To find the run by; may be repeated.")
@click.option("--priority", type=click.IntRange(1, 9))
@click.option("--at", "run_at", type=TIME, help="Not before this time, such as 2026-01-31T12:00:00Z.")
@click.option("--webhook", help="An address that is told of the end.")
@click.pass_obj
@finish
def run(
    session: Session,
    walker: str,
    values: tuple[str, ...],
    ctx: str | None,
    detach: bool,
    tags: tuple[str, ...],
    priority: int | None,
    run_at: datetime | None,
    webhook: str | None,
) -> None:
    """Run a walker in the background, and wait for it: taskhub run echo value=hello.

    Values are JSON, or else texts; name=@file reads one from a file. Ctrl-C stops waiting, not the run.
    """
    options = RunOptions(
        tags=list(tags) or None,
        priority=priority,
        run_at=run_at.astimezone() if run_at and run_at.tzinfo is None else run_at,
        webhook=webhook,
    )
    started = session.hub.walkers.submit(walker, {**_read_ctx(ctx), **read_values(values)}, options=options)
    if detach:
        show_started(session, started)
        return
    result = wait_with_bar(session, started)
    session.show(result if session.as_json else started.report)


def _read_ctx(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise click.UsageError(f"--ctx is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError("--ctx is not a JSON object.")
    return value


@click.command()
@click.argument("run_id")
@click.option("--timeout", type=float, help="Seconds to wait at most.")
@click.pass_obj
@finish
def wait(session: Session, run_id: str, timeout: float | None) -> None:
    """Wait for the end of a run, and print its result."""
    session.show(wait_with_bar(session, session.hub.runs.get(run_id), timeout))


@click.command()
@click.argument("run_id")
@click.option("-f", "--follow", is_flag=True, help="Also the lines that come, until the run ends.")
@click.option(
    "--level", type=click.Choice(["debug", "info", "warning", "error", "critical"]), help="From this level on."
)
@click.pass_obj
@finish
def logs(session: Session, run_id: str, follow: bool, level: str | None) -> None:
    """Print the log of a run."""
    for line in session.hub.runs.get(run_id).logs(level, follow=follow):
        print_line(session, line)


def print_line(session: Session, line: LogLine) -> None:
    if session.as_json:
        session.show(
            {"at": line.at, "level": line.level, "logger": line.logger, "message": line.message, **line.fields}
        )
        return
    colour = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}.get(line.level)
    at = line.at.astimezone().strftime("%H:%M:%S.%f")[:-3] if line.at else ""
    click.secho(f"{at} {line.level:8} {clean(line.message)}", fg=colour)


@click.command()
@with_options(*FILTERS)
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True)
@click.pass_obj
@finish
def runs(session: Session, /, limit: int, **filters: Any) -> None:
    """List runs, newest first."""
    found = session.hub.runs.list(limit=limit, **filters_of(filters))
    columns = {
        "run": lambda record: record.id,
        "name": lambda record: record.name or record.kind,
        "state": lambda record: record.state,
        "tags": lambda record: ", ".join(record.tags),
        "progress": lambda record: progress_text(record) or (record.waiting_for or {}).get("detail", ""),
        "created": lambda record: local_time(record.created_at),
        "error": lambda record: record.error.message.partition("\n")[0][:80] if record.error else "",
    }
    session.table(columns, found, raw=_raw)


def _raw(record: RunRecord) -> Any:
    return dict(record.value)


@click.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@with_options(*FILTERS, *CHANGES)
@click.pass_obj
@finish
def cancel(
    session: Session, /, run_ids: tuple[str, ...], everything: bool, yes: bool, detach: bool, **options: Any
) -> None:
    """Cancel runs by their ids, or all that match. One that cannot be cancelled does not keep the others from it.

    Of those that match the number is told first, and asked for.
    """
    filters = filters_of(options)
    _check_choice(bool(run_ids), filters, everything)
    if not run_ids:
        change_many(session, "cancel", filters, everything, yes, detach)
        return
    cancelled = [_is_cancelled(session, run_id) for run_id in run_ids]
    if not all(cancelled):
        sys.exit(REFUSED)


def _is_cancelled(session: Session, run_id: str) -> bool:
    """Cancels a run and prints it, or why it was refused."""
    try:
        show_run(session, session.hub.runs.get(run_id).cancel())
    except ProblemError as error:
        show_error(error)
        return False
    return True


def _check_choice(by_id: bool, filters: dict[str, Any], everything: bool) -> None:
    """Raises `click.UsageError` unless runs are chosen in one way."""
    if by_id + bool(filters) + everything != 1:
        raise click.UsageError("Say which runs: by their ids, by filters such as --state, or --all.")


@click.command()
@click.argument("run_id", required=False)
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("-w", "--wait", "and_wait", is_flag=True, help="Wait for the new run's end.")
@with_options(*FILTERS, *CHANGES)
@click.pass_obj
@finish
def retry(
    session: Session,
    /,
    run_id: str | None,
    values: tuple[str, ...],
    and_wait: bool,
    everything: bool,
    yes: bool,
    detach: bool,
    **options: Any,
) -> None:
    """Run again what has ended, with other arguments where they are given; or all that match and failed.

    Of a walker the values are all its own; of other kinds what the hub takes, such as payload=@file.
    """
    filters = filters_of(options)
    _check_choice(run_id is not None, filters, everything)
    if run_id is None:
        change_many(session, "retry", filters, everything, yes, detach)
        return
    ended, given = session.hub.runs.get(run_id), read_values(values)
    again = ended.retry(({"ctx": given} if ended.record.kind == "walker" else given) if given else None)
    if and_wait:
        session.show(wait_with_bar(session, again))
    else:
        show_run(session, again.record)
