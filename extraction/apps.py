from django.apps import AppConfig


class ExtractionConfig(AppConfig):
    name = "extraction"

    def ready(self) -> None:
        from extraction import kinds
        from extraction.engines import engines
        from extraction.services.purging import remove_of_owner
        from taskhub.accounts import removal
        from taskhub.runs.kinds import register, register_schedulable

        engines()  # a file that cannot be read is told at the start
        for kind in kinds.KINDS:
            register(kind)
        register_schedulable(kinds.SCHEDULED_EXTRACTION)
        removal.register("extraction", remove_of_owner)
