"""`/sequences/{name}`: sequences that are stored in versions, and run by their names."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

from django.http import HttpResponseBase
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from sequences.api.run_views import SequenceParser, SequenceView, run_sequence
from sequences.models import SequenceVersion
from sequences.serializers import EXAMPLE_WHOLE, SubmissionSerializer, WholeSequenceRunSerializer
from sequences.services.stored_sequences import (
    DESCRIPTION_MAX,
    NAME_PATTERN,
    UNLISTED,
    all_versions,
    delete_sequence,
    find_version,
    newest_versions,
    save_sequence,
)
from taskhub.errors import invalid
from taskhub.jsontools.jsonc import has_comments, member_text
from taskhub.runs.idempotency import KEY_PARAMETER
from taskhub.security.scopes import KeyScope
from taskhub.web.cursor_pagination import NewestFirstPagination
from taskhub.web.openapi.problem_responses import problems
from taskhub.web.openapi.schemas import response_header
from taskhub.web.preconditions import ETAG, IF_MATCH, check_if_match, etag_of
from taskhub.web.views import QuerySerializer

EXAMPLE_SENT: dict[str, Any] = {
    "sequence": {
        "requests": [{"method": "GET", "url": "{{#.inputs.base}}/healthz", "save_to": "health"}],
    },
    "description": "Asks a server how it is.",
    "inputs": {"type": "object", "required": ["base"], "properties": {"base": {"type": "string"}}},
    "outputs": {"status": "#.health.status"},
}
EXAMPLE_BRIEF = {
    "name": "health",
    "version": 1,
    "description": "Asks a server how it is.",
    "created_at": "2026-01-31T12:00:00.004000Z",
}
EXAMPLE_STORED = {**EXAMPLE_BRIEF, **EXAMPLE_SENT}
SENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["sequence"],
    "properties": {
        "sequence": {"type": "object", "description": "As docs/sequences.md says."},
        "description": {"type": ["string", "null"], "maxLength": DESCRIPTION_MAX},
        "inputs": {"type": ["object", "null"], "description": "A JSON Schema of `#.inputs`."},
        "outputs": {"type": ["object", "null"], "description": "What a run of it gives: expressions by name."},
    },
    "additionalProperties": False,
}
RUN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "inputs": {"type": ["object", "null"]},
        "version": {"type": ["integer", "null"], "minimum": 1, "description": "Without it the newest."},
    },
    "additionalProperties": False,
}
NAME = OpenApiParameter(
    "name",
    {"type": "string", "pattern": f"^{NAME_PATTERN}$"},
    OpenApiParameter.PATH,
    description="The sequence's name; `runs`, `validate`, `dry-run`, `import` and `schema.json` are taken.",
    examples=[OpenApiExample("A sequence", "health", parameter_only=("name", OpenApiParameter.PATH))],
)
FAULTS = {400: "The sequence cannot run; `errors` names each fault's `path`, or `line` and `column`."}


class VersionQuery(QuerySerializer):
    version = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1, help_text="Else the newest.")


class BriefVersionSerializer(serializers.ModelSerializer[SequenceVersion]):
    """A version of a stored sequence, without the sequence."""

    name = serializers.CharField(source="stored.name")
    version = serializers.IntegerField(source="number", min_value=1)

    class Meta:
        model = SequenceVersion
        fields: ClassVar = list(EXAMPLE_BRIEF)


class SequenceVersionSerializer(BriefVersionSerializer):
    """A version of a stored sequence."""

    sequence = serializers.DictField()
    inputs = serializers.DictField(allow_null=True, help_text="A JSON Schema of what stands in `#.inputs`.")
    outputs = serializers.DictField(allow_null=True, help_text="Expressions by name.")

    class Meta(BriefVersionSerializer.Meta):
        fields: ClassVar = list(EXAMPLE_STORED)


class StoredSequencesView(SequenceView, GenericAPIView[SequenceVersion]):
    serializer_class = BriefVersionSerializer
    pagination_class = NewestFirstPagination

    @extend_schema(
        operation_id="sequences_stored_list",
        responses={200: BriefVersionSerializer(many=True)},
        examples=[OpenApiExample("A sequence", EXAMPLE_BRIEF, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """List stored sequences.

        The caller's, each with its newest version; the one that was changed last comes first.
        """
        page = self.paginate_queryset(newest_versions(request.user))
        return self.get_paginated_response(BriefVersionSerializer(page, many=True).data)


class StoredSequenceView(SequenceView):
    parser_classes = [SequenceParser]

    @extend_schema(
        operation_id="sequences_stored_save",
        parameters=[NAME, IF_MATCH, ETAG],
        request={"application/json": SENT_SCHEMA},
        responses={
            200: OpenApiResponse(SequenceVersionSerializer, "It is as it was."),
            201: OpenApiResponse(SequenceVersionSerializer, "It is a new version."),
            **problems(412, because=FAULTS),
        },
        examples=[
            OpenApiExample("A sequence", EXAMPLE_SENT, request_only=True),
            OpenApiExample("A sequence", EXAMPLE_STORED, response_only=True, status_codes=["200", "201"]),
        ],
    )
    def put(self, request: Request, name: str) -> Response:
        """Store a sequence.

        Checked as a whole: every fault is named. Each change is a new version, and old ones stay. `inputs` is the JSON
        Schema of what a run of it is given, which stands in `#.inputs`; `outputs` are expressions for what it gives,
        without which it gives its persistence. Comments are kept for who edits it in the console. With `If-Match` it is
        stored in place of that version alone, with `"0"` where there is none.
        """
        sent = cast(Mapping[str, Any], request.data)
        fields = _fields(sent, {"sequence", "description", "inputs", "outputs"})
        description = fields.get("description", "")
        if not isinstance(description, str) or len(description) > DESCRIPTION_MAX:
            raise invalid("/description", f"This is a text of at most {DESCRIPTION_MAX} characters.")
        for key in ("inputs", "outputs"):
            if not isinstance(fields.get(key), dict | None):
                raise invalid(f"/{key}", "This is an object.")
        version, is_new = save_sequence(
            user=request.user,
            name=name,
            sequence=fields.get("sequence"),
            description=description,
            inputs=fields.get("inputs"),
            outputs=fields.get("outputs"),
            written=_commented(request),
            check_version=partial(check_if_match, request),
        )
        return _shown(version, 201 if is_new else 200)

    @extend_schema(
        operation_id="sequences_stored_retrieve",
        parameters=[NAME, VersionQuery, ETAG],
        responses={200: SequenceVersionSerializer},
        examples=[OpenApiExample("A sequence", EXAMPLE_STORED, response_only=True)],
    )
    def get(self, request: Request, name: str) -> Response:
        """Show a stored sequence.

        Its newest version, or another one.
        """
        query = self.check_query(request, VersionQuery)
        return _shown(find_version(cast(Any, request.user).pk, name, query.get("version")))

    @extend_schema(operation_id="sequences_stored_delete", parameters=[NAME], responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Delete a stored sequence.

        With all its versions. Runs of it that have not begun fail.
        """
        delete_sequence(user=request.user, name=name)
        return Response(status=204)


class StoredVersionsView(SequenceView, GenericAPIView[SequenceVersion]):
    serializer_class = BriefVersionSerializer
    pagination_class = NewestFirstPagination

    @extend_schema(
        operation_id="sequences_stored_versions",
        parameters=[NAME],
        responses={200: BriefVersionSerializer(many=True)},
        examples=[OpenApiExample("A version", EXAMPLE_BRIEF, response_only=True)],
    )
    def get(self, request: Request, name: str) -> Response:
        """List the versions of a stored sequence.

        Newest first.
        """
        page = self.paginate_queryset(all_versions(request.user, name).defer(*UNLISTED))
        return self.get_paginated_response(BriefVersionSerializer(page, many=True).data)


class StoredSequenceRunsView(SequenceView):
    key_scopes: ClassVar = {"POST": KeyScope.RUN}
    parser_classes = [SequenceParser]

    @extend_schema(
        operation_id="sequences_stored_run",
        parameters=[
            NAME,
            SubmissionSerializer,
            KEY_PARAMETER,
            response_header("Location", "The run's address.", 200, 202),
        ],
        request={"application/json": RUN_SCHEMA},
        responses={
            200: OpenApiResponse(WholeSequenceRunSerializer, "It has ended."),
            202: OpenApiResponse(WholeSequenceRunSerializer, "It is accepted."),
            **problems(because={400: "The inputs are not those that it takes; `errors` tells why."}),
        },
        examples=[
            OpenApiExample("Inputs", {"inputs": {"base": "http://localhost:8000"}}, request_only=True),
            OpenApiExample("A run", EXAMPLE_WHOLE, response_only=True, status_codes=["200", "202"]),
        ],
    )
    def post(self, request: Request, name: str) -> HttpResponseBase:
        """Run a stored sequence.

        As `POST /sequences/runs` runs one that is sent; `inputs` are checked by its JSON Schema.
        """
        fields = _fields(cast(Mapping[str, Any], request.data), {"inputs", "version"})
        return run_sequence(self, request, {"sequence": name, **fields})


def _shown(version: SequenceVersion, status: int = 200) -> Response:
    return Response(SequenceVersionSerializer(version).data, status, headers=etag_of(version.number))


def _commented(request: Request) -> str:
    """The sequence as it was written, where it has comments, which its value has not."""
    text = getattr(request, "written", b"")
    return member_text(text, "sequence") or "" if has_comments(text) else ""


def _fields(sent: Any, known: set[str]) -> dict[str, Any]:
    if not isinstance(sent, Mapping):
        raise invalid("", "Must be an object.", "The body must be an object.")
    for name in sent:
        if name not in known:
            raise invalid(f"/{name[:100]}", "There is no such name here.")
    return {name: value for name, value in sent.items() if value is not None}


urlpatterns = [
    path("sequences", StoredSequencesView.as_view()),
    path("sequences/<str:name>", StoredSequenceView.as_view()),
    path("sequences/<str:name>/versions", StoredVersionsView.as_view()),
    path("sequences/<str:name>/runs", StoredSequenceRunsView.as_view()),
]
