"""Idempotency-Key: the same call again gets the first answer.

Shape after the IETF draft "The Idempotency-Key HTTP Header Field". The key, what it accepts and its answer are one
transaction, so a process that dies leaves either all of them or none. Only a call whose work commits by itself has no
transaction around it: then a process that dies leaves what the work has stored, and no record, and the same call is
made anew.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar, overload

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub.db.connections import thread_connection
from taskhub.error_texts import storable
from taskhub.errors import Conflict, Failed, Rejected
from taskhub.runs.models import IdempotencyRecord
from taskhub.web.front.responses import DeferredResponse
from taskhub.web.problems import as_problem

KEY = r"[!-~]([ -~]{0,253}[!-~])?"  # what a header carries unchanged
KEY_PARAMETER = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": f"^{KEY}$"},
    OpenApiParameter.HEADER,
    description="The same call with the same key gets the first answer for 24 hours: 1 to 255 ASCII characters.",
)
KEPT_HEADERS = ("Location", "ETag", "Link")

Answer = TypeVar("Answer", bound=HttpResponseBase)


@overload
def answer_once(request: Request, fields: Mapping[str, Any], produce: Callable[[], Response]) -> Response: ...


@overload
def answer_once(
    request: Request,
    fields: Mapping[str, Any],
    produce: Callable[[], Response],
    finish: Callable[[Response], HttpResponseBase] | None,
) -> HttpResponseBase: ...


def answer_once(
    request: Request,
    fields: Mapping[str, Any],
    produce: Callable[[], Response],
    finish: Callable[[Response], HttpResponseBase] | None = None,
) -> HttpResponseBase:
    """Answers a call by `produce()` in a transaction, or with the answer that the same call got before.

    `finish(response)`, where given, makes the final answer after the commit, such as how a run ended that the caller
    waits for; it replaces the one in the record. `fields` is what the call asked for, parsed, with digests in place of
    files. Raises `Failed` (422) for a key that was used for another request, `Conflict` (409) while the first call is
    still being accepted. Answers of 500 and above are not kept. Without the header there is no transaction around
    `produce()`, and no record.
    """
    scope = _scope(request)
    if scope is None:
        return finish(produce()) if finish else produce()
    with transaction.atomic():
        if not _lock(scope):
            raise _still_accepted()
        fingerprint = _digest(fields)
        if record := _valid_record(scope):
            return _replay(record, fingerprint)
        response = _answer_or_refusal(request, lambda: _in_savepoint(produce))
        _record(scope, fingerprint, response)
    if finish and response.status_code < 400:
        final = _answer_or_refusal(request, lambda: finish(response))
        if isinstance(final, DeferredResponse):
            final.then(lambda answer: _record_final(scope, answer))
        else:
            _record_final(scope, final)
        return final
    return response


def answer_once_by_steps(request: Request, fields: Mapping[str, Any], produce: Callable[[], Response]) -> Response:
    """As `answer_once`, for a `produce()` that commits as it goes on: what it has stored stays, though it is refused.

    Not within a transaction.
    """
    scope = _scope(request)
    if scope is None:
        return produce()
    with _lock_beside(scope) as locked:
        if not locked:
            raise _still_accepted()
        fingerprint = _digest(fields)
        if record := _valid_record(scope):
            return _replay(record, fingerprint)
        response = _answer_or_refusal(request, produce)
        _record(scope, fingerprint, response)
    return response


def _still_accepted() -> Conflict:
    return Conflict("A call with this Idempotency-Key is still being accepted.", retry_after=1)


def _record(scope: str, fingerprint: str, response: Response) -> None:
    """Keeps an answer, unless it is the hub's fault."""
    if response.status_code < 500:
        IdempotencyRecord.objects.update_or_create(
            scope=scope, defaults={"fingerprint": fingerprint, "created_at": timezone.now(), **_columns(response)}
        )


def _record_final(scope: str, response: Any) -> None:
    """Replaces the answer in the record by the final one."""
    if response.status_code < 500 and not response.streaming:
        IdempotencyRecord.objects.filter(scope=scope).update(**_columns(response))


def _in_savepoint(produce: Callable[[], Response]) -> Response:
    """Undoes what was written before a refusal, and leaves the outer transaction whole for the record of it."""
    with transaction.atomic():
        return produce()


def _answer_or_refusal(request: Request, produce: Callable[[], Answer]) -> Answer | Response:
    """A refusal is an answer, too, as its view gives it: it is kept, unless it is the hub's fault."""
    try:
        return produce()
    except Exception as exc:
        if as_problem(exc).status >= 500:
            raise
        view: APIView = request.parser_context["view"]
        response: Response = view.get_exception_handler()(exc, view.get_exception_handler_context())
        return response


def _valid_record(scope: str) -> IdempotencyRecord | None:
    since = timezone.now() - timedelta(hours=settings.IDEMPOTENCY_HOURS)
    return IdempotencyRecord.objects.filter(scope=scope, created_at__gt=since).first()


def _replay(record: IdempotencyRecord, fingerprint: str) -> Response:
    if record.fingerprint != fingerprint:
        raise Failed(
            "This Idempotency-Key was used for another request.",
            type="idempotency-key-reused",
            title="The key was used before",
        )
    headers = {**record.headers, "Idempotency-Replayed": "true"}
    return Response(record.body, record.status, headers=headers, content_type=headers.pop("Content-Type", None))


def _columns(response: Response) -> dict[str, Any]:
    headers = {name: response.headers.get(name) for name in KEPT_HEADERS} | {"Content-Type": response.content_type}
    body = _storable(json.loads(json.dumps(response.data, default=str)))
    return {
        "status": response.status_code,
        "body": body,
        "headers": {name: text for name, text in headers.items() if text},
    }


def _storable(value: Any) -> Any:
    """A JSON value as it can be stored: a refusal may quote whatever was sent."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_storable(key): _storable(inner) for key, inner in value.items()}
    return [_storable(inner) for inner in value] if isinstance(value, list) else value


def _scope(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not re.fullmatch(KEY, key):
        raise Rejected("An Idempotency-Key has 1 to 255 printable ASCII characters.")
    return _digest([str(request.user.pk), request.method, request.path.rstrip("/"), key])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def _lock_beside(scope: str) -> Iterator[bool]:
    """Holds the same lock in a transaction beside the work, as long as the block lasts; False where another holds it.

    In a connection of its own: that of the work goes back to the pool whenever the work waits for something, and behind
    PgBouncer each of its statements may have another one. A process that dies leaves the lock.
    """
    beside = thread_connection().copy()
    beside.settings_dict["OPTIONS"].pop("pool", None)
    try:
        beside.set_autocommit(False)
        yield _lock(scope, beside)
    finally:
        beside.close()


def _lock(scope: str, through: Any = connection) -> bool:
    """Takes a lock until the transaction ends, however it ends; False, without waiting, where another holds it."""
    with through.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int(scope[:16], 16) - (1 << 63)])
        return bool(cursor.fetchone()[0])
