"""Delivery attempts in the admin."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from taskhub.runs.bulk.admin_actions import change_chosen
from taskhub.runs.bulk.services import Action
from taskhub.runs.queue.webhook_events import address_of
from taskhub.runs.webhooks.models import DeliveryAttempt
from taskhub.security.masking import masked_address
from taskhub.web.admin import WatchedAdmin, row_action, row_link, text_block


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(WatchedAdmin):
    console_page = ("webhooks-delivery", "delivery_id")
    list_display = ("at", "event", "receiver", "owner", "number", "status", "duration_ms", "state", "error")
    list_filter = ("delivery__state",)
    list_select_related = ("delivery", "delivery__owner")
    search_ids = ("delivery__id", "delivery__parent__id")
    linked_by = ("delivery__id__exact",)
    unlisted = ("answer", "delivery__result", "delivery__arguments")
    search_fields = ("delivery__owner__email__exact", "delivery__name__exact")
    search_help_text = "A delivery's or its run's id, the owner's whole e-mail address, or the whole event"
    actions = ("send_again",)
    fields = ("at", "shown_delivery", "event", "receiver", "owner", "number", "status", "duration_ms", "error", "said")

    @admin.display(description="event")
    def event(self, attempt: DeliveryAttempt) -> str:
        return attempt.delivery.name

    @admin.display(description="receiver")
    def receiver(self, attempt: DeliveryAttempt) -> str:
        """The address without its query, which may hold a secret."""
        return masked_address(address_of(attempt.delivery))

    @admin.display(description="owner")
    def owner(self, attempt: DeliveryAttempt) -> str:
        return str(attempt.delivery.owner)

    @admin.display(description="delivery")
    def state(self, attempt: DeliveryAttempt) -> str:
        return attempt.delivery.state

    @admin.display(description="delivery")
    def shown_delivery(self, attempt: DeliveryAttempt) -> SafeString:
        return format_html("{} {}", row_link("runs_run", attempt.delivery_id), attempt.delivery.state)

    @admin.display(description="answer")
    def said(self, attempt: DeliveryAttempt) -> SafeString:
        return text_block(attempt.answer)

    @row_action("Send again", "webhooks.add_deliveryattempt", asks=True)
    def send_again(self, request: HttpRequest, queryset: QuerySet[DeliveryAttempt]) -> None:
        ids = queryset.order_by("delivery_id").values_list("delivery_id", flat=True).distinct()
        change_chosen(self, request, Action.RETRY, ids, "deliveries accepted again")
