from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "taskhub.runs.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from taskhub.runs.kinds import register
        from taskhub.runs.webhooks.kind import KIND

        register(KIND)
