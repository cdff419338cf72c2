"""The calls of extraction: tasks, processes, links, credits (dataflow_tasks.md; contract, section 6)."""

from typing import Any

from django.urls import path, register_converter

from extraction.api import credits, deliveries, files, links, payload_runs, processes, samples, single_pages, tasks


class KsuidConverter:
    """The id of a task or a process in an address."""

    regex = "[0-9A-Za-z]{27}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(KsuidConverter, "ksuid")

CALLS: list[tuple[str, Any]] = [
    ("tasks", tasks.ExtractionTasksView),
    ("task/create", tasks.CreateExtractionTaskView),
    ("task/<ksuid:id>/run", tasks.RunExtractionTaskView),
    ("task/<ksuid:id>/estimate", tasks.EstimateExtractionTaskView),
    ("task/<ksuid:id>/info", tasks.ExtractionTaskInfoView),
    ("task/<ksuid:id>/results", tasks.ExtractionTaskProcessesView),
    ("task/<ksuid:id>/update", tasks.UpdateExtractionTaskView),
    ("task/<ksuid:id>/delete", tasks.DeleteExtractionTaskView),
    ("task/<ksuid:id>/delivery", deliveries.TaskDeliveryView),
    ("task/<ksuid:id>/delivery/test", deliveries.TestDeliveryView),
    ("process/<ksuid:id>/deliveries", deliveries.ProcessDeliveriesView),
    ("process/<ksuid:id>/info", processes.ProcessInfoView),
    ("process/<ksuid:id>/cancel", processes.CancelProcessView),
    ("process/<ksuid:id>/retry", processes.RetryProcessView),
    ("process/<ksuid:id>/pages", processes.ProcessPagesView),
    ("process/<ksuid:id>/warnings", processes.ProcessWarningsView),
    ("process/<ksuid:id>/export", files.ExportProcessView),
    ("process/<ksuid:id>/files/<str:name>", files.ProcessFileView),
    ("parse", payload_runs.ParseView),
    ("extract", payload_runs.ExtractView),
    ("serp", payload_runs.SerpView),
    ("preview", samples.PayloadPreviewView),
    ("suggest", samples.PayloadSuggestionsView),
    ("fetch", single_pages.FetchView),
    ("convert/url/screenshot", single_pages.ScreenshotView),
    ("convert/url/pdf", single_pages.PdfView),
    ("getlink", links.LinkView),
    ("files/<str:token>/<str:name>", files.FileView),
    ("credits", credits.CreditsView),
]
# As the document spells them, too, and with the words in the other number.
SPELLINGS = {
    "convert/url/screenshot": ("screenshot",),
    "tasks": ("task",),
    "task/": ("tasks/",),
    "process/": ("processes/", "Process/", "Processes/"),
}
MISPRINTED = ("task/<ksuid:id>delete", tasks.DeleteExtractionTaskView)


def other_spellings(place: str) -> list[str]:
    """The other spellings of a call's address."""
    word = next((word for word in SPELLINGS if place == word or (word.endswith("/") and place.startswith(word))), None)
    return [other + place.removeprefix(word) for other in SPELLINGS[word]] if word else []


OTHERS = [*((other, view) for place, view in CALLS for other in other_spellings(place)), MISPRINTED]
urlpatterns = [path(f"v1/{place}", view.as_view()) for place, view in [*CALLS, *OTHERS]]


def without_other_spellings(endpoints: list[Any]) -> list[Any]:
    """Removes other spellings of calls from the endpoints of the OpenAPI document, which has each call once."""
    others = {f"/v1/{place}".replace("<ksuid:id>", "{id}").replace("<str:name>", "{name}") for place, _ in OTHERS}
    return [endpoint for endpoint in endpoints if endpoint[0] not in others]
