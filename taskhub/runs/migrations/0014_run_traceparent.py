"""The trace in which a run was accepted. With a default of the database's no row is written."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0013_indexes_of_run_options")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="traceparent",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of the span that it was accepted in",
                max_length=55,
            ),
        ),
    ]
