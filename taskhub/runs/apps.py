from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "taskhub.runs"
    label = "runs"
    verbose_name = "Runs"

    def ready(self) -> None:
        from taskhub.runs import presence, warden  # noqa: F401  (connects the workers' signals)
