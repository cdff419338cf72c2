"""The groups of the roles, and the permissions that staff had before there were any."""

from typing import Any

from django.db import migrations

ROLES = ("viewer", "operator", "admin")
PERMISSIONS = (
    ("operate_all", "Can start, cancel, pause and send again what others own"),
    ("manage_all", "Can change and delete what others own"),
)


def make_room_for_groups(apps: Any, schema_editor: Any) -> None:
    """A group that somebody else has called like a role keeps its members and permissions, under another name."""
    groups = apps.get_model("auth", "Group").objects
    for group in groups.filter(name__in=ROLES):
        name = f"{group.name} (before there were roles)"
        while groups.filter(name=name).exists():  # the migration was undone and is made once more
            name += "*"
        group.name = name
        group.save(update_fields=["name"])


def keep_what_staff_had(apps: Any, schema_editor: Any) -> None:
    """Until now all staff could change whatever others own, over the API: those who are staff go on so."""
    users = apps.get_model("accounts", "User")
    staff = list(users.objects.filter(is_staff=True, is_superuser=False))
    if not staff:
        return
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="accounts", model="user"
    )
    permissions = [
        apps.get_model("auth", "Permission").objects.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )[0]
        for codename, name in PERMISSIONS
    ]
    for user in staff:
        user.user_permissions.add(*permissions)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_browser_sessions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AlterModelOptions(name="user", options={"permissions": PERMISSIONS}),
        migrations.RunPython(make_room_for_groups, migrations.RunPython.noop),
        migrations.RunPython(keep_what_staff_had, migrations.RunPython.noop),
    ]
