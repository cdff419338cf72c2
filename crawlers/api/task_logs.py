"""Log lines of a task, from its owner or its crawler."""

import logging
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import parsers
from rest_framework.request import Request
from rest_framework.response import Response

from crawlers.api import examples as shown
from crawlers.api.request_models import LogQuery, split_log
from crawlers.api.tasks import CAPABILITY
from crawlers.api.views import EnvelopeView, enveloped, payload_response
from crawlers.models import CrawlerTask
from crawlers.services.capabilities import find_task
from crawlers.services.status_updates import log_lines
from taskhub.errors import Rejected
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.rest_policies import plain_body

TEXT = "text/plain"
LINES: dict[str, Any] = {"type": "string", "description": "A line of the log each, in UTF-8."}
SENT: dict[str, Any] = {
    "request": {TEXT: LINES, "application/octet-stream": LINES | {"format": "binary"}},
    "examples": [OpenApiExample("Two lines", "page 7 of 10\npage 8 of 10\n", media_type=TEXT, request_only=True)],
}
LOGGED: dict[Any, Any] = {
    200: payload_response("They are stored.", shown.LOGGED_SCHEMA, shown.LOGGED),
    **problems(409),
}


class LogLinesParser(parsers.BaseParser):
    """Text of any content type."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = plain_body(stream, parser_context)
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            detail = "This line is not UTF-8."
            raise Rejected(detail, errors=[{"line": line, "detail": detail}]) from None


class TaskLogView(EnvelopeView):
    """Log lines from the owner of the task."""

    parser_classes = (LogLinesParser,)
    key_scopes: ClassVar = {"POST": KeyScope.UPLOAD}

    @extend_schema(operation_id="tasks_log", parameters=[LogQuery], responses=LOGGED, **SENT)
    def post(self, request: Request, fid: UUID) -> Response:
        """Add lines to the log of a task's run.

        Lines of text, of any content type. They show in `GET /runs/{run}/logs`, without the task's secrets. `lines` are
        those for which there was room. It is a sign of life of the crawler.
        """
        return self.log(request, CrawlerTask.objects.get_visible(request.user, fid))

    def log(self, request: Request, task: CrawlerTask) -> Response:
        level = logging.getLevelNamesMapping()[self.check_query(request, LogQuery)["level"]]
        body: Any = request.data
        lines = split_log(body) if body else []  # what is no text is a body that was not sent
        if not lines:
            raise Rejected("The body holds no line.", errors=[{"line": 1, "detail": "Must be a line of text."}])
        task, kept = log_lines(task=task, lines=lines, level=level)
        return enveloped({"fid": str(task.fid), "attempt": task.attempt, "lines": kept}, task.version)


class CapabilityLogView(TaskLogView):
    """Log lines from the crawler, whom the capability in its endpoint stands for."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(operation_id="capable_tasks_log", parameters=[CAPABILITY, LogQuery], responses=LOGGED, **SENT)
    def post(self, request: Request, fid: UUID, capability: str = "") -> Response:
        """Add lines to the log of a task's run, as its crawler."""
        return self.log(request, find_task(capability=capability, fid=fid))
