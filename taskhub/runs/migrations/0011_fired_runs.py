"""Runs that were fired point to their schedules."""

from typing import Any

from django.db import migrations

# One statement a schedule, each by an index: it locks few rows for a short time.
_RUNS = "UPDATE runs_run SET schedule_id = %s WHERE schedule = %s AND schedule_id IS NULL"


def point_to_schedules(apps: Any, editor: Any) -> None:
    with editor.connection.cursor() as cursor:
        cursor.execute("SELECT id, name FROM django_celery_beat_periodictask")
        for periodic in cursor.fetchall():
            cursor.execute(_RUNS, periodic)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("runs", "0010_schedules_of_owners")]

    operations = [migrations.RunPython(point_to_schedules, migrations.RunPython.noop)]
