"""The HTTP edge of crawlers: what their owners call, and, behind a capability, the crawlers themselves."""

from django.urls import path

from crawlers.api import (
    crawler_states,
    crawlers,
    externals,
    stream_changes,
    stream_documents,
    streams,
    task_logs,
    tasks,
    uploads,
)

BY_CAPABILITY = "c/<str:capability>/actions/tasks/<uuid:fid>"

urlpatterns = [
    path("externals", externals.ExternalsView.as_view()),
    path("externals/<uuid:fid>", externals.ExternalView.as_view()),
    path("streams", streams.StreamsView.as_view()),
    path("streams/<uuid:fid>", streams.StreamView.as_view()),
    path("streams/<uuid:fid>/docs", stream_documents.StreamDocumentsView.as_view()),
    path("streams/<uuid:fid>/docs/<path:document_id>", stream_documents.StreamDocumentView.as_view()),
    path("streams/<uuid:fid>/stats", streams.StreamStatisticsView.as_view()),
    path("streams/<uuid:fid>/changes", stream_changes.StreamChangesView.as_view()),
    path("crawlers", crawlers.CrawlersView.as_view()),
    path("crawlers/<uuid:fid>", crawlers.CrawlerView.as_view()),
    path("crawlers/<uuid:fid>/state", crawler_states.CrawlerStateView.as_view()),
    path("crawlers/<uuid:fid>/tasks", tasks.TasksOfCrawlerView.as_view()),
    path("tasks", tasks.CrawlerTasksView.as_view()),
    path("tasks/<uuid:fid>", tasks.CrawlerTaskView.as_view()),
    path("tasks/<uuid:fid>/rejected", uploads.RejectedLinesView.as_view()),
    path("actions/externals/<uuid:fid>/crawler", crawlers.CreateCrawlerView.as_view()),
    path("actions/crawlers/<uuid:fid>/task", tasks.StartTaskView.as_view()),
    path("actions/crawlers/<uuid:fid>/task/<uuid:task_fid>", tasks.RetryTaskView.as_view()),
    path("actions/tasks/<uuid:fid>", tasks.DeleteTaskView.as_view()),
    path("actions/tasks/<uuid:fid>/upload", uploads.UploadView.as_view()),
    path("actions/tasks/<uuid:fid>/status", tasks.TaskStatusView.as_view()),
    path("actions/tasks/<uuid:fid>/log", task_logs.TaskLogView.as_view()),
    path("actions/tasks/<uuid:fid>/rejected", uploads.ResendRejectedView.as_view()),
    path(f"{BY_CAPABILITY}/upload", uploads.CapabilityUploadView.as_view()),
    path(f"{BY_CAPABILITY}/status", tasks.CapabilityStatusView.as_view()),
    path(f"{BY_CAPABILITY}/log", task_logs.CapabilityLogView.as_view()),
    path(f"{BY_CAPABILITY}/state", crawler_states.CapabilityStateView.as_view()),
]
