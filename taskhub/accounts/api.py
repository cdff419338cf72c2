"""HTTP edges of accounts: sign-up, tokens, the caller's own account, API keys."""

from typing import Any

from django.conf import settings
from django.contrib.auth import logout, update_session_auth_hash
from django.urls import path
from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from rest_framework.authentication import BaseAuthentication
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub.accounts import examples, services
from taskhub.accounts.models import ApiKey, User
from taskhub.accounts.serializers import (
    ChangeSerializer,
    KeySerializer,
    NewKeySerializer,
    ShownKeySerializer,
    SignInSerializer,
    SignUpSerializer,
    TokenSerializer,
    UserSerializer,
)
from taskhub.errors import Forbidden, Rejected
from taskhub.web.bodies import FieldsParser, FormParser, JsonParser
from taskhub.web.openapi.schemas import BODY, PAGE, problems

ONCE = {"Cache-Control": "no-store"}  # no cache on the way may keep what is shown once
TAGS = ["accounts"]
PARSERS = (JsonParser, FormParser, FieldsParser)


class SignUp(APIView):
    parser_classes = PARSERS
    permission_classes = (AllowAny,)
    throttle_scope = "sign_in"

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Where everybody may sign up, nobody is asked who he is, and a stale header does no harm."""
        return [] if settings.OPEN_SIGNUP else super().get_authenticators()

    @extend_schema(
        operation_id="user_create",
        tags=TAGS,
        summary="Sign up",
        description="Makes an account. Where sign-up is closed (`TASKHUB_OPEN_SIGNUP`), only staff may.",
        request=SignUpSerializer,
        responses={
            201: UserSerializer,
            **problems(401, 403, *BODY, because={403: "Sign-up is closed here; ask its staff for an account."}),
        },
        examples=[examples.SIGN_UP, examples.user(201)],
    )
    def post(self, request: Request) -> Response:
        if not (settings.OPEN_SIGNUP or getattr(request.user, "is_staff", False)):
            raise Forbidden("Sign-up is closed here; ask its staff for an account.")
        user = services.sign_up(**_read(SignUpSerializer, request))
        return Response(UserSerializer(user).data, 201)


class SignIn(APIView):
    parser_classes = PARSERS
    authentication_classes = ()  # a stale header must not keep its owner from a fresh token
    permission_classes = (AllowAny,)
    throttle_scope = "sign_in"

    @extend_schema(
        operation_id="user_token",
        tags=TAGS,
        summary="Sign in",
        description="Gives a token, for `Authorization: token <token>`. It is shown this once and ends at `expiry`.",
        request=SignInSerializer,
        responses={
            200: TokenSerializer,
            **problems(401, *BODY, because={401: "The e-mail address or the password is wrong."}),
        },
        examples=[examples.SIGN_IN, examples.TOKEN],
    )
    def post(self, request: Request) -> Response:
        issued = services.sign_in(**_read(SignInSerializer, request))
        return Response(TokenSerializer(issued).data, headers=ONCE)


class SignOut(APIView):
    @extend_schema(
        operation_id="user_logout",
        tags=TAGS,
        summary="Sign out",
        description="Ends the token (or browser session) that this request came with.",
        request=None,
        responses={204: None, **problems(400, 401, 403, because={400: "The request came with an API key."})},
    )
    def post(self, request: Request) -> Response:
        if isinstance(request.auth, ApiKey):
            raise Rejected(f"An API key is not signed out; DELETE /user/apikey/{request.auth.prefix} revokes it.")
        if isinstance(request.auth, AuthToken):
            services.sign_out(token=request.auth)
        else:
            logout(request._request)
        return Response(status=204)


class SignOutEverywhere(APIView):
    @extend_schema(
        operation_id="user_logout_everyone",
        tags=TAGS,
        summary="Sign out everywhere",
        description="Ends all of the caller's tokens. API keys stay; they are revoked one by one.",
        request=None,
        responses={204: None, **problems(401, 403)},
    )
    def post(self, request: Request) -> Response:
        services.sign_out_everywhere(user=_caller(request))
        return Response(status=204)


class Manage(APIView):
    parser_classes = PARSERS

    @property
    def throttle_scope(self) -> str | None:
        """A change may carry a guess at the password, so it counts like a sign-in."""
        return "sign_in" if self.request.method == "PATCH" else None

    @extend_schema(
        operation_id="user_read",
        tags=TAGS,
        summary="Read the own account",
        description="The caller.",
        responses={200: UserSerializer, **problems(401)},
        examples=[examples.user(200)],
    )
    def get(self, request: Request) -> Response:
        return Response(UserSerializer(_caller(request)).data)

    @extend_schema(
        operation_id="user_change",
        tags=TAGS,
        summary="Change the own account",
        description="What is left out stays. A new `password` needs `current_password`, and ends all other tokens.",
        request=ChangeSerializer,
        responses={200: UserSerializer, **problems(401, 403, *BODY)},
        examples=[examples.CHANGE, examples.user(200)],
    )
    def patch(self, request: Request) -> Response:
        keep = request.auth if isinstance(request.auth, AuthToken) else None
        user = services.change_account(user=_caller(request), keep=keep, **_read(ChangeSerializer, request))
        if request.auth is None:
            update_session_auth_hash(request._request, user)
        return Response(UserSerializer(user).data)


class Keys(GenericAPIView[ApiKey]):
    parser_classes = PARSERS
    serializer_class = KeySerializer

    @extend_schema(
        operation_id="apikey_list",
        tags=TAGS,
        summary="List API keys",
        description="Newest first, and without the keys themselves. Staff see everybody's.",
        parameters=PAGE,
        responses={200: KeySerializer(many=True), **problems(400, 401)},
        examples=[examples.KEY],
    )
    def get(self, request: Request) -> Response:
        keys = ApiKey.objects.visible_to(_caller(request)).select_related("user")
        return self.get_paginated_response(KeySerializer(self.paginate_queryset(keys), many=True).data)

    @extend_schema(
        operation_id="apikey_create",
        tags=TAGS,
        summary="Make an API key",
        description="A credential for programs, accepted everywhere as `X-API-Key` or `?api_key=`. Shown this once.",
        request=NewKeySerializer,
        responses={
            201: ShownKeySerializer,
            **problems(401, 403, *BODY, because={409: f"The caller has {services.KEYS_MAX} keys already."}),
        },
        examples=[examples.NEW_KEY, examples.SHOWN_KEY],
    )
    def post(self, request: Request) -> Response:
        key, text = services.create_key(user=_caller(request), **_read(NewKeySerializer, request))
        return Response(ShownKeySerializer(key, context={"key": text}).data, 201, headers=ONCE)


class Key(APIView):
    @extend_schema(
        operation_id="apikey_delete",
        tags=TAGS,
        summary="Revoke an API key",
        description="It ends at once. Staff may revoke anybody's.",
        parameters=[examples.PREFIX],
        responses={204: None, **problems(401, 403, 404)},
    )
    def delete(self, request: Request, prefix: str) -> Response:
        services.revoke_key(user=_caller(request), prefix=prefix)
        return Response(status=204)


def _caller(request: Request) -> User:
    assert isinstance(request.user, User)  # the permission class saw to it
    return request.user


def _read(kind: type[Any], request: Request) -> dict[str, Any]:
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


urlpatterns = [
    path("user/create/", SignUp.as_view()),
    path("user/token/", SignIn.as_view()),
    path("user/logout/", SignOut.as_view()),
    path("user/logout_everyone/", SignOutEverywhere.as_view()),
    path("user/manage/", Manage.as_view()),
    path("user/apikey", Keys.as_view()),
    path("user/apikey/<str:prefix>", Key.as_view()),
]
