"""The default permissions of renamed models."""

from typing import Any

from django.conf import settings
from django.utils.text import camel_case_to_spaces

DEFAULT_ACTIONS = ("add", "change", "delete", "view")


def rename_default_permissions(apps: Any, app_label: str, old_model: str, new_model: str) -> None:
    """Renames the four default permissions of a model, so that groups and users keep what they were granted.

    For `RunPython` after `RenameModel`, and with the two names swapped for its reverse; `old_model` and `new_model` are
    class names, such as "Task" and "CrawlerTask". The migration depends on the last one of `auth` of `contenttypes`
    and of the user model. Where permissions do not exist yet, nothing happens: Django creates them, under the new
    names, when all migrations are applied.
    """
    permissions = apps.get_model("auth", "Permission").objects
    verbose_name = _verbose_name(apps, app_label, new_model)
    for action in DEFAULT_ACTIONS:
        of_model = permissions.filter(content_type__app_label=app_label)
        # Whether the content type has its new name yet depends on when the migration began (see RenameContentType).
        old = of_model.filter(codename=f"{action}_{old_model.lower()}").filter(
            content_type__model__in=[old_model.lower(), new_model.lower()]
        )
        new = of_model.filter(codename=f"{action}_{new_model.lower()}", content_type__model=new_model.lower()).first()
        for permission in old:
            if new is not None:
                _move_grants(apps, permission, new)
                permission.delete()
                continue
            permission.codename = f"{action}_{new_model.lower()}"
            permission.name = f"Can {action} {verbose_name}"
            permission.save(update_fields=["codename", "name"])


def _verbose_name(apps: Any, app_label: str, model: str) -> str:
    try:
        return str(apps.get_model(app_label, model)._meta.verbose_name)
    except LookupError:  # in reverse, where the state still has the other name
        return camel_case_to_spaces(model)


def _move_grants(apps: Any, old: Any, new: Any) -> None:
    for group in apps.get_model("auth", "Group").objects.filter(permissions=old):
        group.permissions.add(new)
    for user in apps.get_model(settings.AUTH_USER_MODEL).objects.filter(user_permissions=old):
        user.user_permissions.add(new)
