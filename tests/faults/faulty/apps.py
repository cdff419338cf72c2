"""The app of the hub that tests break."""

from django.apps import AppConfig
from django.conf import settings

LEADER_LEASE_SECONDS = 5


class FaultyConfig(AppConfig):
    name = "tests.faults.faulty"

    def ready(self) -> None:
        """Half of what tests of kills did was to wait until a lease is over."""
        settings.RUN_LEASE_SECONDS, settings.RUN_RENEW_SECONDS = 6, 2
        settings.WORKER_SILENT_SECONDS, settings.WORKER_BEAT_SECONDS = 8, 1  # a busy machine lets it be late
        settings.LEADER_LEASE_SECONDS = LEADER_LEASE_SECONDS
