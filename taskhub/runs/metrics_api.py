"""`/metrics`: what Prometheus asks for every few seconds."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from rest_framework.permissions import BasePermission, IsAdminUser
from rest_framework.request import Request

from taskhub.runs.health.hub_metrics import HubCollector
from taskhub.web.views import CheckedView

PLAIN = CONTENT_TYPE_PLAIN_0_0_4.partition(";")[0]
EXAMPLE = """\
# HELP taskhub_runs_waiting Runs that a worker may take now, counted up to 5000.
# TYPE taskhub_runs_waiting gauge
taskhub_runs_waiting{kind="walker",queue="walkers"} 3.0
"""

_registry = CollectorRegistry()


class MetricsView(CheckedView):
    permission_classes: tuple[type[BasePermission], ...] = (IsAdminUser,)

    def initial(self, request: Request, *args: Any, **options: Any) -> None:
        if settings.METRICS_OPEN:
            self.permission_classes = ()
        super().initial(request, *args, **options)

    @extend_schema(
        operation_id="metrics",
        tags=["operating"],
        responses={
            (200, PLAIN): OpenApiResponse(str, "The metrics", [OpenApiExample("What waits", EXAMPLE, media_type=PLAIN)])
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Read the metrics of the whole hub.

        In the text format of Prometheus, or in that of OpenMetrics where `Accept` asks for it. For staff, and with
        `TASKHUB_METRICS_OPEN=true` for everybody. See docs/operating.md.
        """
        encode, content_type = choose_encoder(request.META.get("HTTP_ACCEPT", ""))
        return HttpResponse(encode(_registry), content_type=content_type)


_registry.register(HubCollector())

urlpatterns = [path("metrics", MetricsView.as_view())]
