from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "taskhub.runs"
    label = "runs"
