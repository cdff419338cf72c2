from django.apps import AppConfig


class CrawlersConfig(AppConfig):
    name = "crawlers"

    def ready(self) -> None:
        from crawlers import kinds
        from crawlers.services.purging import remove_of_owner
        from taskhub.accounts import removal
        from taskhub.runs.kinds import register, register_schedulable

        for kind in kinds.KINDS:
            register(kind)
        register_schedulable(kinds.SCHEDULED_CRAWLER)
        removal.register("crawlers", remove_of_owner)
