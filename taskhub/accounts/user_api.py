"""`/users`: the accounts of all, for staff; what changes them is for admins."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.accounts.models import User
from taskhub.accounts.roles import Role, role_of
from taskhub.accounts.serializers import JSONBooleanField, Strict
from taskhub.accounts.user_administration import (
    NO_ROLE,
    SUPERUSER,
    change_activity,
    change_role,
    end_credentials,
    find_user,
    find_users,
)
from taskhub.errors import Forbidden
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.query_values import FlagFilter
from taskhub.web.rest_policies import JsonParser
from taskhub.web.views import CheckedView, QuerySerializer

ROLES = [str(role) for role in Role]
EXAMPLE = {
    "id": "7b0c9a52-5d35-4a1c-9a5e-0f6a3f1f2c11",
    "email": "ada@example.com",
    "name": "Ada",
    "role": "operator",
    "is_staff": True,
    "is_superuser": False,
    "is_active": True,
    "created_at": "2026-11-22T09:00:00Z",
    "last_login": "2026-12-01T08:00:00Z",
}
ID = OpenApiParameter(
    "id",
    UUID,
    OpenApiParameter.PATH,
    description="The user's id.",
    examples=[OpenApiExample("A user", EXAMPLE["id"], parameter_only=("id", "path"))],
)


class UserFilters(QuerySerializer):
    """The filters of `GET /users`."""

    q = serializers.CharField(required=False, max_length=200, help_text="A part of a name or an address, in any case")
    role = serializers.ChoiceField([*ROLES, NO_ROLE, SUPERUSER], required=False, help_text="Those of this role only")
    active = FlagFilter(required=False, help_text="Only those whose account is active, or is not")


class AccountSerializer(serializers.ModelSerializer[User]):
    """A user as staff see it."""

    role = serializers.SerializerMethodField(help_text="null: no staff, or staff without a role")
    created_at = serializers.DateTimeField(source="date_joined", read_only=True)

    class Meta:
        model = User
        fields = tuple(EXAMPLE)
        read_only_fields = fields

    def get_role(self, user: User) -> str | None:
        role = role_of(user)
        return None if role is None else str(role)


class AccountChangeSerializer(Strict):
    role = serializers.ChoiceField(ROLES, required=False, allow_null=True, help_text="null takes it away")
    is_active = JSONBooleanField(required=False, help_text="false also ends what is signed in")


class UsersByAddress(NewestFirstPagination):
    ordering = "email"


class UsersView(CheckedView, GenericAPIView[User]):
    pagination_class = UsersByAddress
    serializer_class = AccountSerializer

    @extend_schema(
        operation_id="users_list",
        tags=["accounts"],
        parameters=[UserFilters],
        responses={200: AccountSerializer(many=True)},
        examples=[OpenApiExample("A user", EXAMPLE, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """List users.

        By their addresses. For staff.
        """
        _check_staff(request)
        query = self.check_query(request, UserFilters)
        users = find_users(part=query.get("q", ""), role=query.get("role", ""), is_active=query.get("active"))
        page = self.paginate_queryset(users.prefetch_related("groups"))
        return self.get_paginated_response(AccountSerializer(page, many=True).data)


class UserView(CheckedView):
    parser_classes = (JsonParser,)

    @extend_schema(
        operation_id="users_retrieve",
        tags=["accounts"],
        parameters=[ID],
        responses={200: AccountSerializer},
        examples=[OpenApiExample("A user", EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, id: UUID) -> Response:
        """Show a user.

        For staff.
        """
        _check_staff(request)
        self.check_query(request)
        return Response(AccountSerializer(find_user(id)).data)

    @extend_schema(
        operation_id="users_change",
        tags=["accounts"],
        parameters=[ID],
        request=AccountChangeSerializer,
        responses={
            200: AccountSerializer,
            **problems(because={403: "For admins; nobody changes the own role, nor that of a superuser."}),
            **problems(because={409: "A superuser has no role."}),
        },
        examples=[
            OpenApiExample("An operator", {"role": "operator"}, request_only=True),
            OpenApiExample("A user", EXAMPLE, response_only=True),
        ],
    )
    def patch(self, request: Request, id: UUID) -> Response:
        """Change a user.

        Gives or takes a role, lets in or keeps out. For admins.
        """
        _check_staff(request)
        serializer = AccountChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        user = find_user(id)
        with transaction.atomic():
            if "role" in values:
                role = values["role"]
                user = change_role(user=user, role=None if role is None else Role(role), by=request.user)
            if "is_active" in values:
                user = change_activity(user=user, is_active=values["is_active"], by=request.user)
        return Response(AccountSerializer(user).data)


class UserSignOutView(CheckedView):
    @extend_schema(
        operation_id="users_logout",
        tags=["accounts"],
        parameters=[ID],
        responses={204: None, **problems(because={403: "For admins, and of superusers for superusers."})},
    )
    def post(self, request: Request, id: UUID) -> Response:
        """Sign a user out everywhere.

        Ends all of the user's tokens and sessions; API keys stay. For admins.
        """
        _check_staff(request)
        end_credentials(user=find_user(id), by=request.user)
        return Response(status=204)


def _check_staff(request: Request) -> None:
    """Before anything is looked up: others do not even learn who there is."""
    if not request.user.is_staff:
        raise Forbidden("Only staff may see the accounts of others.")


urlpatterns = [
    path("users", UsersView.as_view()),
    path("users/<uuid:id>", UserView.as_view()),
    path("users/<uuid:id>/logout", UserSignOutView.as_view()),
]
