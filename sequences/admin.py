"""The operator's edge: what the runs of sequences did, step by step."""

import json
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.safestring import SafeString

from sequences.models import SequenceStep, SequenceVersion, StoredSecret
from sequences.services.sequence_runs import KIND
from sequences.services.step_trees import read_step_tree
from taskhub.runs.models import Run
from taskhub.security.masking import mask_all
from taskhub.web.admin import ReadOnlyAdmin, WatchedAdmin, row_link

TREE_RECORDS = 200  # on a page


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

    def get_urls(self) -> list[Any]:
        tree = self.admin_site.admin_view(self.tree_view)
        return [path("<uuid:run_id>/tree/", tree, name="sequences_sequencestep_tree"), *super().get_urls()]

    def tree_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """The steps of a run in the order of the program, page by page; while it goes on the page comes again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = Run.objects.filter(pk=run_id, kind=KIND).defer("arguments", "result").first()
        if run is None:
            raise Http404("There is no such run of a sequence.")
        after = request.GET.get("after", "")
        page = read_step_tree(
            run=run, after=int(after) if after.isdecimal() and len(after) < 10 else None, limit=TREE_RECORDS
        )
        context = {
            **self.admin_site.each_context(request),
            "title": f"Steps of {run.name} {run.pk}",
            "opts": self.opts,
            "run": run,
            "nodes": page.walk(),
            "last": page.last,
        }
        return TemplateResponse(request, "admin/sequences/step_tree.html", context)

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

    recorded_as = "secret"
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
