from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "taskhub.runs.notifications"
    label = "notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        from taskhub.accounts import removal
        from taskhub.runs.notifications.run_kinds import EmailKind
        from taskhub.runs.notifications.services import remove_rules_of
        from taskhub.runs.run_kinds import register

        register(EmailKind())
        removal.register("notifications", remove_rules_of)
