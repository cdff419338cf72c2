from django.apps import AppConfig

from taskhub.telemetry.log_relay import LogRelay


class RunsConfig(AppConfig):
    name = "taskhub.runs"
    label = "runs"
    verbose_name = "Runs"

    def ready(self) -> None:
        from taskhub.accounts import removal
        from taskhub.runs import queue
        from taskhub.runs.health import process_reports, watchdog, worker_heartbeat  # noqa: F401 (connect to signals)
        from taskhub.runs.queue.log_capture import capture_record
        from taskhub.runs.scheduler import schedules

        LogRelay.receive = staticmethod(capture_record)
        removal.register("schedules", schedules.remove_schedules_of)
        removal.register("runs", queue.remove_runs_of)
