from django.apps import AppConfig


class SequencesConfig(AppConfig):
    name = "sequences"

    def ready(self) -> None:
        from sequences import run_kinds, scheduled_sequences  # noqa: F401  (registers its functions)
        from taskhub.runs.run_kinds import register, register_schedulable

        register(run_kinds.SEQUENCE)
        register_schedulable(run_kinds.SCHEDULED_SEQUENCE)
