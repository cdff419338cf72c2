"""`manage.py backup FILE`: database, secret key and files of this hub, which may run, in one archive."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from taskhub.management.backup_archive import ArchiveError, write_archive


class Command(BaseCommand):
    help = "Writes database, secret key and files of this hub, which may run, to a new archive."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="The archive. Keep it secret: it holds the key of what it holds.")

    def handle(self, *, file: Path, **options: Any) -> None:
        try:
            write_archive(file.absolute(), self.stdout.write)
        except ArchiveError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{file} is written")
