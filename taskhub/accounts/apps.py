from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "taskhub.accounts"
    label = "accounts"
    verbose_name = "Accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from taskhub.accounts import grants, roles, services, sign_ins  # noqa: F401  # the last two are told

        grants.connect()
        roles.connect()
        post_migrate.connect(roles.keep_groups, sender=roles.last_app(), dispatch_uid="roles")


class AdminConfig(admin.AdminConfig):
    """Django's, with our site."""

    default = False
    default_site = "taskhub.accounts.admin_site.Site"
