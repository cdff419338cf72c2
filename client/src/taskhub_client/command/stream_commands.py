"""Commands for streams of documents."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from taskhub_client.command.output import Session, finish, limited

FOLLOW_SECONDS = 5.0


@click.command()
@click.argument("task")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--skip-invalid", is_flag=True, help="Set lines aside that do not fit the schema, and store the rest.")
@click.pass_obj
@finish
def upload(session: Session, task: str, file: Path, skip_invalid: bool) -> None:
    """Upload a file of one JSON object a line (also .gz) to a crawler's task: stored as a whole or not at all."""
    session.show(session.hub.crawlers.upload(task, file, on_invalid="skip" if skip_invalid else None))


@click.group()
def stream() -> None:
    """Read streams of documents."""


@stream.command("list")
@click.pass_obj
@finish
def list_streams(session: Session) -> None:
    """List streams."""
    columns: dict[str, Any] = {
        "stream": lambda row: row["fid"],
        "name": lambda row: row["name"],
        "documents": lambda row: row["documents"],
    }
    session.table(columns, session.hub.streams.list(), raw=dict)


@stream.command()
@click.argument("fid")
@click.option("--where", help="A SQL/JSON path, such as: $.price > 11")
@click.option("--fields", help="Such as: sku,price")
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True)
@click.pass_obj
@finish
def docs(session: Session, fid: str, where: str | None, fields: str | None, limit: int) -> None:
    """Print documents, one a line."""
    chosen = fields.split(",") if fields else None
    for document in limited(session.hub.streams.docs(fid, where=where, fields=chosen), limit):
        Session(None, None, as_json=True).show(document)


@stream.command()
@click.argument("fid")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--format", "chosen", type=click.Choice(["ndjson", "array", "csv", "xlsx"]), help="By the file's ending otherwise."
)
@click.option("--fields", help="Such as: sku,price")
@click.option("--where", help="A SQL/JSON path, such as: $.price > 11")
@click.pass_obj
@finish
def export(session: Session, fid: str, file: Path, chosen: str | None, fields: str | None, where: str | None) -> None:
    """Write all documents to a file. It is there when it is whole."""
    by_ending = {".csv": "csv", ".xlsx": "xlsx", ".json": "array"}.get(file.suffix, "ndjson")
    columns = fields.split(",") if fields else None
    session.hub.streams.export(fid, file, chosen or by_ending, fields=columns, where=where)
    click.echo(str(file))


@stream.command()
@click.argument("fid")
@click.option("--cursor", help="Go on there.")
@click.option("-f", "--follow", is_flag=True, help="Also the changes that come.")
@click.pass_obj
@finish
def changes(session: Session, fid: str, cursor: str | None, follow: bool) -> None:
    """Print changes in the order of commits, one a line, and on the error output the cursor to go on from."""
    lines = Session(None, None, as_json=True)
    more = True
    try:
        while more:
            page = session.hub.streams.changes(fid, cursor)
            for change in page.changes:
                lines.show(change)
            cursor, more = page.cursor, page.more or follow
            if follow and not page.more:
                time.sleep(FOLLOW_SECONDS)
    finally:
        if cursor:  # also where it is interrupted: each change may come twice, none is left out
            click.echo(cursor, err=True)
