"""`/console/webhooks`: deliveries with their attempts, sent again; a test; and the secret by which they are signed."""

from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from taskhub.console.console_view import ConsoleView, uuid_position
from taskhub.console.json_tree import JsonView
from taskhub.console.list_query import read_list
from taskhub.console.placed_form import PlacedForm
from taskhub.errors import Conflict, Forbidden, Problem
from taskhub.runs.domain import State
from taskhub.runs.models import Run
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.run_pages import read_runs
from taskhub.runs.webhooks import services
from taskhub.runs.webhooks.api import RECEIVER, ROTATION, DeliveryFilters
from taskhub.runs.webhooks.serializers import delivery_of
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import RowPage

PAGE_ROWS = 50


class DeliveryListView(ConsoleView):
    """Deliveries, newest first, filtered as `GET /webhooks/deliveries` is."""

    def get(self, request: HttpRequest) -> HttpResponse:
        def read(filters: DeliveryFilters) -> RowPage:
            runs = Run.objects.visible_to(request.user).defer("result").filter(kind=WEBHOOK).select_related("owner")
            return read_runs(filters.filter.narrow(runs), PAGE_ROWS, after=uuid_position(request))

        listed = read_list(request, DeliveryFilters, {"state"}, read)
        attempts = services.attempts_of(run.pk for run in listed.page.rows)
        context = {
            "listed": listed,
            "deliveries": [(run, delivery_of(run, request.user), attempts.get(run.pk, [])) for run in listed.page.rows],
            "states": [str(state) for state in State],
            "chosen_states": listed.values.getlist("state"),
        }
        return render(request, "console/deliveries.html", context)


class DeliveryPageView(ConsoleView):
    """One delivery: each attempt with what was sent and what came back."""

    def get(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        run = services.visible_delivery(run_id=run_id, user=request.user)
        context = {
            "run": run,
            "shown": delivery_of(run, request.user),
            "attempts": services.attempts_of([run.pk]).get(run.pk, []),
            "json": JsonView("Message", services.body_for(run, request.user)),
        }
        return render(request, "console/delivery.html", context)


class SendDeliveryView(ConsoleView):
    """Sends a delivery again."""

    role_scope = KeyScope.RUN

    def post(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        delivery = services.visible_delivery(run_id=run_id, user=request.user)
        try:
            delivery = services.send_again(delivery=delivery)
            messages.success(request, "It is sent again: this is the new delivery.")
        except (Conflict, Forbidden) as refusal:
            messages.warning(request, refusal.detail)
        return HttpResponseRedirect(reverse("console:webhooks-delivery", args=[delivery.pk]))


class ReceiverForm(PlacedForm):
    places: ClassVar = {"/url": "url"}
    url = forms.CharField(
        label="Address",
        max_length=2_000,
        help_text="It is sent the event webhook.test, signed as every other.",
        widget=forms.TextInput(attrs={"inputmode": "url", "spellcheck": "false", "data-search": True}),
    )


class SendTestView(ConsoleView):
    """Sends a test to an address."""

    is_form = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "console/webhook_test.html", {"form": ReceiverForm()})

    def post(self, request: HttpRequest) -> HttpResponse:
        form, status = ReceiverForm(request.POST), int(HTTPStatus.BAD_REQUEST)
        if form.is_valid():
            try:
                run = services.send_test(owner=request.user, **RECEIVER.check(form.cleaned_data))
            except Problem as problem:
                form.add_error("url", problem.detail)
                status = problem.status
            else:
                messages.success(request, "The test is accepted: this is its delivery.")
                return HttpResponseRedirect(reverse("console:webhooks-delivery", args=[run.pk]))
        return render(request, "console/webhook_test.html", {"form": form}, status=status)


class RotationForm(PlacedForm):
    places: ClassVar = {"/keep_hours": "keep_hours"}
    keep_hours = forms.FloatField(
        label="Hours for which the old one signs, too",
        initial=24,
        min_value=0,
        max_value=services.KEEP_HOURS_MAX,
        help_text="So long receivers may still know the old one. With 0 it is over at once.",
    )


class SigningSecretView(ConsoleView):
    """The viewer's own signing secret, and those that sign beside it for a while."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, RotationForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = RotationForm(request.POST)
        if form.is_valid():
            checked: Any = ROTATION.check(form.cleaned_data)
            services.rotate_secret(owner=request.user, keep_hours=checked["keep_hours"])
            messages.success(request, "There is a new signing secret.")
            return HttpResponseRedirect(reverse("console:webhooks-secret"))
        return self._page(request, form, status=HTTPStatus.BAD_REQUEST)

    @staticmethod
    def _page(request: HttpRequest, form: RotationForm, status: int = 200) -> HttpResponse:
        owner: Any = request.user
        context = {"form": form, "secrets": services.valid_secrets(owner_id=owner.pk)}
        return render(request, "console/webhook_secret.html", context, status=status)
