"""What a start does to the database before the programs run."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from taskhub.management import startup

pytestmark = pytest.mark.django_db


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands of Django's that are called."""
    called: list[str] = []
    monkeypatch.setattr(startup, "call_command", lambda name, **options: called.append(name))
    return called


def test_where_no_migration_is_missing_only_permissions_are_made_up(commands: list[str]) -> None:
    """A start that was killed after the migrations may have left them out."""
    Permission.objects.filter(codename="view_run").delete()
    startup.migrate()
    assert Permission.objects.filter(codename="view_run").count() == 1
    assert commands == []


def test_migrations_that_are_missing_are_applied(commands: list[str]) -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("runs", max(name for app, name in recorder.applied_migrations() if app == "runs"))
    startup.migrate()
    assert commands == ["migrate"]
