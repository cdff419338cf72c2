"""The URLs of the hub."""

from django.contrib import admin
from django.urls import include, path

from taskhub.web.openapi.document import DocsView, DocumentView

urlpatterns = [
    path("", include("walkers.http.api")),  # the most frequent calls: paths are tried in this order
    path("", include("taskhub.runs.health_api")),
    path("", include("taskhub.runs.metrics_api")),
    path("", include("taskhub.runs.api")),
    path("", include("taskhub.runs.bulk.api")),
    path("", include("taskhub.runs.log_api")),
    path("", include("taskhub.runs.statistics_api")),
    path("", include("taskhub.runs.schedules.api")),
    path("", include("taskhub.runs.webhooks.api")),
    path("", include("taskhub.runs.notifications.api")),
    path("", include("taskhub.accounts.api")),
    path("", include("taskhub.accounts.session_api")),
    path("", include("taskhub.accounts.audit_api")),
    path("", include("taskhub.accounts.user_api")),
    path("", include("walkers.http.batch_api")),
    path("", include("sequences.api")),
    path("", include("crawlers.api")),
    path("", include("extraction.api")),
    path("", include("taskhub.console.urls")),
    path("admin/", admin.site.urls),
    path("openapi.json", DocumentView.as_view(), name="openapi"),
    path("docs/", DocsView.as_view(), name="docs"),
]

handler400 = "taskhub.web.problems.bad_request"
handler403 = "taskhub.web.problems.forbidden"
handler404 = "taskhub.web.problems.not_found"
handler500 = "taskhub.web.problems.server_error"
