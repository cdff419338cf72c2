"""`taskhub`: start work on a hub, follow it, and read what it made."""

from __future__ import annotations

import os
import platform

import click

from taskhub_client.command.crawler_commands import crawler
from taskhub_client.command.extract_commands import extract
from taskhub_client.command.output import Session, finish
from taskhub_client.command.run_commands import cancel, logs, retry, run, runs, wait
from taskhub_client.command.sequence_commands import schedule, sequence
from taskhub_client.command.state_commands import queues, stats, workers
from taskhub_client.command.stream_commands import stream, upload
from taskhub_client.errors import NotSignedIn
from taskhub_client.hub import Hub
from taskhub_client.settings import (
    DEFAULT_URL,
    Credentials,
    checked_key,
    checked_url,
    find_credentials,
    forget_credentials,
    keep_credentials,
)

COMMANDS = (
    *(run, wait, logs, runs, cancel, retry, queues, workers, stats),
    *(sequence, schedule, upload, stream, extract, crawler),
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", metavar="ADDRESS", help="The hub's address; otherwise TASKHUB_URL, or that of `login`.")
@click.option("--key", metavar="KEY", help="An API key; otherwise TASKHUB_KEY, or that of `login`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one value a line.")
@click.version_option(package_name="taskhub-client")
@click.pass_context
def main(context: click.Context, url: str | None, key: str | None, as_json: bool) -> None:
    """Start work on a hub, follow it, and read what it made.

    Exit codes: 0; 1 what was waited for failed; 2 the command was called wrongly; 3 the hub cannot be reached, or
    refuses; 130 it was interrupted, and what runs at the hub goes on.
    """
    context.obj = Session(url, key, as_json)


for command in COMMANDS:
    main.add_command(command)


@main.command()
@click.option("--email", help="Sign in with e-mail and password, and make a key.")
@click.option("--password", help="Asked for otherwise.")
@click.pass_obj
@finish
def login(session: Session, email: str | None, password: str | None) -> None:
    """Keep an address and a key for the next commands.

    With --key before `login` that key is kept. Otherwise you sign in, and a key is made for this computer.
    """
    url = checked_url(session.url or click.prompt("Address", default=os.environ.get("TASKHUB_URL", DEFAULT_URL)))
    key = checked_key(session.given_key or "")
    if not key:
        email = email or click.prompt("E-mail")
        password = password or click.prompt("Password", hide_input=True)
        with Hub(url, token=_sign_in(url, str(email), str(password))) as hub:
            key = hub.make_key(f"taskhub on {platform.node()}"[:100])
    with Hub(url, key) as hub:
        account = hub.me()
    file = keep_credentials(Credentials(url, key))
    if session.as_json:
        session.show({"url": url, "email": account["email"], "file": str(file)})
    else:
        click.echo(f"Signed in to {url} as {account['email']}. The key is in {file}.")


def _sign_in(url: str, email: str, password: str) -> str:
    with Hub(url, token="none") as hub:  # noqa: S106 - neither the environment's key nor a kept one
        try:
            return hub.make_token(email, password)
        except NotSignedIn as refusal:
            if refusal.type != "second-factor":
                raise
        return hub.make_token(email, password, otp=click.prompt("Code of your second factor"))


@main.command()
def logout() -> None:
    """Forget the kept address and key. The key stays valid until it is deleted at the hub."""
    forget_credentials()


@main.command("open")
@click.argument("run_id", required=False)
@click.pass_obj
@finish
def open_(session: Session, run_id: str | None) -> None:
    """Open the hub, or one run, in a browser."""
    url = find_credentials(session.url).url
    click.launch(f"{url}/runs/{run_id}" if run_id else url)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what completes commands in a shell: eval "$(taskhub completion bash)"."""
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    assert completer is not None
    click.echo(completer(main, {}, "taskhub", "_TASKHUB_COMPLETE").source())
