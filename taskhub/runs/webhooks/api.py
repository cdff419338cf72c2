"""`/webhooks`: the signing secret, deliveries with their attempts, send again, test; and who is told of a run's end."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import Field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.errors import Forbidden
from taskhub.jsontools.field_types import Text
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run
from taskhub.runs.queue import set_webhook, visible_run
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.run_filter import RunFilter, RunFilters
from taskhub.runs.serializers import ID as RUN_ID
from taskhub.runs.webhooks import services
from taskhub.runs.webhooks.serializers import (
    DELIVERY,
    EXAMPLE_DELIVERY,
    EXAMPLE_SECRETS,
    EXAMPLE_WHOLE,
    SECRETS,
    WHOLE,
    delivery_of,
    secrets_of,
    whole_delivery,
)
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import object_of, page_of, response_header
from taskhub.web.views import CheckedView

URL = Annotated[Text, Field(max_length=2_000, description="The receiver's address, http or https.")]
RECEIVER = ObjectSchema("WebhookSent", {"url": (URL, REQUIRED)})
TESTED = ObjectSchema("WebhookTested", {"url": (Annotated[URL, Field(min_length=1)], REQUIRED)})
EXAMPLE_WEBHOOK = {"url": "https://example.com/hook"}
KEEP = Annotated[
    float,
    Field(ge=0, le=services.KEEP_HOURS_MAX, description="Hours for which the secret of before signs beside the new."),
]
ROTATION = ObjectSchema("RotationSent", {"keep_hours": (KEEP, 24.0)})

ID = OpenApiParameter(
    "id",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="The delivery's id, which is its run's.",
    examples=[OpenApiExample("A delivery", EXAMPLE_DELIVERY["id"], parameter_only=("id", OpenApiParameter.PATH))],
)


def _answer(schema: dict[str, Any], example: dict[str, Any], words: str) -> OpenApiResponse:
    return OpenApiResponse(schema, words, examples=[OpenApiExample(words, example, response_only=True)])


class DeliveryFilters(RunFilters):
    """The filters of `GET /webhooks/deliveries`."""

    kind = name = owner = tag = error = parent = retry_of = schedule = None  # type: ignore[assignment]
    finished_since = finished_until = q = None  # type: ignore[assignment]
    takes_metadata = False
    event = serializers.CharField(required=False, max_length=200, help_text="This event only")
    run = serializers.UUIDField(required=False, source="parent", help_text="Only what tells of this run")

    @property
    def filter(self) -> RunFilter:
        event = self.validated_data.get("event")
        return replace(super().filter, name=(event,) if event else ())


class SecretView(CheckedView):
    key_scopes: ClassVar = {"GET": KeyScope.MANAGE}

    @extend_schema(
        operation_id="webhooks_secret",
        responses={200: _answer(SECRETS, EXAMPLE_SECRETS, "The secrets"), **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Show the signing secret.

        The caller's own, with which the webhooks of his runs are signed (Standard Webhooks); it is made when it is
        first asked for. `retiring` are those that sign beside it for a while, after a rotation.
        """
        self.check_query(request)
        return Response(secrets_of(request.user), headers={"Cache-Control": "no-store"})


class RotateView(CheckedView):
    @extend_schema(
        operation_id="webhooks_secret_rotate",
        request={"application/json": ROTATION.schema()},
        responses={200: _answer(SECRETS, EXAMPLE_SECRETS, "The secrets")},
        examples=[OpenApiExample("At once", {"keep_hours": 0}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Rotate the signing secret.

        A new secret; the one of before signs beside it for `keep_hours`, 0 for no longer at all.
        """
        services.rotate_secret(
            owner=request.user, keep_hours=self.check_body(request, ROTATION).get("keep_hours", 24.0)
        )
        return Response(secrets_of(request.user), headers={"Cache-Control": "no-store"})


class TestView(CheckedView):
    @extend_schema(
        operation_id="webhooks_test",
        parameters=[KEY_PARAMETER, response_header("Location", "The delivery's address.", 202)],
        request={"application/json": TESTED.schema()},
        responses={202: _answer(WHOLE, EXAMPLE_WHOLE, "The delivery")},
        examples=[OpenApiExample("A receiver", {"url": "http://localhost:8000/hook"}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Send a test.

        Delivers the event `webhook.test` to an address, as any other event would be.
        """
        values = self.check_body(request, TESTED)
        return answer_once(
            request, values, lambda: _accepted(request, services.send_test(owner=request.user, url=values["url"]))
        )


def _accepted(request: Request, run: Run) -> Response:
    return Response(whole_delivery(run, request.user), 202, headers={"Location": f"/webhooks/deliveries/{run.pk}"})


class WebhookDeliveriesView(CheckedView, GenericAPIView[Run]):
    list_parameters = frozenset({"state"})

    @extend_schema(
        operation_id="webhooks_deliveries",
        parameters=[DeliveryFilters],
        responses={
            200: _answer(
                page_of(DELIVERY),
                {"results": [EXAMPLE_DELIVERY], "next": None, "previous": None},
                "A page of deliveries",
            )
        },
    )
    def get(self, request: Request) -> Response:
        """List deliveries.

        Newest first: what the caller's receivers were told; for staff everybody's.
        """
        filters = self.read_query(request, DeliveryFilters)
        runs: QuerySet[Run] = Run.objects.visible_to(request.user).defer("result").filter(kind=WEBHOOK)
        page = self.paginate_queryset(filters.filter.narrow(runs)) or []
        return self.get_paginated_response([delivery_of(run, request.user) for run in page])


class WebhookDeliveryView(CheckedView):
    @extend_schema(
        operation_id="webhooks_delivery",
        parameters=[ID],
        responses={200: _answer(WHOLE, EXAMPLE_WHOLE, "The delivery"), **problems(400)},
    )
    def get(self, request: Request, id: UUID) -> Response:
        """Show a delivery.

        With each attempt: when, the receiver's status, how long it took, the beginning of its answer.
        """
        self.check_query(request)
        return Response(whole_delivery(services.visible_delivery(run_id=id, user=request.user), request.user))


class SendAgainView(CheckedView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="webhooks_send_again",
        parameters=[ID, KEY_PARAMETER, response_header("Location", "The delivery's address.", 202)],
        responses={202: _answer(WHOLE, EXAMPLE_WHOLE, "The delivery")},
    )
    def post(self, request: Request, id: UUID) -> Response:
        """Send a delivery again.

        A new delivery of the same message, whose `webhook-id` stays. The old one must have ended.
        """
        delivery = services.visible_delivery(run_id=id, user=request.user)
        return answer_once(request, {}, lambda: _accepted(request, services.send_again(delivery=delivery)))


class RunWebhookView(CheckedView):
    @extend_schema(
        operation_id="runs_webhook",
        parameters=[RUN_ID],
        request={"application/json": RECEIVER.schema()},
        responses={
            200: _answer(object_of("Webhook", EXAMPLE_WEBHOOK), EXAMPLE_WEBHOOK, "Set"),
            **problems(409),
        },
        examples=[OpenApiExample("A receiver", {"url": "http://localhost:8000/hook"}, request_only=True)],
        tags=["runs"],
    )
    def put(self, request: Request, run_id: UUID) -> Response:
        """Say who is told of a run's end.

        The address is sent `{type, timestamp, data}` when the run ends, signed as Standard Webhooks say. It replaces
        the one of before. For the run's owner alone: the message has its result.
        """
        values = self.check_body(request, RECEIVER)
        run = visible_run(run_id=run_id, user=request.user)
        if run.owner_id != request.user.pk:
            raise Forbidden("Only the run's owner says who is told of its end: the message has its result.")
        run = set_webhook(run=run, url=values["url"])
        return Response({"url": run.webhook})

    @extend_schema(
        operation_id="runs_webhook_remove",
        parameters=[RUN_ID],
        responses={204: OpenApiResponse(description="Nobody is told."), **problems(409)},
        tags=["runs"],
    )
    def delete(self, request: Request, run_id: UUID) -> Response:
        """Tell nobody of a run's end.

        Takes back what was said of a webhook, as long as the run goes on.
        """
        set_webhook(run=visible_run(run_id=run_id, user=request.user), url="")
        return Response(status=204)


urlpatterns = [
    path("webhooks/secret", SecretView.as_view()),
    path("webhooks/secret/rotate", RotateView.as_view()),
    path("webhooks/test", TestView.as_view()),
    path("webhooks/deliveries", WebhookDeliveriesView.as_view()),
    path("webhooks/deliveries/<uuid:id>", WebhookDeliveryView.as_view()),
    path("webhooks/deliveries/<uuid:id>/send", SendAgainView.as_view()),
    path("runs/<uuid:run_id>/webhook", RunWebhookView.as_view()),
]
