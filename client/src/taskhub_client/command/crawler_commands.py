"""Commands for those who write a crawler."""

from __future__ import annotations

import importlib
import sys
import threading
from contextlib import ExitStack
from typing import Any

import click

from taskhub_client.command.output import Session, finish, limited, read_values
from taskhub_client.command.run_commands import print_line
from taskhub_client.crawler import Crawler


@click.group()
def crawler() -> None:
    """Write a crawler in Python."""


@crawler.command()
@click.argument("target", metavar="MODULE:CRAWLER")
@click.argument("params", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the hub reaches this computer.")
@click.option("--port", default=0, help="Any free one otherwise.")
@click.option("-n", "--limit", type=click.IntRange(1), default=5, show_default=True, help="Documents to show.")
@click.pass_obj
@finish
def dev(session: Session, target: str, params: tuple[str, ...], host: str, port: int, limit: int) -> None:
    """Try a crawler once: serve it, register it at the hub for this one task, show its log and its first documents.

    The external, its crawler, the stream and the documents are removed afterwards.
    """
    made = load_crawler(target)
    hub, name, values = session.hub, f"{made.name} (dev)", read_values(params)
    parameters = made.parameters or [{"name": key, "type": type_of(value)} for key, value in values.items()]
    with ExitStack() as ends:  # each is done whatever becomes of the others, the last one first
        server = ends.enter_context(made.make_server(host, port))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ends.callback(server.shutdown)
        external = hub.crawlers.register(name, server.endpoint, parameters=parameters)
        ends.callback(hub.call, "DELETE", f"/externals/{external['fid']}")
        started = hub.crawlers.create(external["fid"], name, params=values)
        ends.callback(hub.streams.delete, started["stream"])
        ends.callback(hub.crawlers.delete, started["fid"])
        ends.callback(made.stop_all)
        task = hub.crawlers.start(started["fid"], values)
        run = hub.runs.get(task["run"])
        for line in run.logs(follow=True):
            print_line(session, line)
        _show(session, hub.crawlers.task(task["fid"]), limit)
        run.wait()


def load_crawler(target: str) -> Crawler:
    """The crawler that `module:name` names. Raises `click.UsageError`."""
    module_name, _, name = target.partition(":")
    sys.path.insert(0, "")
    try:
        found: Any = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise click.UsageError(f"{target} is not found: {error}") from error
    if not isinstance(found, Crawler):
        raise click.UsageError(f"{target} is no crawler: decorate the function with @crawler.")
    return found


def type_of(value: Any) -> str:
    """The type of a parameter that has such a value."""
    if isinstance(value, bool):
        return "bool"
    return "integer" if isinstance(value, int) else "list" if isinstance(value, list) else "string"


def _show(session: Session, task: dict[str, Any], limit: int) -> None:
    lines = Session(None, None, as_json=True)
    for document in limited(session.hub.streams.docs(task["stream"]), limit):
        lines.show(document)
    click.echo(
        f"{task['counts']['inserted']} documents; {task['status']['code']} {task['status']['message']}", err=True
    )
