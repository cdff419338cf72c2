"""`manage.py help` finds the command here; `manage.py up` itself runs `taskhub.start.up`, without Django."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand

from taskhub.start.up import DESCRIPTION, add_arguments, run_hub


class Command(BaseCommand):
    help = DESCRIPTION
    requires_system_checks: list[str] = []  # the tests run them; here they would delay every start

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *, host: str, port: int, workers: int, **options: Any) -> None:
        run_hub(host, port, workers)
