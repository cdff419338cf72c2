"""Authentication by token, by API key and by session. One query each; malformed ones never reach the database."""

import re
from typing import Any

from django.http import QueryDict
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from taskhub.accounts import services
from taskhub.accounts.models import ApiKey, User, with_user
from taskhub.errors import Unauthenticated

_TOKEN = re.compile(r"[A-Za-z0-9_]{32,128}")


class TokenAuthentication(BaseAuthentication):
    """`Authorization: token <token>`, or `Bearer`; the word in any case.

    Not knox's own class: that one looks at all tokens of the user, and writes, in every request.
    """

    def authenticate(self, request: Request) -> tuple[User, AuthToken] | None:
        word, *rest = request.META.get("HTTP_AUTHORIZATION", "").split(maxsplit=1) or [""]
        if word.lower() not in {"token", "bearer"}:
            return None
        token = self._find(rest[0].strip() if rest else "")
        if token is None or not token.user.is_active or (token.expiry and token.expiry <= timezone.now()):
            raise Unauthenticated("The token is not valid, has expired or was revoked.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "token"

    @staticmethod
    def _find(text: str) -> AuthToken | None:
        if not _TOKEN.fullmatch(text):
            return None
        return with_user(AuthToken, "digest", hash_token(text))


class ApiKeyAuthentication(BaseAuthentication):
    """`X-API-Key: <key>`, or `?api_key=<key>`."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        text = request.META.get("HTTP_X_API_KEY") or request.query_params.get("api_key")
        if not text:
            return None
        now = timezone.now()
        key = ApiKey.objects.of_key(text.strip())
        if key is None or not key.user.is_active or key.expired(now):
            raise Unauthenticated("The API key is not valid, has expired or was revoked.")
        services.store_use(key=key, now=now)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return "X-API-Key"


class HeaderSession(SessionAuthentication):
    """A browser's session. Its CSRF token is read from the header only: the body may be endless."""

    def enforce_csrf(self, request: Any) -> None:
        request._request._post, request._request._files = QueryDict(), MultiValueDict()
        super().enforce_csrf(request)
