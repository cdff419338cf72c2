"""An app for the hubs of tests: to hash a password takes half a second on purpose, and tests sign up many people."""

from django.apps import AppConfig
from django.conf import settings


class QuickPasswordsConfig(AppConfig):
    name = "tests.quick_passwords"

    def ready(self) -> None:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
