"""`/notifications`: rules, tried, and what they have sent."""

from typing import Any, ClassVar

from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.models import NotificationMessage, NotificationRule
from taskhub.runs.notifications import services
from taskhub.runs.notifications.serializers import (
    CHANGES,
    CHANGES_SCHEMA,
    EXAMPLE,
    EXAMPLE_MESSAGE,
    EXAMPLE_SENT,
    MESSAGE,
    RULE,
    SENT,
    RuleFilters,
    serialize_messages,
    serialize_rule,
)
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import object_of, page_of, response_header
from taskhub.web.preconditions import ETAG, IF_MATCH, check_if_match, etag_of, version_check
from taskhub.web.views import CheckedView

ID = OpenApiParameter(
    "id",
    OpenApiTypes.INT,
    OpenApiParameter.PATH,
    description="The rule's id.",
    examples=[OpenApiExample("A rule", EXAMPLE["id"], parameter_only=("id", OpenApiParameter.PATH))],
)
EXAMPLE_PAGE = {"next": None, "previous": None}
EXAMPLE_TEST = {"results": [EXAMPLE_MESSAGE | {"event": "notification.test", "state": "PENDING", "attempts": []}]}
TESTED = object_of("NotificationTest", EXAMPLE_TEST, results={"type": "array", "items": MESSAGE})


def _answer(schema: dict[str, Any], example: Any, words: str) -> OpenApiResponse:
    return OpenApiResponse(schema, words, examples=[OpenApiExample(words, example, response_only=True)])


ANSWER = _answer(RULE, EXAMPLE, "The rule")


class NewestMessageFirst(NewestFirstPagination):
    ordering = "-delivery_id"


class NotificationRulesView(CheckedView, GenericAPIView[NotificationRule]):
    list_parameters = frozenset({"on"})
    queryset = NotificationRule.objects.none()

    @extend_schema(
        operation_id="notifications_list",
        parameters=[RuleFilters],
        responses={200: _answer(page_of(RULE), EXAMPLE_PAGE | {"results": [EXAMPLE]}, "Rules")},
    )
    def get(self, request: Request) -> Response:
        """List notification rules.

        Newest first: your own; for staff everybody's.
        """
        filters = self.check_query(request, RuleFilters)
        rules = services.narrow_rules(NotificationRule.objects.visible_to(request.user), **filters)
        page = self.paginate_queryset(rules) or []
        return self.get_paginated_response([serialize_rule(rule, request.user) for rule in page])

    @extend_schema(
        operation_id="notifications_create",
        parameters=[KEY_PARAMETER, ETAG, response_header("Location", "The rule's address.", 201)],
        request={"application/json": SENT.schema()},
        responses={201: ANSWER, **problems(409)},
        examples=[OpenApiExample("Nightly failures", EXAMPLE_SENT, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Make a notification rule.

        From now on its events are told, in messages to a webhook, signed as other webhooks, or by e-mail. 403 for an
        address to which you may not send, and for what is staff's. 409 for a name that you have already.
        """
        values = self.check_body(request, SENT)

        def produce() -> Response:
            rule = services.create_rule(owner=request.user, values=values)
            shown = serialize_rule(rule, request.user)
            location = {"Location": f"/notifications/{rule.pk}"}
            return Response(shown, 201, headers={**location, **etag_of(services.version_of(rule))})

        return answer_once(request, values, produce)


def _rule_answer(request: Request, rule: NotificationRule) -> Response:
    return Response(serialize_rule(rule, request.user), headers=etag_of(services.version_of(rule)))


class NotificationRuleView(CheckedView):
    @extend_schema(operation_id="notifications_retrieve", parameters=[ID, ETAG], responses={200: ANSWER})
    def get(self, request: Request, id: int) -> Response:
        """Show a notification rule."""
        self.check_query(request)
        return _rule_answer(request, services.visible_rule(rule_id=id, user=request.user))

    @extend_schema(
        operation_id="notifications_change",
        parameters=[ID, IF_MATCH, ETAG],
        request={"application/json": CHANGES_SCHEMA},
        responses={200: ANSWER, **problems(409, 412)},
        examples=[OpenApiExample("Silence it", {"enabled": False}, request_only=True)],
    )
    def patch(self, request: Request, id: int) -> Response:
        """Change a notification rule.

        What is sent takes the place of what was there, each value as a whole; the rest stays.
        """
        sent = self.read_object(request)
        values = {name: value for name, value in CHANGES.check(sent).items() if name in sent}
        rule = services.change_rule(rule_id=id, user=request.user, values=values, check_version=version_check(request))
        return _rule_answer(request, rule)

    @extend_schema(
        operation_id="notifications_delete",
        parameters=[ID, IF_MATCH],
        responses={204: OpenApiResponse(None, "Done"), **problems(412)},
    )
    def delete(self, request: Request, id: int) -> Response:
        """Delete a notification rule.

        Messages that it has submitted are still delivered; they stay in `/runs`.
        """
        rule = services.visible_rule(rule_id=id, user=request.user)
        check_if_match(request, services.version_of(rule))
        services.delete_rule(rule=rule)
        return Response(status=204)


class NotificationTestView(CheckedView):
    role_scopes: ClassVar = {"POST": KeyScope.RUN}

    @extend_schema(
        operation_id="notifications_test",
        parameters=[ID, KEY_PARAMETER],
        request=None,
        responses={202: _answer(TESTED, EXAMPLE_TEST, "The messages")},
    )
    def post(self, request: Request, id: int) -> Response:
        """Try a notification rule.

        Sends the event `notification.test` to each of its receivers, as any other event would be sent.
        """

        def produce() -> Response:
            rule = services.visible_rule(rule_id=id, user=request.user)
            runs = services.send_test(rule=rule)
            messages = list(services.messages_of(rule).filter(pk__in=[run.pk for run in runs]))
            return Response({"results": serialize_messages(messages, request.user)}, 202)

        return answer_once(request, {}, produce)


class NotificationMessagesView(CheckedView, GenericAPIView[NotificationMessage]):
    pagination_class = NewestMessageFirst
    queryset = NotificationMessage.objects.none()

    @extend_schema(
        operation_id="notifications_messages",
        parameters=[ID],
        responses={200: _answer(page_of(MESSAGE), EXAMPLE_PAGE | {"results": [EXAMPLE_MESSAGE]}, "Messages")},
    )
    def get(self, request: Request, id: int) -> Response:
        """List the messages of a notification rule.

        Newest first, one for each receiver, with each attempt to deliver it. The id is that of its run.
        """
        self.check_query(request)
        rule = services.visible_rule(rule_id=id, user=request.user)
        page = self.paginate_queryset(services.messages_of(rule)) or []
        return self.get_paginated_response(serialize_messages(page, request.user))


urlpatterns = [
    path("notifications", NotificationRulesView.as_view()),
    path("notifications/<int:id>", NotificationRuleView.as_view()),
    path("notifications/<int:id>/test", NotificationTestView.as_view()),
    path("notifications/<int:id>/messages", NotificationMessagesView.as_view()),
]
