"""Authentication by token, by API key and by session. One query each; malformed ones never reach the database."""

import hmac
import re
from functools import cache
from typing import Any, TypeVar

from django.db import connection, models
from django.http import QueryDict
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from taskhub.accounts import services
from taskhub.accounts.models import ApiKey, BrowserSession, User, hashed
from taskhub.accounts.roles import admit_to_view
from taskhub.db.prepared_statements import PreparedStatement
from taskhub.errors import Unauthenticated
from taskhub.security.scopes import require_scopes, scope_of

TOKEN = re.compile(r"[A-Za-z0-9_]{32,128}")
KEY = re.compile(r"(thk_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")
Credential = TypeVar("Credential", bound=models.Model)


def bearer_of(request: Request) -> str | None:
    """What the header `Authorization` has behind `token` or `Bearer`, the word in any case; None for other words."""
    word, *rest = request.META.get("HTTP_AUTHORIZATION", "").split(maxsplit=1) or [""]
    if word.lower() not in {"token", "bearer"}:
        return None
    return rest[0].strip() if rest else ""


class TokenAuthentication(BaseAuthentication):
    """`Authorization: token <token>`, or `Bearer`; the word in any case.

    Not knox's own class: that one looks at all tokens of the user, and writes, in every request.
    """

    def authenticate(self, request: Request) -> tuple[User, AuthToken] | None:
        text = bearer_of(request)
        if text is None or KEY.fullmatch(text):
            return None
        token = find_with_user(AuthToken, "digest", hash_token(text)) if TOKEN.fullmatch(text) else None
        if token is None or not token.user.is_active or (token.expiry and token.expiry <= timezone.now()):
            raise Unauthenticated("The token is not valid, has expired or was revoked.")
        _admit(token.user, request)
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return "token"


class ApiKeyAuthentication(BaseAuthentication):
    """`X-API-Key: <key>`, `?api_key=<key>`, or `Authorization: Bearer <key>` for programs that send no other header.

    That the key may make the call is asked here, not by a permission, which a view may replace.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        text = request.META.get("HTTP_X_API_KEY") or request.query_params.get("api_key") or bearer_of(request)
        if not text:
            return None
        now, match = timezone.now(), KEY.fullmatch(text.strip())
        key = find_with_user(ApiKey, "prefix", match[1]) if match else None
        if (
            key is None
            or not hmac.compare_digest(key.hash, hashed(text.strip()))
            or not key.user.is_active
            or key.expired(now)
        ):
            raise Unauthenticated("The API key is not valid, has expired or was revoked.")
        require_scopes(key, {scope_of(request.parser_context["view"], str(request.method))})
        _admit(key.user, request)
        services.store_use(key=key, now=now)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return "X-API-Key"


class HeaderSession(SessionAuthentication):
    """A browser's session. Its CSRF token is read from the header only: the body may be endless."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found: tuple[Any, None] | None = super().authenticate(request)
        if found is not None:
            _admit(found[0], request)
        return found

    def enforce_csrf(self, request: Any) -> None:
        request._request._post, request._request._files = QueryDict(), MultiValueDict()
        super().enforce_csrf(request)


def caller(request: Request) -> User:
    """The user who makes a call that only users may make."""
    assert isinstance(request.user, User)  # the permission class saw to it
    return request.user


def session_key_of(request: Request) -> str | None:
    """The key of the session that a request was made with; None where it was made with a token or an API key."""
    return None if request.auth else request._request.session.session_key


def is_still_admitted(request: Request) -> bool:
    """Whether what a request came with still counts, and its user still is what he was then: asked anew."""
    rows: models.QuerySet[Any]
    now = timezone.now()
    match request.auth:
        case AuthToken():
            rows = AuthToken.objects.filter(models.Q(expiry=None) | models.Q(expiry__gt=now), pk=request.auth.pk)
        case ApiKey():
            rows = ApiKey.objects.alive(now).filter(pk=request.auth.pk)
        case _:
            rows = BrowserSession.objects.filter(session_key=session_key_of(request), expire_date__gt=now)
    return rows.filter(user=request.user.pk, user__is_active=True, user__is_staff=request.user.is_staff).exists()


def _admit(user: Any, request: Request) -> None:
    """Asked here, not by a permission, which a view may replace. Raises `Forbidden` for who may not make the call."""
    admit_to_view(user, request.parser_context["view"], str(request.method))


@cache
def _select_with_user(model: type[models.Model], column: str) -> PreparedStatement:
    """The statement has one parameter, and selects the model's columns before the user's."""
    query = model._default_manager.select_related("user").filter(**{column: ""}).query
    return PreparedStatement(query.sql_with_params()[0].replace("%s", "%(value)s"), value="text")


def find_with_user(model: type[Credential], column: str, value: str) -> Credential | None:
    """The row with this value in a column, with its user; three times as fast as `select_related("user")`.

    Every request asks for it. The statement is always the same, and the ORM takes longer to write it than PostgreSQL to
    answer it.
    """
    with connection.cursor() as cursor:
        _select_with_user(model, column).execute(cursor, {"value": value})
        row = cursor.fetchone()
    if row is None:
        return None
    names = [field.attname for field in model._meta.concrete_fields]
    instance = model.from_db(connection.alias, names, row[: len(names)])
    user = User.from_db(connection.alias, [field.attname for field in User._meta.concrete_fields], row[len(names) :])
    setattr(instance, "user", user)  # noqa: B010  (both models have one; their common type has not)
    return instance
