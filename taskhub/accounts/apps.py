from django.apps import AppConfig
from django.contrib.admin import apps as admin


class AccountsConfig(AppConfig):
    name = "taskhub.accounts"
    label = "accounts"
    verbose_name = "Accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from taskhub.accounts import sign_ins  # noqa: F401  # is told of each


class AdminConfig(admin.AdminConfig):
    """Django's, with our site."""

    default = False
    default_site = "taskhub.accounts.admin_site.Site"
