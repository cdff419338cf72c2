import logging

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "taskhub.runs"
    label = "runs"
    verbose_name = "Runs"

    def ready(self) -> None:
        from taskhub.accounts import removal
        from taskhub.runs import queue
        from taskhub.runs.health import watchdog, worker_heartbeat  # noqa: F401  (they connect to workers' signals)
        from taskhub.runs.queue.log_capture import RunLogHandler
        from taskhub.runs.scheduler import schedules

        logging.getLogger().addHandler(RunLogHandler())
        removal.register("schedules", schedules.remove_schedules_of)
        removal.register("runs", queue.remove_runs_of)
