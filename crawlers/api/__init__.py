"""The edge of crawlers: relational calls, action calls, and what crawlers themselves call (contract, section 5)."""

from django.urls import path

from crawlers.api import actions, externals, relations, stream_documents, uploads

CAPABLE = "c/<str:capability>/actions/tasks/<uuid:fid>"

urlpatterns = [
    path("externals", externals.ExternalsView.as_view()),
    path("externals/<uuid:fid>", externals.ExternalView.as_view()),
    path("streams", relations.StreamsView.as_view()),
    path("streams/<uuid:fid>", relations.StreamView.as_view()),
    path("streams/<uuid:fid>/docs", stream_documents.DocsView.as_view()),
    path("crawlers", relations.CrawlersOfUserView.as_view()),
    path("crawlers/<uuid:fid>", relations.CrawlerView.as_view()),
    path("crawlers/<uuid:fid>/tasks", relations.TasksOfCrawlerView.as_view()),
    path("tasks", relations.TasksView.as_view()),
    path("tasks/<uuid:fid>", relations.TaskView.as_view()),
    path("tasks/<uuid:fid>/rejected", uploads.RejectedView.as_view()),
    path("actions/externals/<uuid:fid>/crawler", actions.NewCrawlerView.as_view()),
    path("actions/crawlers/<uuid:fid>/task", actions.StartView.as_view()),
    path("actions/crawlers/<uuid:fid>/task/<uuid:task_fid>", actions.RetryTaskView.as_view()),
    path("actions/tasks/<uuid:fid>", actions.DeleteTaskView.as_view()),
    path("actions/tasks/<uuid:fid>/upload", uploads.UploadView.as_view()),
    path("actions/tasks/<uuid:fid>/status", actions.StatusView.as_view()),
    path("actions/tasks/<uuid:fid>/rejected", uploads.ResendView.as_view()),
    path(f"{CAPABLE}/upload", uploads.CapableUploadView.as_view()),
    path(f"{CAPABLE}/status", actions.CapableStatusView.as_view()),
]
