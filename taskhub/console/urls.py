"""The addresses of the console. `/` is its first page, for browsers; other clients it leads to the documentation."""

from django.urls import path

from taskhub.console.account_pages import PasswordView, SignInCodeView, SignInView, SignOutView, SignUpView
from taskhub.console.audit_pages import AuditView
from taskhub.console.crawler_edit_pages import ChangeCrawlerView, NewCrawlerView, StartCrawlerView
from taskhub.console.crawler_pages import CrawlerListView, CrawlerPageView, DeleteCrawlerView, ResetStateView
from taskhub.console.crawler_task_pages import CrawlerTaskActionView, CrawlerTaskPageView
from taskhub.console.external_pages import (
    ChangeExternalView,
    DeleteExternalView,
    ExternalListView,
    ExternalPageView,
    NewExternalView,
)
from taskhub.console.extraction_pages import ExtractionListView, ProcessPageView, RetryProcessPageView, RunTaskView
from taskhub.console.home_charts import ChartsView
from taskhub.console.home_page import HomeView
from taskhub.console.key_pages import KeyListView, RevokeKeyView
from taskhub.console.notification_pages import (
    ChangeRuleView,
    DeleteRuleView,
    NewRuleView,
    RuleActionView,
    RuleListView,
    RulePageView,
    SendMessageView,
)
from taskhub.console.parts_page import PartsView
from taskhub.console.rejected_line_pages import RejectedLinesPageView
from taskhub.console.run_list import RunTableView, SelectedRunsView
from taskhub.console.run_page import AgainView, CancelView, RunPageView, RunStoryView, RunSummaryView, RunValuesView
from taskhub.console.sample_pages import LookView, SamplePageView
from taskhub.console.saved_filter_pages import SavedFilterView
from taskhub.console.schedule_calendar_page import ScheduleCalendarView
from taskhub.console.schedule_edit_pages import (
    ChangeScheduleView,
    DeleteScheduleView,
    NewScheduleView,
    ScheduleCheckView,
    SchedulePreviewView,
)
from taskhub.console.schedule_pages import ScheduleActionView, ScheduleListView, SchedulePageView
from taskhub.console.search_page import SearchView
from taskhub.console.second_factor_page import SecondFactorView
from taskhub.console.secret_pages import DeleteSecretView, SecretListView
from taskhub.console.sequence_editor import FollowedRunView, SequenceCheckView, SequenceEditorView
from taskhub.console.sequence_pages import DeleteSequenceView, RunSequenceView, SequenceListView, SequencePageView
from taskhub.console.session_pages import EndSessionView, SessionListView
from taskhub.console.start_pages import StartView, StartWalkerView
from taskhub.console.stream_pages import DocumentPageView, StreamListView, StreamPageView
from taskhub.console.user_pages import NewUserView, UserActionView, UserListView, UserPageView
from taskhub.console.webhook_pages import (
    DeliveryListView,
    DeliveryPageView,
    SendDeliveryView,
    SendTestView,
    SigningSecretView,
)
from taskhub.console.you_page import YouView

RUN = "console/runs/<uuid:run_id>"
CRAWLER = "console/crawlers/<uuid:fid>"
CRAWLER_TASK = "console/crawlers/tasks/<uuid:fid>"
EXTERNAL = "console/crawlers/externals/<uuid:fid>"
STREAM = "console/streams/<uuid:fid>"
DELIVERY = "console/webhooks/<uuid:run_id>"
RULE = "console/notifications/<int:rule_id>"
USER = "console/users/<uuid:user_id>"
PROCESS = "console/extraction/process/<ksuid:id>"
SEQUENCE = "console/sequences/stored/<str:name>"

app_name = "console"
urlpatterns = [
    path("", HomeView.as_view(), name="home"),
    path("console/charts", ChartsView.as_view(), name="home-charts"),
    path("sign-in", SignInView.as_view(), name="sign-in"),
    path("sign-in/code", SignInCodeView.as_view(), name="sign-in-code"),
    path("sign-up", SignUpView.as_view(), name="sign-up"),
    path("sign-out", SignOutView.as_view(), name="sign-out"),
    path("console/search", SearchView.as_view(), name="search"),
    path("console/runs", RunTableView.as_view(), name="runs"),
    path("console/runs/selected", SelectedRunsView.as_view(), name="runs-selected"),
    path("console/runs/filters", SavedFilterView.as_view(), name="runs-filters"),
    path(RUN, RunPageView.as_view(), name="runs-run"),
    path(f"{RUN}/summary", RunSummaryView.as_view(), name="runs-summary"),
    path(f"{RUN}/story", RunStoryView.as_view(), name="runs-story"),
    path(f"{RUN}/values", RunValuesView.as_view(), name="runs-values"),
    path(f"{RUN}/cancel", CancelView.as_view(), name="runs-cancel"),
    path(f"{RUN}/again", AgainView.as_view(), name="runs-again"),
    path("console/start", StartView.as_view(), name="start"),
    path("console/start/<str:walker>", StartWalkerView.as_view(), name="start-walker"),
    path("console/sequences", SequenceListView.as_view(), name="sequences"),
    path("console/sequences/new", SequenceEditorView.as_view(), name="sequences-new"),
    path("console/sequences/check", SequenceCheckView.as_view(), name="sequences-check"),
    path("console/sequences/followed/<uuid:run_id>", FollowedRunView.as_view(), name="sequences-followed"),
    path(SEQUENCE, SequencePageView.as_view(), name="sequences-sequence"),
    path(f"{SEQUENCE}/edit", SequenceEditorView.as_view(), name="sequences-edit"),
    path(f"{SEQUENCE}/run", RunSequenceView.as_view(), name="sequences-run"),
    path(f"{SEQUENCE}/delete", DeleteSequenceView.as_view(), name="sequences-delete"),
    path("console/schedules", ScheduleListView.as_view(), name="schedules"),
    path("console/schedules/new", NewScheduleView.as_view(), name="schedules-new"),
    path("console/schedules/check", ScheduleCheckView.as_view(), name="schedules-check"),
    path("console/schedules/preview", SchedulePreviewView.as_view(), name="schedules-preview"),
    path("console/schedules/calendar", ScheduleCalendarView.as_view(), name="schedules-calendar"),
    path("console/schedules/<int:schedule_id>", SchedulePageView.as_view(), name="schedules-schedule"),
    path("console/schedules/<int:schedule_id>/action", ScheduleActionView.as_view(), name="schedules-action"),
    path("console/schedules/<int:schedule_id>/change", ChangeScheduleView.as_view(), name="schedules-change"),
    path("console/schedules/<int:schedule_id>/delete", DeleteScheduleView.as_view(), name="schedules-delete"),
    path("console/webhooks", DeliveryListView.as_view(), name="webhooks"),
    path("console/webhooks/test", SendTestView.as_view(), name="webhooks-test"),
    path("console/webhooks/secret", SigningSecretView.as_view(), name="webhooks-secret"),
    path(DELIVERY, DeliveryPageView.as_view(), name="webhooks-delivery"),
    path(f"{DELIVERY}/send", SendDeliveryView.as_view(), name="webhooks-send"),
    path("console/notifications", RuleListView.as_view(), name="notifications"),
    path("console/notifications/new", NewRuleView.as_view(), name="notifications-new"),
    path(RULE, RulePageView.as_view(), name="notifications-rule"),
    path(f"{RULE}/change", ChangeRuleView.as_view(), name="notifications-change"),
    path(f"{RULE}/action", RuleActionView.as_view(), name="notifications-action"),
    path(f"{RULE}/delete", DeleteRuleView.as_view(), name="notifications-delete"),
    path(f"{RULE}/messages/<uuid:run_id>/send", SendMessageView.as_view(), name="notifications-send"),
    path("console/crawlers", CrawlerListView.as_view(), name="crawlers"),
    path("console/crawlers/externals", ExternalListView.as_view(), name="crawlers-externals"),
    path("console/crawlers/externals/new", NewExternalView.as_view(), name="crawlers-new-external"),
    path(EXTERNAL, ExternalPageView.as_view(), name="crawlers-external"),
    path(f"{EXTERNAL}/change", ChangeExternalView.as_view(), name="crawlers-change-external"),
    path(f"{EXTERNAL}/delete", DeleteExternalView.as_view(), name="crawlers-delete-external"),
    path(f"{EXTERNAL}/crawler", NewCrawlerView.as_view(), name="crawlers-new"),
    path(CRAWLER_TASK, CrawlerTaskPageView.as_view(), name="crawlers-task"),
    path(f"{CRAWLER_TASK}/action", CrawlerTaskActionView.as_view(), name="crawlers-task-action"),
    path(f"{CRAWLER_TASK}/rejected", RejectedLinesPageView.as_view(), name="crawlers-task-rejected"),
    path(CRAWLER, CrawlerPageView.as_view(), name="crawlers-crawler"),
    path(f"{CRAWLER}/start", StartCrawlerView.as_view(), name="crawlers-start"),
    path(f"{CRAWLER}/change", ChangeCrawlerView.as_view(), name="crawlers-change"),
    path(f"{CRAWLER}/state", ResetStateView.as_view(), name="crawlers-state"),
    path(f"{CRAWLER}/delete", DeleteCrawlerView.as_view(), name="crawlers-delete"),
    path("console/streams", StreamListView.as_view(), name="streams"),
    path(STREAM, StreamPageView.as_view(), name="streams-stream"),
    path(f"{STREAM}/docs/<path:document_id>", DocumentPageView.as_view(), name="streams-document"),
    path("console/extraction", ExtractionListView.as_view(), name="extraction"),
    path("console/extraction/look", LookView.as_view(), name="extraction-look"),
    path("console/extraction/look/<ksuid:id>", SamplePageView.as_view(), name="extraction-sample"),
    path(PROCESS, ProcessPageView.as_view(), name="extraction-process"),
    path("console/extraction/task/<ksuid:id>/run", RunTaskView.as_view(), name="extraction-run"),
    path(f"{PROCESS}/retry", RetryProcessPageView.as_view(), name="extraction-retry"),
    path("console/you", YouView.as_view(), name="you"),
    path("console/you/keys", KeyListView.as_view(), name="you-keys"),
    path("console/you/keys/<str:prefix>/revoke", RevokeKeyView.as_view(), name="you-key-revoke"),
    path("console/you/secrets", SecretListView.as_view(), name="you-secrets"),
    path("console/you/secrets/<str:name>/delete", DeleteSecretView.as_view(), name="you-secret-delete"),
    path("console/you/sessions", SessionListView.as_view(), name="you-sessions"),
    path("console/you/sessions/<uuid:sign_in_id>/end", EndSessionView.as_view(), name="you-session-end"),
    path("console/you/second-factor", SecondFactorView.as_view(), name="you-second-factor"),
    path("console/password", PasswordView.as_view(), name="password"),
    path("console/users", UserListView.as_view(), name="users"),
    path("console/users/new", NewUserView.as_view(), name="users-new"),
    path(USER, UserPageView.as_view(), name="users-user"),
    path(f"{USER}/action", UserActionView.as_view(), name="users-action"),
    path("console/audit", AuditView.as_view(), name="audit"),
    path("console/parts", PartsView.as_view(), name="parts"),
]
