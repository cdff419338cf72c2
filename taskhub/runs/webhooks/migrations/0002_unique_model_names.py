"""Models are named as nothing else in the product is. Tables keep their names, and what was granted stays granted."""

from django.conf import settings
from django.db import migrations

from taskhub.db.permissions import rename_default_permissions

RENAMED = [("Secret", "WebhookSecret"), ("Attempt", "DeliveryAttempt")]


def rename_permissions(apps, schema_editor):
    for old, new in RENAMED:
        rename_default_permissions(apps, "webhooks", old, new)


def restore_permissions(apps, schema_editor):
    for old, new in RENAMED:
        rename_default_permissions(apps, "webhooks", new, old)


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0001_webhooks"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("accounts", "0002_deleted_accounts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        *(migrations.AlterModelTable(old, f"webhooks_{old.lower()}") for old, _ in RENAMED),
        *(migrations.RenameModel(old, new) for old, new in RENAMED),
        migrations.RunPython(rename_permissions, restore_permissions),
    ]
