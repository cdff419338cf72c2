"""`/webhooks`: the signing secret, deliveries with their attempts, send again, test; and who is told of a run's end."""

from typing import Annotated, Any
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

from taskhub.openapi import BODY, PAGE, object_of, problems, response_header
from taskhub.parameters import Text, moment
from taskhub.runs.api import ID as RUN_ID
from taskhub.runs.api import STATES, RunFilters
from taskhub.runs.domain import State
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import Run
from taskhub.runs.services import enqueue, retry, set_webhook, visible_run
from taskhub.runs.services.notifying import WEBHOOK
from taskhub.runs.webhooks import services
from taskhub.runs.webhooks.models import Attempt, Secret
from taskhub.shape import REQUIRED, Shape
from taskhub.views import CheckedView, NoQuery

TAGS = ["webhooks"]
URL = (Annotated[Text, Field(max_length=2_000, description="The receiver's address, http or https.")], REQUIRED)
RECEIVER = Shape("WebhookSent", {"url": URL})
KEEP = Annotated[
    float,
    Field(ge=0, le=services.KEEP_HOURS_MAX, description="Hours for which the secret of before signs beside the new."),
]
ROTATION = Shape("RotationSent", {"keep_hours": (KEEP, 24.0)})

TIME = "2026-01-31T12:00:00.000000Z"
EXAMPLE_SECRET = {
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
    "created_at": TIME,
    "expires_at": None,
}
EXAMPLE_ATTEMPT = {"number": 1, "at": TIME, "status": 204, "duration_ms": 12, "error": "", "answer": ""}
EXAMPLE_DELIVERY = {
    "id": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e72",
    "message": "msg_0a6d43c1e7c3a9b6e5a1d2f4c8e70aaaa",
    "event": "process.finished",
    "url": "https://example.com/hook",
    "run": "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e71",
    "again": None,
    "state": "SUCCESS",
    "attempt": 1,
    "error": None,
    "next_attempt_at": None,
    "created_at": TIME,
    "finished_at": TIME,
}
NULLABLE: dict[str, Any] = {"type": ["string", "null"]}
ERROR = {"type": ["object", "null"], "properties": {"type": {"type": "string"}, "message": {"type": "string"}}}
DELIVERY = object_of(
    EXAMPLE_DELIVERY,
    run=NULLABLE,
    again=NULLABLE | {"description": "The delivery that this one sends again."},
    state={"type": "string", "enum": [str(state) for state in State]},
    error=ERROR,
    next_attempt_at=NULLABLE,
    finished_at=NULLABLE,
)
ATTEMPT = object_of(EXAMPLE_ATTEMPT, status={"type": ["integer", "null"]})
WHOLE = DELIVERY | {"properties": DELIVERY["properties"] | {"attempts": {"type": "array", "items": ATTEMPT}}}
EXAMPLE_WHOLE = EXAMPLE_DELIVERY | {"attempts": [EXAMPLE_ATTEMPT]}
SECRET = object_of(EXAMPLE_SECRET, expires_at=NULLABLE)
SECRETS = {
    "type": "object",
    "properties": {"current": SECRET, "retiring": {"type": "array", "items": SECRET}},
    "required": ["current", "retiring"],
    "additionalProperties": False,
}
EXAMPLE_SECRETS = {"current": EXAMPLE_SECRET, "retiring": []}
ID = OpenApiParameter(
    "id",
    OpenApiTypes.UUID,
    OpenApiParameter.PATH,
    description="The delivery's id, which is its run's.",
    examples=[OpenApiExample("A delivery", EXAMPLE_DELIVERY["id"], parameter_only=("id", OpenApiParameter.PATH))],
)


def _answer(schema: dict[str, Any], example: dict[str, Any], words: str) -> OpenApiResponse:
    return OpenApiResponse(schema, words, examples=[OpenApiExample(words, example, response_only=True)])


def delivery_of(run: Run) -> dict[str, Any]:
    told = run.arguments
    return {
        "id": str(run.pk),
        "message": told["message"],
        "event": told["event"],
        "url": told["url"],
        "run": str(run.parent_id) if run.parent_id else None,
        "again": str(run.retry_of_id) if run.retry_of_id else None,
        "state": run.state,
        "attempt": run.attempt,
        "error": run.error,
        "next_attempt_at": moment(run.not_before) if run.state == State.RETRY and run.not_before else None,
        "created_at": moment(run.created_at),
        "finished_at": moment(run.finished_at) if run.finished_at else None,
    }


def whole_delivery(run: Run) -> dict[str, Any]:
    attempts = Attempt.objects.filter(delivery=run).order_by("id")
    return delivery_of(run) | {"attempts": [_attempt_of(attempt) for attempt in attempts]}


def _attempt_of(attempt: Attempt) -> dict[str, Any]:
    return {name: getattr(attempt, name) for name in EXAMPLE_ATTEMPT} | {"at": moment(attempt.at)}


def secrets_of(owner: Any) -> dict[str, Any]:
    current, *retiring = [_secret_of(secret) for secret in services.valid_secrets(owner_id=owner.pk)]
    return {"current": current, "retiring": retiring}


def _secret_of(secret: Secret) -> dict[str, Any]:
    return {
        "secret": secret.value,
        "created_at": moment(secret.created_at),
        "expires_at": moment(secret.expires_at) if secret.expires_at else None,
    }


class DeliveryFilters(RunFilters):
    """What `GET /webhooks/deliveries` can be asked for."""

    kind = name = parent = retry_of = schedule = None  # type: ignore[assignment]
    event = serializers.CharField(required=False, source="name", max_length=200, help_text="This event only")
    run = serializers.UUIDField(required=False, source="parent", help_text="Only what tells of this run")


class SecretView(CheckedView):
    serializer_class = NoQuery

    @extend_schema(
        operation_id="webhooks_secret",
        summary="Show the signing secret",
        description=(
            "The caller's own, with which the webhooks of his runs are signed (Standard Webhooks); it is made when it "
            "is first asked for. `retiring` are those that sign beside it for a while, after a rotation."
        ),
        responses={200: _answer(SECRETS, EXAMPLE_SECRETS, "The secrets"), **problems(400, 401)},
        tags=TAGS,
    )
    def get(self, request: Request) -> Response:
        self.query(request)
        return Response(secrets_of(request.user), headers={"Cache-Control": "no-store"})


class RotateView(CheckedView):
    @extend_schema(
        operation_id="webhooks_secret_rotate",
        summary="Rotate the signing secret",
        description="A new secret; the one of before signs beside it for `keep_hours`, 0 for no longer at all.",
        request={"application/json": ROTATION.schema()},
        responses={200: _answer(SECRETS, EXAMPLE_SECRETS, "The secrets"), **problems(401, 403, *BODY)},
        examples=[OpenApiExample("At once", {"keep_hours": 0}, request_only=True)],
        tags=TAGS,
    )
    def post(self, request: Request) -> Response:
        services.rotate_secret(owner=request.user, keep_hours=self.sent(request, ROTATION).get("keep_hours", 24.0))
        return Response(secrets_of(request.user), headers={"Cache-Control": "no-store"})


class TestView(CheckedView):
    @extend_schema(
        operation_id="webhooks_test",
        summary="Send a test",
        description="Delivers the event `webhook.test` to an address, as any other event would be.",
        parameters=[KEY_PARAMETER, response_header("Location", "The delivery's address.", 202)],
        request={"application/json": RECEIVER.schema()},
        responses={202: _answer(WHOLE, EXAMPLE_WHOLE, "The delivery"), **problems(401, 403, 409, 422, *BODY)},
        examples=[OpenApiExample("A receiver", {"url": "http://localhost:8000/hook"}, request_only=True)],
        tags=TAGS,
    )
    def post(self, request: Request) -> Response:
        values = self.sent(request, RECEIVER)
        return answer_once(
            request, values, lambda: _accepted(services.send_test(owner=request.user, url=values["url"]))
        )


def _accepted(run: Run) -> Response:
    return Response(whole_delivery(run), 202, headers={"Location": f"/webhooks/deliveries/{run.pk}"})


class DeliveriesView(GenericAPIView[Run]):
    @extend_schema(
        operation_id="webhooks_deliveries",
        summary="List deliveries",
        description="Newest first: what the caller's receivers were told; for staff everybody's.",
        parameters=[DeliveryFilters, STATES, *PAGE],
        responses={
            200: _answer(
                {
                    "type": "object",
                    "properties": {
                        "results": {"type": "array", "items": DELIVERY},
                        "next": NULLABLE,
                        "previous": NULLABLE,
                    },
                    "required": ["results", "next", "previous"],
                },
                {"results": [EXAMPLE_DELIVERY], "next": None, "previous": None},
                "A page of deliveries",
            ),
            **problems(400, 401),
        },
        tags=TAGS,
    )
    def get(self, request: Request) -> Response:
        filters = DeliveryFilters(data=request.query_params.dict())
        filters.is_valid(raise_exception=True)
        runs: QuerySet[Run] = Run.objects.visible_to(request.user).defer("result")
        page = self.paginate_queryset(runs.filter(kind=WEBHOOK, **filters.conditions)) or []
        return self.get_paginated_response([delivery_of(run) for run in page])


class DeliveryView(CheckedView):
    serializer_class = NoQuery

    @extend_schema(
        operation_id="webhooks_delivery",
        summary="Show a delivery",
        description="With each attempt: when, the receiver's status, how long it took, the beginning of its answer.",
        parameters=[ID],
        responses={200: _answer(WHOLE, EXAMPLE_WHOLE, "The delivery"), **problems(400, 401, 404)},
        tags=TAGS,
    )
    def get(self, request: Request, id: UUID) -> Response:
        self.query(request)
        return Response(whole_delivery(services.visible_delivery(run_id=id, user=request.user)))


class SendAgainView(CheckedView):
    @extend_schema(
        operation_id="webhooks_send_again",
        summary="Send a delivery again",
        description="A new delivery of the same message, whose `webhook-id` stays. The old one must have ended.",
        parameters=[ID, KEY_PARAMETER, response_header("Location", "The delivery's address.", 202)],
        request=None,
        responses={202: _answer(WHOLE, EXAMPLE_WHOLE, "The delivery"), **problems(400, 401, 403, 404, 409, 422)},
        tags=TAGS,
    )
    def post(self, request: Request, id: UUID) -> Response:
        fresh: list[Run] = []

        def produce() -> Response:
            fresh.append(retry(run=services.visible_delivery(run_id=id, user=request.user)))
            return _accepted(fresh[0])

        response = answer_once(request, {}, produce)
        for run in fresh:
            enqueue(run)
        return response


class RunWebhookView(CheckedView):
    @extend_schema(
        operation_id="runs_webhook",
        summary="Say who is told of a run's end",
        description=(
            "The address is sent `{type, timestamp, data}` when the run ends, signed as Standard Webhooks say. It "
            "replaces the one of before."
        ),
        parameters=[RUN_ID],
        request={"application/json": RECEIVER.schema()},
        responses={
            200: _answer(object_of({"url": "https://example.com/hook"}), {"url": "https://example.com/hook"}, "Set"),
            **problems(401, 403, 404, 409, *BODY),
        },
        examples=[OpenApiExample("A receiver", {"url": "http://localhost:8000/hook"}, request_only=True)],
        tags=["runs"],
    )
    def put(self, request: Request, run_id: UUID) -> Response:
        values = self.sent(request, RECEIVER)
        run = set_webhook(run=visible_run(run_id=run_id, user=request.user), url=values["url"])
        return Response({"url": run.webhook})

    @extend_schema(
        operation_id="runs_webhook_remove",
        summary="Tell nobody of a run's end",
        description="Takes back what was said of a webhook, as long as the run goes on.",
        parameters=[RUN_ID],
        responses={204: OpenApiResponse(description="Nobody is told."), **problems(401, 403, 404, 409)},
        tags=["runs"],
    )
    def delete(self, request: Request, run_id: UUID) -> Response:
        set_webhook(run=visible_run(run_id=run_id, user=request.user), url="")
        return Response(status=204)


urlpatterns = [
    path("webhooks/secret", SecretView.as_view()),
    path("webhooks/secret/rotate", RotateView.as_view()),
    path("webhooks/test", TestView.as_view()),
    path("webhooks/deliveries", DeliveriesView.as_view()),
    path("webhooks/deliveries/<uuid:id>", DeliveryView.as_view()),
    path("webhooks/deliveries/<uuid:id>/send", SendAgainView.as_view()),
    path("runs/<uuid:run_id>/webhook", RunWebhookView.as_view()),
]
