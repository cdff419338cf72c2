"""Notification rules and their messages in the admin."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from taskhub.runs.models import NotificationMessage, NotificationRule
from taskhub.runs.notifications.services import enable_rule, send_test
from taskhub.runs.queue.webhook_events import address_of
from taskhub.security.masking import masked_address
from taskhub.web.admin import ReadOnlyAdmin, WatchedAdmin, list_link, row_action, row_link


@admin.register(NotificationRule)
class NotificationRuleAdmin(ReadOnlyAdmin):
    console_page = ("notifications-rule", "pk")
    list_display = ("name", "owner", "enabled", "told_events", "target", "quiet", "messages")
    list_filter = ("enabled", "all_owners")
    list_select_related = ("owner",)
    search_fields = ("name__exact", "owner__email__exact")
    search_help_text = "The whole name, or the owner's whole e-mail address"
    ordering = ("-pk",)
    actions = ("enable", "disable", "send_test")
    fields = (
        *("name", "owner", "enabled", "told_events", "target", "kind", "run_name", "tag", "schedule", "all_owners"),
        *("quiet", "slow_after", "late_after", "created_at", "messages"),
    )
    readonly_fields = ("told_events", "target", "messages")

    @admin.display(description="events")
    def told_events(self, rule: NotificationRule) -> str:
        return ", ".join(rule.events)

    @admin.display(description="told")
    def target(self, rule: NotificationRule) -> str:
        """The addresses; a webhook without its path, which may be secret."""
        return masked_address(rule.webhook) if rule.webhook else ", ".join(rule.emails)

    @admin.display(description="messages")
    def messages(self, rule: NotificationRule) -> SafeString:
        return list_link("runs_notificationmessage", "messages", rule__id__exact=rule.pk)

    @row_action("Enable the selected rules", "runs.change_notificationrule")
    def enable(self, request: HttpRequest, queryset: QuerySet[NotificationRule]) -> None:
        self.each(request, queryset, lambda rule: enable_rule(rule=rule, enabled=True), "rules enabled")

    @row_action("Disable the selected rules", "runs.change_notificationrule")
    def disable(self, request: HttpRequest, queryset: QuerySet[NotificationRule]) -> None:
        self.each(request, queryset, lambda rule: enable_rule(rule=rule, enabled=False), "rules disabled")

    @row_action("Send a test of the selected rules", "runs.add_notificationmessage", asks=True)
    def send_test(self, request: HttpRequest, queryset: QuerySet[NotificationRule]) -> None:
        rules = queryset.select_related("owner")
        self.each(request, rules, lambda rule: send_test(rule=rule), "rules tested")


@admin.register(NotificationMessage)
class NotificationMessageAdmin(WatchedAdmin):
    console_page = ("runs-run", "pk")
    list_display = ("delivery_id", "event", "told_rule", "owner", "receiver", "held_back", "state")
    list_select_related = ("delivery", "owner", "rule")
    unlisted = ("delivery__result",)
    search_ids = ("delivery__id", "delivery__parent__id")
    linked_by = ("rule__id__exact",)
    search_fields = ("owner__email__exact", "event__exact")
    search_help_text = "A message's or its run's id, the owner's whole e-mail address, or the whole event"
    fields = ("shown_delivery", "event", "told_rule", "owner", "receiver", "title", "held_back")

    @admin.display(description="rule")
    def told_rule(self, message: NotificationMessage) -> str | SafeString:
        rule = message.rule
        return row_link("runs_notificationrule", rule.pk, rule.name) if rule else "deleted"

    @admin.display(description="receiver")
    def receiver(self, message: NotificationMessage) -> str:
        return masked_address(address_of(message.delivery))

    @admin.display(description="title")
    def title(self, message: NotificationMessage) -> str:
        return str(message.delivery.arguments["data"]["title"])

    @admin.display(description="delivery")
    def state(self, message: NotificationMessage) -> str:
        return str(message.delivery.state)

    @admin.display(description="delivery")
    def shown_delivery(self, message: NotificationMessage) -> SafeString:
        return row_link("runs_run", message.delivery_id, f"{message.delivery_id} {message.delivery.state}")
