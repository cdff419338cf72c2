"""The index by which the first page of the console finds what has failed, built while the hub goes on."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("runs", "0018_run_tallies")]

    operations = [
        AddIndexConcurrently(
            model_name="run",
            index=models.Index(
                fields=["-finished_at", "owner"], name="run_failed", condition=models.Q(state="FAILURE")
            ),
        ),
    ]
