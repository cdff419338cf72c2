"""Indexes by which lists of runs find what is rare, built while the hub goes on: a ledger may have millions of rows."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.fields.json import KeyTextTransform


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("runs", "0014_run_traceparent")]

    operations = [
        AddIndexConcurrently(
            model_name="run",
            index=models.Index(fields=["-id"], name="run_tagged", condition=~models.Q(tags=[])),
        ),
        AddIndexConcurrently(
            model_name="run",
            index=models.Index(
                KeyTextTransform("type", "error"),
                models.F("id").desc(),
                name="run_error",
                condition=models.Q(error__isnull=False),
            ),
        ),
        AddIndexConcurrently(
            model_name="run",
            index=models.Index(
                fields=["finished_at", "owner"], name="run_finished", condition=models.Q(finished_at__isnull=False)
            ),
        ),
    ]
