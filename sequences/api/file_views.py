"""`/sequences/runs/{id}/files/{file_id}`: answers that a run has kept as files."""

from uuid import UUID

from django.http import HttpResponse
from django.urls import path
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from sequences.api.run_views import ID, SequenceView
from sequences.domain.exchange import SendFailed
from sequences.http_client import OCTETS
from sequences.services.answer_files import find_file, read_file
from sequences.services.sequence_runs import sequence_run
from taskhub.errors import Forbidden, NotFound, Unavailable

FILE_ID = OpenApiParameter(
    "file_id",
    int,
    OpenApiParameter.PATH,
    description="As the link has it, which is the value of a step.",
    examples=[OpenApiExample("A file", 1, parameter_only=("file_id", OpenApiParameter.PATH))],
)
FILE = OpenApiExample("The file", "its bytes, as they came", response_only=True, media_type=OCTETS)


class AnswerFileView(SequenceView):
    @extend_schema(
        operation_id="sequences_runs_files",
        parameters=[ID, FILE_ID],
        responses={(200, OCTETS): OpenApiResponse(OpenApiTypes.BINARY, "The file", [FILE])},
    )
    def get(self, request: Request, id: UUID, file_id: int) -> HttpResponse:
        """Download an answer that was kept as a file.

        By the owner of the run only: what is in a file cannot be masked.
        """
        run = sequence_run(run_id=id, user=request.user)
        if run.owner_id != request.user.pk:
            raise Forbidden("Only its owner may download what a run has kept.")
        row = find_file(run=run, file_id=file_id)
        if row is None:
            raise NotFound("The run has no such file.")
        try:
            file = read_file(row)
        except SendFailed as error:
            raise Unavailable(str(error), retry_after=60) from None
        response = HttpResponse(file.content, content_type=OCTETS)
        response["Content-Disposition"] = content_disposition_header(True, file.name) or "attachment"
        return response


urlpatterns = [path("sequences/runs/<uuid:id>/files/<int:file_id>", AnswerFileView.as_view())]
