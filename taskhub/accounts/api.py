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

from taskhub.accounts import examples, services
from taskhub.accounts.authentication import caller, session_key_of
from taskhub.accounts.models import ApiKey
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
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import PAGE
from taskhub.web.rest_policies import FieldsParser, FormParser, JsonParser
from taskhub.web.views import CheckedView

ONCE = {"Cache-Control": "no-store"}  # no cache on the way may keep what is shown once
WRONG_SIGN_IN = (
    "The e-mail address or the password is wrong; or, of type `second-factor`, the code of the account's second "
    "factor is missing or wrong."
)
PARSERS = (JsonParser, FormParser, FieldsParser)


class SignUp(CheckedView):
    parser_classes = PARSERS
    permission_classes = (AllowAny,)
    throttle_scope = "sign_in"

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Where everybody may sign up, nobody is asked who he is, and a stale header does no harm."""
        return [] if settings.OPEN_SIGNUP else super().get_authenticators()

    @extend_schema(
        operation_id="user_create",
        request=SignUpSerializer,
        responses={201: UserSerializer, **problems(401, because={403: services.SIGN_UP_CLOSED})},
        examples=[examples.SIGN_UP, examples.user(201)],
    )
    def post(self, request: Request) -> Response:
        """Sign up.

        Makes an account. Where sign-up is closed (`TASKHUB_OPEN_SIGNUP`), only admins may.
        """
        by_staff = bool(getattr(request.user, "reaches_all", False))
        if not (settings.OPEN_SIGNUP or by_staff):
            raise Forbidden(services.SIGN_UP_CLOSED)
        user = services.sign_up(**_read(SignUpSerializer, request), by_staff=by_staff)
        return Response(UserSerializer(user).data, 201)


class SignIn(CheckedView):
    parser_classes = PARSERS
    authentication_classes = ()  # a stale header must not keep its owner from a fresh token
    permission_classes = (AllowAny,)
    throttle_scope = "sign_in"

    @extend_schema(
        operation_id="user_token",
        request=SignInSerializer,
        responses={200: TokenSerializer, **problems(because={401: WRONG_SIGN_IN})},
        examples=[examples.SIGN_IN, examples.TOKEN],
    )
    def post(self, request: Request) -> Response:
        """Sign in.

        Gives a token, for `Authorization: token <token>`. It is shown this once and ends at `expiry`. An account with a
        second factor needs a code of it, as `otp`.
        """
        issued = services.sign_in(**_read(SignInSerializer, request))
        return Response(TokenSerializer(issued).data, headers=ONCE)


class SignOut(CheckedView):
    is_own_account = True

    @extend_schema(
        operation_id="user_logout",
        responses={204: None, **problems(because={400: "The request came with an API key."})},
    )
    def post(self, request: Request) -> Response:
        """Sign out.

        Ends the token (or browser session) that this request came with.
        """
        if isinstance(request.auth, ApiKey):
            raise Rejected(f"An API key is not signed out; DELETE /user/apikey/{request.auth.prefix} revokes it.")
        if isinstance(request.auth, AuthToken):
            services.sign_out(token=request.auth)
        else:
            logout(request._request)
        return Response(status=204)


class SignOutEverywhere(CheckedView):
    is_own_account = True

    @extend_schema(operation_id="user_logout_everyone", responses={204: None})
    def post(self, request: Request) -> Response:
        """Sign out everywhere.

        Ends all of the caller's tokens. API keys stay; they are revoked one by one.
        """
        services.sign_out_everywhere(user=caller(request))
        return Response(status=204)


class Manage(CheckedView):
    is_own_account = True
    parser_classes = PARSERS

    @property
    def throttle_scope(self) -> str | None:
        """A change may carry a guess at the password, so it counts like a sign-in."""
        return "sign_in" if self.request.method == "PATCH" else None

    @extend_schema(operation_id="user_read", responses={200: UserSerializer}, examples=[examples.user(200)])
    def get(self, request: Request) -> Response:
        """Read the own account.

        The caller.
        """
        return Response(UserSerializer(caller(request)).data)

    @extend_schema(
        operation_id="user_change",
        request=ChangeSerializer,
        responses={200: UserSerializer},
        examples=[examples.CHANGE, examples.user(200)],
    )
    def patch(self, request: Request) -> Response:
        """Change the own account.

        What is left out stays. A new `email` or `password` needs `current_password`; the latter ends all other tokens
        and sessions.
        """
        changes = _read(ChangeSerializer, request)
        keep = request.auth if isinstance(request.auth, AuthToken) else None
        user = services.change_account(user=caller(request), keep=keep, keep_session=session_key_of(request), **changes)
        if request.auth is None:
            update_session_auth_hash(request._request, user)
        return Response(UserSerializer(user).data)


class Keys(CheckedView, GenericAPIView[ApiKey]):
    is_own_account = True
    parser_classes = PARSERS
    serializer_class = KeySerializer

    @extend_schema(
        operation_id="apikey_list", parameters=PAGE, responses={200: KeySerializer(many=True)}, examples=[examples.KEY]
    )
    def get(self, request: Request) -> Response:
        """List API keys.

        Newest first, and without the keys themselves. Staff see everybody's.
        """
        keys = ApiKey.objects.visible_to(caller(request)).select_related("user")
        return self.get_paginated_response(KeySerializer(self.paginate_queryset(keys), many=True).data)

    @extend_schema(
        operation_id="apikey_create",
        request=NewKeySerializer,
        responses={
            201: ShownKeySerializer,
            **problems(because={409: f"The caller has {services.KEYS_MAX} keys already."}),
        },
        examples=[examples.NEW_KEY, examples.SHOWN_KEY],
    )
    def post(self, request: Request) -> Response:
        """Make an API key.

        A credential for programs, accepted as `X-API-Key` or `?api_key=` by the calls that its `scopes` allow: `read`;
        `run` (to start, cancel and retry); `upload`; `manage` (whatever else changes something). Shown this once. A key
        makes only keys with no more scopes and no later end.
        """
        maker = request.auth if isinstance(request.auth, ApiKey) else None
        key, text = services.create_key(user=caller(request), maker=maker, **_read(NewKeySerializer, request))
        return Response(ShownKeySerializer(key, context={"key": text}).data, 201, headers=ONCE)


class Key(CheckedView):
    is_own_account = True

    @extend_schema(operation_id="apikey_delete", parameters=[examples.PREFIX], responses={204: None})
    def delete(self, request: Request, prefix: str) -> Response:
        """Revoke an API key.

        It ends at once. Staff may revoke anybody's.
        """
        services.revoke_key(user=caller(request), prefix=prefix)
        return Response(status=204)


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
