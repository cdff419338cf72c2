"""The model of a step is named as nothing else in the product is. Its table keeps its name, and grants stay granted."""

from django.conf import settings
from django.db import migrations

from taskhub.db.permissions import rename_default_permissions


def rename_permissions(apps, schema_editor):
    rename_default_permissions(apps, "sequences", "Step", "SequenceStep")


def restore_permissions(apps, schema_editor):
    rename_default_permissions(apps, "sequences", "SequenceStep", "Step")


class Migration(migrations.Migration):
    dependencies = [
        ("sequences", "0001_steps"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("accounts", "0002_deleted_accounts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelTable("Step", "sequences_step"),
        migrations.RenameModel("Step", "SequenceStep"),
        migrations.RunPython(rename_permissions, restore_permissions),
    ]
