"""Answers that wait for runs: a call that asks how a run ends, and a stream of its moves."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import monotonic
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.accounts.authentication import is_still_admitted
from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import Unauthenticated
from taskhub.runs.models import LogLine
from taskhub.runs.queue import pubsub, visible_run
from taskhub.runs.queue.run_log import log_topic
from taskhub.runs.serializers import LogLineSerializer, RunSerializer
from taskhub.web.front.responses import DeferredResponse, EventPiece, EventStreamResponse

Respond = Callable[[], Response | HttpResponseBase]

EVENTS_SECONDS = 3600
KEEP_ALIVE_SECONDS = 15
ADMITTED_SECONDS = 10  # then it is asked again whether the caller may go on to listen
STILL_HERE = b": still here\n\n"
PIECE_ROWS = 1000

_open_waits = FairSemaphore(settings.OPEN_WAITS_MAX, "Too many waits are open.", per_user=settings.OPEN_WAITS_PER_USER)


def answer_when_ended(
    request: Request, *, run_ids: Sequence[UUID], seconds: float, respond: Respond
) -> Response | HttpResponseBase:
    """What `respond` gives when all these runs have ended, or when `seconds` are over.

    Raises `NotFound` for a run that is not the caller's, and what `answer_when` raises.
    """
    waiting = [run_id for run_id in run_ids if not visible_run(run_id=run_id, user=request.user).ended]

    def is_due() -> bool:
        while waiting and visible_run(run_id=waiting[0], user=request.user).ended:
            waiting.pop(0)
        return not waiting

    if not waiting:
        return respond()
    user_id = cast(UUID, request.user.pk)
    return answer_when(request, is_due, topics=waiting, seconds=seconds, respond=respond, user_id=user_id)


def answer_when(
    request: Request,
    is_due: Callable[[], bool],
    *,
    topics: Sequence[Any],
    seconds: float,
    respond: Respond,
    user_id: UUID,
) -> Response | HttpResponseBase:
    """What `respond` gives when it is due, or when `seconds` are over. `is_due` is asked when one of `topics` moves.
    Who waited is asked again what he came with, such as a token, which may have ended meanwhile: then it is a 401.

    `respond` may raise `Problem`s, as a view does. Raises `Unavailable` when this process has as many waits open, or
    for this user, as the settings allow.
    """
    if seconds <= 0 or is_due():
        return respond()
    view: Any = (request.parser_context or {})["view"]

    def answer(time_is_up: bool) -> HttpResponseBase | None:
        if not (is_due() or time_is_up):
            return None
        try:
            if not is_still_admitted(request):
                raise Unauthenticated("What the call was made with has ended, or its user is another by now.")
            response: Any = respond()
        except Exception as error:
            response = view.handle_exception(error)
        response = view.finalize_response(request, response, *view.args, **view.kwargs)
        return response.render() if isinstance(response, Response) else response  # type: ignore[no-any-return]

    slot = _wait_slot(user_id)
    return DeferredResponse(
        seconds=seconds,
        subscribe=lambda: pubsub.subscribe(*topics, confirmed=False),
        answer=answer,
        release=slot.close,
    )


def stream_of_events(request: Request, *, run_id: UUID) -> EventStreamResponse | Response:
    """Server-sent events of a run, one each time it moves, until it has ended. Raises as `answer_when_ended` does.

    Who has seen the end gets 204, which tells a browser's EventSource not to come again (HTML standard, section 9.2).
    """
    run = visible_run(run_id=run_id, user=request.user)
    if run.ended and request.headers.get("Last-Event-ID") == str(run.revision):
        return Response(status=204)
    revision = 0

    def next_piece() -> EventPiece:
        nonlocal revision
        run = visible_run(run_id=run_id, user=request.user)
        if run.revision == revision:
            return EventPiece(STILL_HERE, run.ended)
        revision = run.revision
        return EventPiece(_event(run.revision, "run", RunSerializer(run).data), run.ended)

    return _event_stream(request, [run_id], next_piece)


def stream_of_log(
    request: Request, *, run_id: UUID, level: int, after: int, moves: bool
) -> EventStreamResponse | Response:
    """Server-sent events of a run's log, as `stream_of_rows` gives them: a line each, from `level` on."""
    lines = LogLine.objects.filter(run_id=run_id, level__gte=level)

    def rows_after(position: int, most: int) -> list[tuple[int, Any]]:
        return [(line.pk, LogLineSerializer(line).data) for line in lines.filter(pk__gt=position)[:most]]

    topic = log_topic(run_id)
    return stream_of_rows(
        request, run_id=run_id, topic=topic, name="log", rows_after=rows_after, after=after, moves=moves
    )


def stream_of_rows(
    request: Request,
    *,
    run_id: UUID,
    topic: str,
    name: str,
    rows_after: Callable[[int, int], list[tuple[int, Any]]],
    after: int = 0,
    moves: bool = False,
) -> EventStreamResponse | Response:
    """Server-sent events of what a run leaves behind: one each, called `name`, until it has ended; and one of its end.

    `rows_after(position, most)` gives what comes after a position, in its order: up to so many positions and their
    data. `topic` is published when there is more. Raises as `answer_when_ended` does. It goes on behind the position
    that `Last-Event-ID` names, or `after`. With `moves` the run is an event, too, called `run`, each time it has moved.
    """
    run = visible_run(run_id=run_id, user=request.user)
    seen = request.headers.get("Last-Event-ID", "")
    position = max(after, int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 19 else 0)
    if run.ended and seen and not rows_after(position, 1):
        return Response(status=204)

    revision = 0

    def next_piece() -> EventPiece:
        nonlocal position, revision
        run = visible_run(run_id=run_id, user=request.user)  # first: what it left before its end is there then
        new = rows_after(position, PIECE_ROWS)
        position = new[-1][0] if new else position
        is_full = len(new) == PIECE_ROWS
        is_last = run.ended and not is_full
        events = [_event(number, name, data) for number, data in new]
        if moves and run.revision != revision and not is_full:
            revision = run.revision
            events.append(_event(position, "run", RunSerializer(run).data))
        if is_last:
            events.append(_event(position, "end", {"state": run.state}))
        return EventPiece(b"".join(events) or STILL_HERE, is_last, is_full)

    return _event_stream(request, [run_id, topic], next_piece)


def _event_stream(request: Request, topics: Sequence[Any], next_piece: Callable[[], EventPiece]) -> EventStreamResponse:
    """A stream that ends, too, soon after its credential has, such as a session that somebody ends."""
    slot = _wait_slot(cast(UUID, request.user.pk))
    asked_at = monotonic()

    def next_admitted_piece() -> EventPiece:
        nonlocal asked_at
        if monotonic() - asked_at >= ADMITTED_SECONDS:
            asked_at = monotonic()
            if not is_still_admitted(request):
                return EventPiece(b"", is_last=True)
        return next_piece()

    return EventStreamResponse(
        seconds=EVENTS_SECONDS,
        keep_alive=KEEP_ALIVE_SECONDS,
        subscribe=lambda: pubsub.subscribe(*topics, confirmed=False),
        next_piece=next_admitted_piece,
        release=slot.close,
    )


def _wait_slot(user_id: UUID) -> ExitStack:
    """Takes one of the slots for open waits; closing gives it back."""
    slot = ExitStack()
    slot.enter_context(_open_waits.acquire(user_id))
    return slot


def _event(id: int, name: str, data: Any) -> bytes:
    return f"id: {id}\nevent: {name}\ndata: {JSONRenderer().render(data).decode()}\n\n".encode()
