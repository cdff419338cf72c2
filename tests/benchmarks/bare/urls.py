"""Two views, of submit and of sync."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.benchmarks.bare.celery import noop
from tests.benchmarks.bare.models import Item


class Submit(APIView):
    """One INSERT and one Celery publish."""

    def post(self, request: Request) -> Response:
        item = Item.objects.create(body=request.data)
        noop.delay(str(item.pk))
        return Response({"task_id": str(item.pk)}, 202)


class Read(APIView):
    """One SELECT."""

    def post(self, request: Request) -> Response:
        asked: dict[str, str] = request.data  # type: ignore[assignment]
        item = Item.objects.get(pk=asked["id"])
        return Response({"report": [item.body]})


urlpatterns = [path("submit", Submit.as_view()), path("read", Read.as_view())]
