from django.apps import AppConfig


class CrawlersConfig(AppConfig):
    name = "crawlers"

    def ready(self) -> None:
        from crawlers import run_kinds
        from crawlers.services.document_removal import remove_crawlers_of
        from taskhub.accounts import removal
        from taskhub.runs.run_kinds import register, register_target

        for kind in run_kinds.KINDS:
            register(kind())
        register_target(run_kinds.CrawlerTarget())
        removal.register("crawlers", remove_crawlers_of)
