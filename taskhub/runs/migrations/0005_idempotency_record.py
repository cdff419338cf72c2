"""Kept answers are idempotency records. The table keeps its name, and what was granted stays granted."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from taskhub.db.permissions import rename_default_permissions


def rename_permissions(apps, schema_editor):
    rename_default_permissions(apps, "runs", "KeptAnswer", "IdempotencyRecord")


def restore_permissions(apps, schema_editor):
    rename_default_permissions(apps, "runs", "IdempotencyRecord", "KeptAnswer")


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0004_run_webhook"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("accounts", "0002_deleted_accounts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelTable("KeptAnswer", "runs_keptanswer"),
        migrations.RenameModel("KeptAnswer", "IdempotencyRecord"),
        migrations.RunPython(rename_permissions, restore_permissions),
        migrations.AlterField(
            model_name="schedule",
            name="periodic",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="schedule_row",
                serialize=False,
                to="django_celery_beat.periodictask",
            ),
        ),
    ]
