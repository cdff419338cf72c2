"""Many runs at once: the options that say which, and the question before they are changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from taskhub_client.command.output import Session, show_started, tell, wait_with_bar

Command = TypeVar("Command", bound=Callable[..., Any])
FILTERS = (
    click.option("--state", multiple=True, help="Such as FAILURE; may be repeated."),
    click.option("--kind", multiple=True, help="Such as walker, sequence, extraction; may be repeated."),
    click.option("--name", multiple=True, help="May be repeated."),
    click.option("--tag", multiple=True, help="With all of these tags; may be repeated."),
    click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="With this value in their metadata."),
    click.option("--error", multiple=True, help="With an error of this type, such as KeyError; may be repeated."),
    click.option("--owner", multiple=True, help="The id of a user, for staff; may be repeated."),
    click.option("--schedule", help="What this schedule started."),
    click.option("--since", help="Accepted at this time or later (RFC 3339)."),
    click.option("--until", help="Accepted before this time."),
    click.option("--finished-since", help="Ended at this time or later."),
    click.option("--finished-until", help="Ended before this time."),
    click.option("-q", "--query", "q", help="A part of a name, a tag or an error, or the beginning of an id."),
)
CHANGES = (
    click.option("--all", "everything", is_flag=True, help="All of them, instead of those that a filter matches."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask."),
    click.option("-d", "--detach", is_flag=True, help="Do not wait: print the id of the run that changes them."),
)
DONE = {"cancel": "cancelled", "retry": "tried again"}


def with_options(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Gives a command these options, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def filters_of(values: dict[str, Any]) -> dict[str, Any]:
    """The filters among the values of a command's options, those that were given."""
    pairs = dict(_pair(text) for text in values.get("metadata", ()))
    named = {**values, "metadata": pairs}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items() if value}


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError(f"--metadata is KEY=VALUE, not {text!r}.")
    return key, value


def is_asked() -> bool:
    """Whether there is somebody at a terminal who can be asked."""
    return sys.stdin.isatty()


def change_many(
    session: Session, action: str, filters: dict[str, Any], everything: bool, yes: bool, detach: bool
) -> None:
    """Cancels or retries all runs that match, once somebody at a terminal has agreed to their number."""
    chosen: Any = {**filters, **({"all": True} if everything else {})}
    if not yes:
        if not is_asked():
            raise click.UsageError("Nobody can be asked here: say --yes.")
        count = session.hub.runs.count_matched(action, **chosen)
        if not count:
            tell(session, "No run matches.")
            return
        click.confirm(f"{count} runs will be {DONE[action]}. Go on?", abort=True, err=True)
    runs = session.hub.runs
    started = runs.cancel_many(**chosen) if action == "cancel" else runs.retry_many(**chosen)
    if detach:
        show_started(session, started)
        return
    result = wait_with_bar(session, started)
    if session.as_json:
        session.show(result)
        return
    click.echo(f"{result['changed']} {DONE[action]}, {result['refused']} refused")
    for refusal in result["refusals"]:
        tell(session, f"{refusal['run']}: {refusal['detail']}")
