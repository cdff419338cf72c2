"""What calls share that run something at once: they wait for its process, and answer with its result."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponseBase
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from extraction.api.files import whole_file
from extraction.api.serializers import process_of
from extraction.api.tasks import process_response
from extraction.api.views import ExtractionView
from extraction.domain.process_status import ProcessStatus
from extraction.models import Process
from extraction.services.processes import visible_process
from taskhub.errors import Failed, invalid
from taskhub.runs.idempotency import KEY_PARAMETER, answer_once
from taskhub.runs.run_options import RunOptionsQuery
from taskhub.runs.waits import answer_when_ended
from taskhub.security.scopes import KeyScope
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header

WAIT_MAX = 60  # seconds
DATA, FILE, MARKDOWN = "data", "file", "markdown"
OUTPUTS = {DATA: DATA, "buffer": DATA, FILE: FILE}
TERMS = (
    "It is a process without a task: with credits, limits, a log, and a run. The answer is its result, or with "
    '`"output": "file"` the process as JSON; 202 and the process where it takes longer than `wait` or waits for '
    "credits; 422 and the reason where it failed."
)


class ProcessResultQuery(RunOptionsQuery):
    wait = serializers.FloatField(
        default=WAIT_MAX, min_value=0, max_value=WAIT_MAX, help_text="Seconds to wait for it, at most."
    )


PARAMETERS: list[Any] = [
    ProcessResultQuery,
    KEY_PARAMETER,
    response_header("Location", "The process's address.", 200, 202),
    response_header("Link", 'Its run (`rel="run"`).', 200, 202),
]
GONE = problems(because={404: "The Idempotency-Key is of an earlier call, whose process is gone."})


class ProcessResultView(ExtractionView):
    """Starts a process, and answers when it has ended. No thread waits meanwhile (see `answer_when_ended`)."""

    key_scopes: ClassVar = {"POST": KeyScope.RUN}
    outputs: ClassVar[Mapping[str, str]] = OUTPUTS

    def start(self, *, owner: Any, body: dict[str, Any], options: Mapping[str, Any]) -> Process:
        """Starts the process of a body, with these options of its run. Raises `Rejected` or `Forbidden`."""
        raise NotImplementedError

    def read_values(self, request: Request) -> dict[str, Any]:
        """The body. Raises `Rejected`."""
        return self.read_object(request)

    def answer_with_result(self, request: Request) -> HttpResponseBase:
        query = self.check_query(request, ProcessResultQuery)
        wait, options = query["wait"], query["options"]
        body = self.read_values(request)
        sent = body.pop("output", DATA)
        if not isinstance(sent, str) or (output := self.outputs.get(sent)) is None:
            raise invalid("/output", f"Must be {' or '.join(name for name in self.outputs if name != 'buffer')}.")
        if output == MARKDOWN:
            body["markdown"] = True

        def start() -> Response:
            return process_response(self.start(owner=request.user, body=body, options=options))

        response = answer_once(request, {**body, "output": output, **({"options": options} if options else {})}, start)
        if response.status_code != 202:  # a refusal, stored for the idempotency key
            return response
        process = visible_process(id=response.data["id"], user=request.user)
        run_ids = [UUID(str(process.run_id))] if process.run_id else []

        def respond() -> HttpResponseBase:
            return _result_response(visible_process(id=process.id, user=request.user), output)

        return answer_when_ended(request, run_ids=run_ids, seconds=min(wait, WAIT_MAX), respond=respond)


def _result_response(process: Process, output: str) -> HttpResponseBase:
    if process.status == ProcessStatus.FAILED:
        raise Failed(process.error, process=process_of(process))
    response = process_response(process)
    if process.status != ProcessStatus.FINISHED:
        return response
    if output == FILE:
        response.status_code = 200
        return response
    file = whole_file(process)
    for name in response.headers.keys() & {"Location", "Link"}:
        file.headers[name] = response.headers[name]
    return file
