from django.apps import AppConfig


class SequencesConfig(AppConfig):
    name = "sequences"

    def ready(self) -> None:
        from sequences import calls, kind  # noqa: F401  (registers its functions)
        from taskhub.runs.kinds import register, register_schedulable

        register(kind.SEQUENCE)
        register_schedulable(kind.SCHEDULED_SEQUENCE)
