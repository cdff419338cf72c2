"""The operator's edge: what the runs of sequences did, step by step."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from sequences.models import SequenceStep
from taskhub.web.admin import ReadOnlyAdmin, row_link


@admin.register(SequenceStep)
class SequenceStepAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        "path",
        "method",
        "status",
        "duration_ms",
        "error",
        "note",
        "attempt",
        "skipped",
        "again",
        "url",
    )
    list_filter: ClassVar[Any] = ("again", "skipped")
    search_ids = ("run_id",)
    linked_by = ("run__id__exact",)
    unlisted = ("sent", "answer")
    search_help_text = "A run's id"
    fields = (
        "shown_run",
        "number",
        "path",
        "title",
        "method",
        "url",
        "status",
        "duration_ms",
        "error",
        "note",
        "attempt",
        "skipped",
        "again",
        "sent",
        "answer",
    )
    readonly_fields = fields

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Of one run as they were carried out; of all of them the newest first."""
        return ["number"] if "run__id__exact" in request.GET else ["-pk"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="run")
    def shown_run(self, step: SequenceStep) -> SafeString:
        return row_link("runs_run", step.run_id)
