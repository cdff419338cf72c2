"""`manage.py encrypt`: encrypts what is stored with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand
from django_celery_beat.models import PeriodicTask

from taskhub.runs.scheduler.schedule_arguments import seal_arguments
from taskhub.security.reencryption import reencrypt_all


class Command(BaseCommand):
    help = (
        "Encrypts stored secrets with the newest key of TASKHUB_SECRET_KEY: those that an older version stored in "
        "clear, and those that an older key encrypted. Older keys can be removed then. The hub may run meanwhile."
    )

    def handle(self, *arguments: Any, **options: Any) -> None:
        rows = reencrypt_all()
        schedules = list(PeriodicTask.objects.order_by("pk").values_list("pk", flat=True))
        for pk in schedules:
            seal_arguments(periodic=PeriodicTask.objects.get(pk=pk))
        self.stdout.write(f"Encrypted with the newest key: {rows} rows, {len(schedules)} schedules.")
