from django.apps import AppConfig


class ExtractionConfig(AppConfig):
    name = "extraction"

    def ready(self) -> None:
        from extraction import run_kinds
        from extraction.engines import engines
        from extraction.services import page_totals  # noqa: F401 (web processes tell of what it declares)
        from extraction.services.retention import remove_of_owner
        from extraction.services.slices import holds_slice, slice_heartbeat
        from taskhub.accounts import removal
        from taskhub.runs.health import watchdog
        from taskhub.runs.run_kinds import register, register_target

        engines()  # so that a file that cannot be read stops the start
        for kind in run_kinds.KINDS:
            register(kind())
        register_target(run_kinds.ExtractionTarget())
        watchdog.register(watchdog.WatchedWork("slices", slice_heartbeat, holds_slice))
        removal.register("extraction", remove_of_owner)
