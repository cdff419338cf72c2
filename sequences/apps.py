from django.apps import AppConfig


class SequencesConfig(AppConfig):
    name = "sequences"

    def ready(self) -> None:
        from sequences import calls, run_kinds  # noqa: F401  (registers its functions)
        from taskhub.runs.run_kinds import register, register_schedulable

        register(run_kinds.SEQUENCE)
        register_schedulable(run_kinds.SCHEDULED_SEQUENCE)
