"""The roof: where everything is found."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerView

urlpatterns = [
    path("", include("taskhub.runs.api")),
    path("", include("taskhub.accounts.api")),
    path("", include("walkers.api")),
    path("", RedirectView.as_view(pattern_name="docs")),
    path("admin/", admin.site.urls),
    path(
        "openapi.json", SpectacularJSONAPIView.as_view(authentication_classes=[], permission_classes=[]), name="openapi"
    ),
    path(
        "docs/",
        SpectacularSwaggerView.as_view(url_name="openapi", authentication_classes=[], permission_classes=[]),
        name="docs",
    ),
]

handler400 = "taskhub.http.bad_request"
handler403 = "taskhub.http.forbidden"
handler404 = "taskhub.http.not_found"
handler500 = "taskhub.http.server_error"
