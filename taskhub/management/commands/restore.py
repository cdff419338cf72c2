"""`manage.py restore FILE`: what `manage.py backup` wrote, into this home and database."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from taskhub.management.backup_archive import ArchiveError, restore_archive


class Command(BaseCommand):
    help = "Restores an archive of `backup` into this home and database, which must be empty, and migrates."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="The archive.")
        parser.add_argument("--replace", action="store_true", help="Lose what this home and database hold.")

    def handle(self, *, file: Path, replace: bool, **options: Any) -> None:
        try:
            restore_archive(file.absolute(), self.stdout.write, replace=replace)
        except ArchiveError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{file} is restored; start the hub with `manage.py up`")
