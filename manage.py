#!/usr/bin/env python3
"""Django's commands, each with the private servers at hand; `manage.py up` starts the hub."""

import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

from taskhub.demo.temporary_home import temporary_home
from taskhub.embedded import CannotStart, Home, Servers, check_addresses, require_home
from taskhub.security.log_lines import escape_controls
from taskhub.start import up

HELP = {"-h", "--help", "--version"}
# These need addresses in the settings, but nobody behind them; `up` and `demo` start servers themselves.
WITHOUT_SERVERS = {
    *("up", "demo", "help", "version", "check", "diffsettings", "startapp", "startproject"),
    *("makemigrations", "makemessages", "compilemessages", "collectstatic", "findstatic", "spectacular"),
}


def main() -> None:
    try:
        with temporary_home() if sys.argv[1:2] == ["demo"] else nullcontext():
            check_addresses(os.environ)
            if sys.argv[1:2] == ["backup"] and not (HELP & set(sys.argv) or os.environ.get("DATABASE_URL")):
                require_home()
            servers = Servers.of(Home())
            os.environ.update(servers.environment())
            if sys.argv[1:2] == ["up"]:
                up.main(sys.argv[2:])
            else:
                run_django(servers, sys.argv)
    except CannotStart as error:
        # The one sentence for the person at the terminal; it may quote what an address or a file holds.
        print(escape_controls(str(error)), file=sys.stderr)
        sys.exit(2)


def run_django(servers: Servers, argv: list[str]) -> None:
    """Runs a command of Django's. Raises CannotStart for a wrong setting."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskhub.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        with borrowed(servers, argv[1:]):
            execute_from_command_line(argv)
    except ImproperlyConfigured as error:
        raise CannotStart(str(error)) from None


def borrowed(servers: Servers, arguments: list[str]) -> AbstractContextManager[None]:
    """The servers for as long as a command needs them."""
    alone = not arguments or arguments[0] in WITHOUT_SERVERS or HELP & set(arguments)
    # A sequence that is nobody's knows no user, and calls other servers only.
    nobodys = arguments[:1] == ["sequence"] and not any(argument.startswith("--as") for argument in arguments)
    if alone or nobodys or not servers.private:
        return nullcontext()
    signal.signal(signal.SIGTERM, leave)  # by default it would end this process and leave the servers running
    return servers.borrowed()


def leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
