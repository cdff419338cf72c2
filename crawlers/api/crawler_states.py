"""The state that a crawler keeps from task to task: for its owner, and behind a capability for itself."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import parsers
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api.tasks import CAPABILITY
from crawlers.api.views import (
    EMPTIED,
    IS_VERSIONED,
    EnvelopeView,
    payload_response,
    versioned_response,
)
from crawlers.models import Crawler, CrawlerState, CrawlerTask
from crawlers.services.capabilities import find_task
from crawlers.services.crawler_states import save_state, state_of
from crawlers.services.stream_locks import check_accepts_documents
from taskhub.errors import NotFound, invalid
from taskhub.jsontools.strict_json import parse_json
from taskhub.security.masking import mask_all
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.preconditions import ETAG, IF_MATCH, check_if_match
from taskhub.web.rest_policies import plain_body

STATE = {"title": "CrawlerState", "description": "Any JSON of up to 1 MiB."}
EXAMPLE = {"page": 7}
SHOWN: dict[Any, Any] = {200: payload_response("The state", STATE, EXAMPLE)}
SAVED: dict[Any, Any] = {200: EMPTIED, **IS_VERSIONED}
SENT: dict[str, Any] = {
    "request": {"application/json": STATE},
    "examples": [OpenApiExample("A state", EXAMPLE, request_only=True)],
}


class StateParser(parsers.BaseParser):
    """JSON of any content type; what has none is refused, for it would empty the state."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return parse_json(plain_body(stream, parser_context))


class CrawlerStateView(EnvelopeView):
    parser_classes = (StateParser,)

    @extend_schema(operation_id="crawlers_state", parameters=[ETAG], responses=SHOWN)
    def get(self, request: Request, fid: UUID) -> Response:
        """Show a crawler's state.

        Null where it has none.
        """
        crawler = Crawler.objects.get_visible(request.user, fid)
        state = state_of(crawler)
        return versioned_response(state, state.value if crawler.owner_id == request.user.pk else mask_all(state.value))

    @extend_schema(operation_id="crawlers_state_save", parameters=[IF_MATCH, ETAG], responses=SAVED, **SENT)
    def put(self, request: Request, fid: UUID) -> Response:
        """Replace a crawler's state.

        Each task is sent the state as it is then.
        """
        return _save(request, Crawler.objects.get_visible(request.user, fid))


class CapabilityStateView(EnvelopeView):
    """The state for the crawler itself, whom the capability in its endpoint stands for."""

    parser_classes = (StateParser,)
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="capable_tasks_state", parameters=[CAPABILITY, ETAG], responses={**SHOWN, **problems(409)}
    )
    def get(self, request: Request, fid: UUID, capability: str = "") -> Response:
        """Show the state, as the task's crawler.

        409 when the task has ended.
        """
        task = find_task(capability=capability, fid=fid)
        check_accepts_documents(task)
        state = state_of(_crawler_of(task))
        return versioned_response(state, state.value)

    @extend_schema(
        operation_id="capable_tasks_state_save",
        parameters=[CAPABILITY, IF_MATCH, ETAG],
        responses={**SAVED, **problems(409)},
        **SENT,
    )
    def put(self, request: Request, fid: UUID, capability: str = "") -> Response:
        """Replace the state, as the task's crawler.

        409 when the task has ended.
        """
        task = find_task(capability=capability, fid=fid)
        check_accepts_documents(task)
        return _save(request, _crawler_of(task))


def _crawler_of(task: CrawlerTask) -> Crawler:
    if task.crawler is None or task.crawler.removed_at:
        raise NotFound("The crawler of this task was deleted.")
    return task.crawler


def _save(request: Request, crawler: Crawler) -> Response:
    if request.stream is None:  # nothing was sent
        raise invalid("", "Must be JSON; the body is empty.")

    def check(state: CrawlerState) -> None:
        check_if_match(request, state.version)

    return versioned_response(save_state(crawler=crawler, value=request.data, check=check), None)
