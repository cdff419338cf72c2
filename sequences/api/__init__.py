"""`/sequences` and `/secrets`: sequences checked, stored and run, and the secrets that they use."""

from sequences.api import file_views, resumption_views, run_views, secret_views, step_views, stored_views, tool_views

# These names come before those of stored sequences, which cannot have them.
urlpatterns = [
    *run_views.urlpatterns,
    *step_views.urlpatterns,
    *file_views.urlpatterns,
    *resumption_views.urlpatterns,
    *tool_views.urlpatterns,
    *stored_views.urlpatterns,
    *secret_views.urlpatterns,
]
