"""The calls of credits: show the balance and what changed it, and top up, by staff."""

from typing import Annotated, Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from pydantic import Field
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api import examples
from extraction.api.serializers import credits_of
from extraction.api.views import ExtractionView, documented_response
from extraction.models import CreditEntry
from extraction.services import credits, suspension
from taskhub.accounts.models import User
from taskhub.errors import Forbidden, invalid
from taskhub.jsontools.field_types import Text
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.schemas import response_header

TOP_UP = ObjectSchema(
    "TopUpSent",
    {
        "user": (Annotated[Text, Field(max_length=254, description="Whose: an e-mail address or an id.")], REQUIRED),
        "amount": (
            Annotated[int, Field(ge=-credits.AMOUNT_MAX, le=credits.AMOUNT_MAX, description="Less takes back.")],
            REQUIRED,
        ),
        "note": (Annotated[Text, Field(max_length=1000)], ""),
    },
)


class CreditsView(ExtractionView, GenericAPIView[Any]):
    pagination_class = NewestFirstPagination

    @extend_schema(
        operation_id="extraction_credits",
        parameters=[response_header("Link", "The next page (RFC 8288), where there is one.", 200)],
        responses={200: documented_response("Credits", examples.CREDITS_SCHEMA, examples.CREDITS)},
    )
    def get(self, request: Request) -> Response:
        """Show credits.

        The caller's balance, and what changed it, newest first.
        """
        self.check_query(request)
        account = credits.credit_account(_user_id(request))
        entries = self.paginate_queryset(CreditEntry.objects.filter(account=account)) or []
        following = self.get_paginated_response([]).data["next"]
        headers = {"Link": f'<{following}>; rel="next"'} if following else {}
        return Response(credits_of(account, list(entries)), headers=headers)

    @extend_schema(
        operation_id="extraction_credits_top_up",
        parameters=[KEY_PARAMETER],
        request={"application/json": TOP_UP.schema()},
        responses={200: documented_response("The user's credits", examples.CREDITS_SCHEMA, examples.CREDITS)},
        examples=[OpenApiExample("500 more", {"user": "ada@example.com", "amount": 500}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Top credits up.

        By staff. What waits for them goes on.
        """
        if not getattr(request.user, "reaches_all", False):
            raise Forbidden("Credits are topped up by staff.")
        values = self.check_body(request, TOP_UP)
        user = _user(values["user"])

        def produce() -> Response:
            account = credits.top_up(
                owner_id=user.pk, amount=values["amount"], by=request.user, note=values.get("note", "")
            )
            return Response(credits_of(account, list(CreditEntry.objects.filter(account=account).order_by("-id")[:1])))

        response = answer_once(request, values, produce)
        suspension.resume_waiting(user.pk)
        return response


def _user_id(request: Request) -> UUID:
    pk: Any = request.user.pk
    return UUID(str(pk))


def _user(name_or_id: str) -> User:
    try:
        user = User.objects.filter(pk=UUID(name_or_id)).first()
    except ValueError:
        user = User.objects.filter(email__iexact=name_or_id.strip()).first()
    if user is None:
        raise invalid("/user", "There is no such user.")
    return user
