from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "taskhub.runs"
    label = "runs"
    verbose_name = "Runs"

    def ready(self) -> None:
        from taskhub.accounts import removal
        from taskhub.runs import presence, services, warden  # noqa: F401  (connects the workers' signals)
        from taskhub.runs.services import scheduling

        removal.register("schedules", scheduling.remove_schedules_of)
        removal.register("runs", services.remove_runs_of)
