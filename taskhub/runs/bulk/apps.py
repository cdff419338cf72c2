from django.apps import AppConfig


class BulkConfig(AppConfig):
    name = "taskhub.runs.bulk"
    label = "bulk"
    verbose_name = "Bulk changes"

    def ready(self) -> None:
        from taskhub.runs.bulk.run_kinds import BulkChangeKind
        from taskhub.runs.run_kinds import register

        register(BulkChangeKind())
