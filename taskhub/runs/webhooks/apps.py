from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "taskhub.runs.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from taskhub.runs.run_kinds import register
        from taskhub.runs.webhooks.run_kinds import WebhookDeliveryKind

        register(WebhookDeliveryKind())
