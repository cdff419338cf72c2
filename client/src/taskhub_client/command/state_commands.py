"""Commands for the state of the hub: its queues, its workers, and what ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from taskhub_client.command.bulk_changes import with_options
from taskhub_client.command.output import Session, finish, local_time
from taskhub_client.records import parse_time

GROUPINGS = ("state", "kind", "name", "queue", "none")
BUCKETS = {"minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d"}


@click.command()
@click.pass_obj
@finish
def queues(session: Session) -> None:
    """List the queues of the hub: what waits and for how long, what goes on, slots and workers."""
    names = ("waiting", "running", "slots", "workers")
    columns: dict[str, Callable[[Any], Any]] = {"queue": lambda row: row["name"]}
    columns |= {name: _member(name) for name in names}
    columns["oldest waits"] = lambda row: _seconds(row["oldest_seconds"])
    session.table(columns, session.hub.queues(), raw=dict)


@click.command()
@click.pass_obj
@finish
def workers(session: Session) -> None:
    """List the workers that are alive, for staff."""
    columns: dict[str, Callable[[Any], Any]] = {
        "worker": lambda row: row["name"],
        "queues": lambda row: ", ".join(row["queues"]),
        "slots": lambda row: row["slots"],
        "since": lambda row: local_time(parse_time(row["since"])),
        "runs": lambda row: "\n".join(row["runs"]),
    }
    session.table(columns, session.hub.workers(), raw=dict)


@click.command()
@click.option("--bucket", type=click.Choice([*BUCKETS]), default="hour", show_default=True, help="In UTC.")
@click.option("--by", type=click.Choice(GROUPINGS), default="state", show_default=True, help="What is told apart.")
@click.option("--since", help="Ended at this time or later (RFC 3339); otherwise 60 minutes, 24 hours or 30 days.")
@click.option("--until", help="Ended before this time.")
@with_options(
    click.option("--kind", multiple=True, help="Such as walker, sequence, extraction; may be repeated."),
    click.option("--name", multiple=True, help="May be repeated."),
    click.option("--owner", multiple=True, help="The id of a user, for staff; may be repeated."),
)
@click.pass_obj
@finish
def stats(session: Session, /, bucket: str, by: str, since: str | None, until: str | None, **filters: Any) -> None:
    """Count what ended, and how many seconds half (p50) and 95 of 100 (p95) of it took and waited at most."""
    chosen = {name: list(values) for name, values in filters.items() if values}
    columns: dict[str, Callable[[Any], Any]] = {
        f"{bucket} (UTC)": lambda row: f"{parse_time(row['bucket']):{BUCKETS[bucket]}}"
    }
    if by != "none":
        columns[by] = _member("group")
    columns["runs"] = _member("runs")
    columns |= {
        f"{words} {name}": _percentile(member, name)
        for member, words in (("duration", "took"), ("waiting", "waited"))
        for name in ("p50", "p95")
    }
    found = session.hub.runs.stats(bucket=bucket, by=by, since=since, until=until, **chosen)
    session.table(columns, found, raw=dict)


def _member(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: row[name]


def _percentile(member: str, name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: _seconds((row[member] or {}).get(name))


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
