"""`/user/sessions`: where the caller is signed in with a browser."""

from typing import Any
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.accounts import examples
from taskhub.accounts.authentication import caller, session_key_of
from taskhub.accounts.browser_sessions import end_session, end_sessions, open_sessions
from taskhub.accounts.models import BrowserSession
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.views import CheckedView

TAGS = ["accounts"]


class NewestSignInFirst(NewestFirstPagination):
    ordering = "-sign_in_id"


class SessionSerializer(serializers.ModelSerializer[BrowserSession]):
    id = serializers.UUIDField(source="sign_in_id", read_only=True)
    expires_at = serializers.DateTimeField(source="expire_date", read_only=True)
    is_this = serializers.SerializerMethodField(help_text="Whether this request came with it.")

    class Meta:
        model = BrowserSession
        fields = ("id", "address", "user_agent", "signed_in_at", "seen_at", "expires_at", "is_this")
        read_only_fields = fields

    def get_is_this(self, row: BrowserSession) -> bool:
        return bool(row.session_key == self.context["key"])


class OpenSessions(CheckedView, GenericAPIView[BrowserSession]):
    is_own_account = True
    serializer_class = SessionSerializer
    pagination_class = NewestSignInFirst

    @extend_schema(
        operation_id="session_list",
        tags=TAGS,
        responses={200: SessionSerializer(many=True)},
        examples=[examples.SESSION],
    )
    def get(self, request: Request) -> Response:
        """List sessions.

        The browsers in which the caller is signed in to the console or the admin, the newest sign-in first.
        """
        page: Any = self.paginate_queryset(open_sessions(caller(request)))
        return self.get_paginated_response(
            SessionSerializer(page, many=True, context={"key": session_key_of(request)}).data
        )

    @extend_schema(operation_id="session_delete_all", tags=TAGS, responses={204: None})
    def delete(self, request: Request) -> Response:
        """End sessions.

        All of the caller's, but for the one that this request came with. Tokens and API keys stay.
        """
        end_sessions(user=caller(request), keep=session_key_of(request))
        return Response(status=204)


class OpenSession(CheckedView):
    is_own_account = True

    @extend_schema(operation_id="session_delete", tags=TAGS, parameters=[examples.SESSION_ID], responses={204: None})
    def delete(self, request: Request, id: UUID) -> Response:
        """End a session.

        Its browser is signed out.
        """
        end_session(user=caller(request), sign_in_id=id)
        return Response(status=204)


urlpatterns = [
    path("user/sessions", OpenSessions.as_view()),
    path("user/sessions/<uuid:id>", OpenSession.as_view()),
]
