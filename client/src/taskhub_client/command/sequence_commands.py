"""Commands for sequences and schedules."""

from __future__ import annotations

from typing import IO, Any

import click

from taskhub_client.command.output import (
    Session,
    finish,
    read_json_file,
    read_values,
    show_run,
    show_started,
    wait_with_bar,
)


@click.group()
def sequence() -> None:
    """Check, run and store sequences."""


@sequence.command("run")
@click.argument("sequence")
@click.argument("inputs", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("-d", "--detach", is_flag=True, help="Do not wait: print the run's id.")
@click.pass_obj
@finish
def run_sequence(session: Session, sequence: str, inputs: tuple[str, ...], detach: bool) -> None:
    """Run a stored sequence by its name, or one in a file: ./nightly.json."""
    if sequence.endswith((".json", ".jsonc")) or "/" in sequence:
        try:
            with open(sequence, encoding="utf-8") as file:
                started = session.hub.sequences.submit(read_json_file(file))
        except OSError as error:
            raise click.UsageError(f"{sequence} cannot be read: {error.strerror}") from error
    else:
        started = session.hub.sequences.submit(sequence, read_values(inputs) or None)
    if detach:
        show_started(session, started)
    else:
        session.show(wait_with_bar(session, started))


@sequence.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.pass_obj
@finish
def validate(session: Session, file: IO[str]) -> None:
    """Check a sequence; each fault is named with its place."""
    session.hub.sequences.validate(read_json_file(file))
    session.show({"valid": True})


@sequence.command("dry-run")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--answers", type=click.File(encoding="utf-8"), help="A file of answers by step.")
@click.pass_obj
@finish
def dry_run(session: Session, file: IO[str], answers: IO[str] | None) -> None:
    """Show each request as it would be sent; send nothing."""
    given = read_json_file(answers) if answers else None
    session.show(session.hub.sequences.dry_run(read_json_file(file), given))


@sequence.command("put")
@click.argument("name")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--description", default="")
@click.pass_obj
@finish
def put_sequence(session: Session, name: str, file: IO[str], description: str) -> None:
    """Store a sequence; a change is a new version."""
    stored = session.hub.sequences.put(name, read_json_file(file), description=description)
    session.show({"name": stored["name"], "version": stored["version"]})


@sequence.command("list")
@click.pass_obj
@finish
def list_sequences(session: Session) -> None:
    """List stored sequences."""
    columns = {"name": _member("name"), "version": _member("version"), "description": _member("description")}
    session.table(columns, session.hub.sequences.list(), raw=dict)


@sequence.command()
@click.argument("run_id")
@click.pass_obj
@finish
def steps(session: Session, run_id: str) -> None:
    """List what a run sent, and how it was answered."""
    names = {
        "step": "path",
        "method": "method",
        "address": "url",
        "status": "status",
        "ms": "duration_ms",
        "error": "error",
    }
    session.table(
        {title: _member(name) for title, name in names.items()}, session.hub.sequences.steps(run_id), raw=dict
    )


@click.group()
def schedule() -> None:
    """Make schedules, and see what became of them."""


@schedule.command("list")
@click.pass_obj
@finish
def list_schedules(session: Session) -> None:
    """List schedules."""
    columns = {
        "id": _member("id"),
        "name": _member("name"),
        "kind": _member("kind"),
        "enabled": _member("enabled"),
        "next": lambda row: next(iter(row.get("next_fires") or ()), ""),
        "fault": _member("fault"),
    }
    session.table(columns, session.hub.schedules.list(), raw=dict)


@schedule.command("create")
@click.argument("name")
@click.argument("crontab")
@click.argument("kind", type=click.Choice(["walker", "sequence", "crawler", "extraction"]))
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--timezone", help="Such as Europe/Warsaw; UTC otherwise.")
@click.pass_obj
@finish
def create_schedule(
    session: Session, name: str, crontab: str, kind: str, arguments: tuple[str, ...], timezone: str | None
) -> None:
    """Make a schedule: taskhub schedule create tea "0 16 * * 1-5" walker name=echo."""
    when = {"crontab": crontab, **({"timezone": timezone} if timezone else {})}
    session.show(session.hub.schedules.create(name, kind, read_values(arguments), when))


@schedule.command()
@click.argument("crontab")
@click.option("--timezone")
@click.pass_obj
@finish
def preview(session: Session, crontab: str, timezone: str | None) -> None:
    """Show when a crontab fires next; nothing is stored."""
    fires = session.hub.schedules.preview({"crontab": crontab, **({"timezone": timezone} if timezone else {})})
    session.table({"local": _member("local"), "utc": _member("utc"), "mark": _member("mark")}, fires, raw=dict)


@schedule.command()
@click.argument("schedule_id", type=int)
@click.pass_obj
@finish
def fires(session: Session, schedule_id: int) -> None:
    """List what became of a schedule's due times."""
    names = ("due_at", "outcome", "lag", "run")
    session.table({name: _member(name) for name in names}, session.hub.schedules.fires(schedule_id), raw=dict)


@schedule.command("run")
@click.argument("schedule_id", type=int)
@click.pass_obj
@finish
def run_schedule(session: Session, schedule_id: int) -> None:
    """Start a run of a schedule now."""
    show_run(session, session.hub.schedules.run(schedule_id).record)


@schedule.command()
@click.argument("schedule_id", type=int)
@click.pass_obj
@finish
def pause(session: Session, schedule_id: int) -> None:
    """Pause a schedule."""
    session.hub.schedules.pause(schedule_id)


@schedule.command()
@click.argument("schedule_id", type=int)
@click.pass_obj
@finish
def resume(session: Session, schedule_id: int) -> None:
    """Resume a schedule that is paused."""
    session.hub.schedules.resume(schedule_id)


@schedule.command("delete")
@click.argument("schedule_id", type=int)
@click.confirmation_option(prompt="Delete the schedule? Its runs stay.")
@click.pass_obj
@finish
def delete_schedule(session: Session, schedule_id: int) -> None:
    """Delete a schedule."""
    session.hub.schedules.delete(schedule_id)


def _member(name: str) -> Any:
    return lambda row: row.get(name)
