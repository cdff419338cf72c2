from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "taskhub.usage"
    label = "usage"
    verbose_name = "Usage"
