from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "taskhub.console"
    label = "console"
    verbose_name = "Console"
