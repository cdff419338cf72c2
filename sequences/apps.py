from django.apps import AppConfig


class SequencesConfig(AppConfig):
    name = "sequences"

    def ready(self) -> None:
        from sequences import run_kinds, scheduled_sequences  # noqa: F401  (registers its functions)
        from taskhub.runs.run_kinds import register, register_target

        register(run_kinds.SequenceKind())
        register_target(run_kinds.SequenceTarget())
