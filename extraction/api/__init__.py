"""The edge of extraction: tasks, processes, links, credits (dataflow_tasks.md; contract, section 6)."""

from typing import Any

from django.urls import path, register_converter

from extraction.api import credits, deliveries, files, links, processes, single_pages, tasks


class Ksuid:
    regex = "[0-9A-Za-z]{27}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Ksuid, "ksuid")

CALLS: list[tuple[str, Any]] = [
    ("tasks", tasks.TasksView),
    ("task/create", tasks.CreateView),
    ("task/<ksuid:id>/run", tasks.RunView),
    ("task/<ksuid:id>/estimate", tasks.EstimateView),
    ("task/<ksuid:id>/info", tasks.TaskInfoView),
    ("task/<ksuid:id>/results", tasks.ResultsView),
    ("task/<ksuid:id>/update", tasks.UpdateView),
    ("task/<ksuid:id>/delete", tasks.DeleteView),
    ("task/<ksuid:id>/delivery", deliveries.DeliveryView),
    ("task/<ksuid:id>/delivery/test", deliveries.TestDeliveryView),
    ("process/<ksuid:id>/deliveries", deliveries.DeliveriesView),
    ("process/<ksuid:id>/info", processes.ProcessInfoView),
    ("process/<ksuid:id>/cancel", processes.CancelView),
    ("process/<ksuid:id>/retry", processes.RetryView),
    ("process/<ksuid:id>/pages", processes.PagesView),
    ("process/<ksuid:id>/export", files.ExportView),
    ("fetch", single_pages.FetchView),
    ("convert/url/screenshot", single_pages.ScreenshotView),
    ("convert/url/pdf", single_pages.PdfView),
    ("getlink", links.LinkView),
    ("files/<str:token>/<str:name>", files.FileView),
    ("credits", credits.CreditsView),
]
# As the document spells them, too, and with the words in the other number.
SPELLINGS = {"tasks": ("task",), "task/": ("tasks/",), "process/": ("processes/", "Process/", "Processes/")}
MISPRINTED = ("task/<ksuid:id>delete", tasks.DeleteView)


def spelled(place: str) -> list[str]:
    """The other spellings of a call."""
    word = next((word for word in SPELLINGS if place == word or (word.endswith("/") and place.startswith(word))), None)
    return [other + place.removeprefix(word) for other in SPELLINGS[word]] if word else []


OTHERS = [*((other, view) for place, view in CALLS for other in spelled(place)), MISPRINTED]
urlpatterns = [path(f"v1/{place}", view.as_view()) for place, view in [*CALLS, *OTHERS]]


def without_other_spellings(endpoints: list[Any]) -> list[Any]:
    """For the OpenAPI document, which tells of each call once."""
    told = {f"/v1/{place}".replace("<ksuid:id>", "{id}") for place, _ in OTHERS}
    return [endpoint for endpoint in endpoints if endpoint[0] not in told]
