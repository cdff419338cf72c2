"""`/secrets`: values that sequences use as `secret.NAME`, and that nobody is shown again."""

from typing import Annotated, Any

from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from pydantic import Field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from sequences.models import StoredSecret
from sequences.services.secrets import NAME_PATTERN, VALUE_MAX, delete_secret, save_secret, visible_secrets
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.views import CheckedView, QuerySerializer

EXAMPLE = {
    "name": "SHOP_KEY",
    "global": False,
    "created_at": "2026-01-31T12:00:00.004000Z",
    "updated_at": "2026-01-31T12:00:00.004000Z",
}
VALUE = Annotated[str, Field(min_length=1, max_length=VALUE_MAX, description="Nobody is shown it.")]
SECRET = ObjectSchema(
    "SecretSent",
    {
        "value": (VALUE, REQUIRED),
        "global": (Annotated[bool, Field(description="For everybody's sequences; staff only.")], False),
    },
)
NAME = OpenApiParameter(
    "name",
    {"type": "string", "pattern": f"^{NAME_PATTERN}$"},
    OpenApiParameter.PATH,
    description="The secret's name.",
    examples=[OpenApiExample("A secret", "SHOP_KEY", parameter_only=("name", OpenApiParameter.PATH))],
)


class GlobalQuery(QuerySerializer):
    def get_fields(self) -> Any:
        """`global` is a word of Python's, so it cannot be an attribute."""
        words = "The one for everybody's sequences; staff only."
        return {"global": serializers.BooleanField(default=False, help_text=words)}


class SecretSerializer(serializers.Serializer[StoredSecret]):
    """A secret without its value."""

    def get_fields(self) -> Any:
        return {
            "name": serializers.CharField(),
            "global": serializers.BooleanField(source="is_global", help_text="It is for everybody's sequences."),
            "created_at": serializers.DateTimeField(),
            "updated_at": serializers.DateTimeField(),
        }


class SecretsView(CheckedView, GenericAPIView[StoredSecret]):
    serializer_class = SecretSerializer
    pagination_class = NewestFirstPagination

    @extend_schema(
        operation_id="secrets_list",
        responses={200: SecretSerializer(many=True)},
        examples=[OpenApiExample("A secret", EXAMPLE, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """List secrets.

        The caller's own and those for everybody, newest first, without their values.
        """
        secrets = visible_secrets(request.user)
        page: Any = self.paginate_queryset(secrets)
        return self.get_paginated_response(SecretSerializer(page, many=True).data)


class SecretOfSequencesView(CheckedView):
    @extend_schema(
        operation_id="secrets_save",
        parameters=[NAME],
        request={"application/json": SECRET.schema()},
        responses={200: SecretSerializer, **problems(403)},
        examples=[
            OpenApiExample("A key", {"value": "sk-48151623"}, request_only=True),
            OpenApiExample("A secret", EXAMPLE, response_only=True),
        ],
    )
    def put(self, request: Request, name: str) -> Response:
        """Keep a secret.

        Or another value of it. Sequences of its owner read it as `secret.NAME`; it is encrypted, and masked wherever it
        occurs. A global one is for everybody's sequences, as long as they have none of their own by that name.
        """
        sent = self.check_body(request, SECRET)
        secret = save_secret(user=request.user, name=name, value=sent["value"], is_global=sent.get("global", False))
        return Response(SecretSerializer(secret).data)

    @extend_schema(
        operation_id="secrets_delete", parameters=[NAME, GlobalQuery], responses={204: None, **problems(403)}
    )
    def delete(self, request: Request, name: str) -> Response:
        """Delete a secret."""
        query = self.check_query(request, GlobalQuery)
        delete_secret(user=request.user, name=name, is_global=query["global"])
        return Response(status=204)


urlpatterns = [
    path("secrets", SecretsView.as_view()),
    path("secrets/<str:name>", SecretOfSequencesView.as_view()),
]
