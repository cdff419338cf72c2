"""The operator's edge: what the runs of sequences did, step by step."""

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from sequences.models import SequenceStep, SequenceVersion, StoredSecret
from taskhub.security.masking import mask_all
from taskhub.web.admin import ReadOnlyAdmin, WatchedAdmin, row_link


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
    list_filter: ClassVar[Any] = ("again",)
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


@admin.register(StoredSecret)
class StoredSecretAdmin(ReadOnlyAdmin):
    """Names of secrets. Their values are shown to nobody."""

    list_display = ("name", "owner", "created_at", "updated_at")
    list_select_related = ("owner",)
    search_fields = ("name",)
    fields = ("name", "owner", "created_at", "updated_at")
    readonly_fields = fields


@admin.register(SequenceVersion)
class SequenceVersionAdmin(WatchedAdmin):
    list_display = ("stored", "number", "description", "created_at")
    list_select_related = ("stored",)
    search_fields = ("stored__name",)
    fields = ("stored", "number", "description", "shown_sequence", "created_at")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("inputs", "outputs")

    @admin.display(description="sequence")
    def shown_sequence(self, version: SequenceVersion) -> str:
        return json.dumps(mask_all(version.sequence), indent=2, ensure_ascii=False)
