from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("extraction", "0007_process_warnings")]

    operations = [
        migrations.AddField(
            "process",
            "failed_turns",
            models.PositiveSmallIntegerField(
                default=0, db_default=0, help_text="Turns that failed one after the other"
            ),
        ),
    ]
