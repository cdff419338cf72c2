"""The command that extracts data from web pages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import click

from taskhub_client.command.output import Session, finish, read_json_file, tell
from taskhub_client.processes import Process


@click.command()
@click.argument("payload", type=click.File(encoding="utf-8"))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="CSV, XLSX, JSON, JSONL or XML.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait: print the process's id.")
@click.option("--preview", is_flag=True, help="Try the first page only; nothing is kept.")
@click.pass_obj
@finish
def extract(session: Session, payload: IO[str], output: Path | None, detach: bool, preview: bool) -> None:
    """Extract data as a payload says, and write it to a file, or print one record a line."""
    value = read_json_file(payload)
    if preview:
        session.show(session.hub.extraction.preview(value))
        return
    process = session.hub.extraction.extract(value)
    if detach:
        if session.as_json:
            session.show({"id": process.id, "status": process.status})
        else:
            click.echo(process.id)
        return
    try:
        _wait(session, process)
    except KeyboardInterrupt:
        tell(session, f"Process {process.id} goes on.")
        raise
    if output:
        click.echo(str(process.download(output)))
        return
    for record in process.records():
        Session(None, None, as_json=True).show(record)


def _wait(session: Session, process: Process) -> None:
    if session.as_json or not sys.stderr.isatty():
        process.wait()
        return
    from rich.console import Console

    with Console(stderr=True).status("The extraction runs"):
        process.wait()
