"""What programs that watch the hub ask: `/livez`, `/readyz`, `/healthz` and `/version`. None needs credentials."""

from typing import Any

from django.urls import path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from taskhub import __version__
from taskhub.runs.health.checks import OK, check_database, check_parts, server_versions

UNAVAILABLE = "unavailable"
VERSIONS = {"redis": "Valkey 9.1.2"}
WELL = {"database": OK, "broker": OK, "worker:walkers": OK, "beat": OK}
LATE = "work waits for 42 s, and nobody takes it"


class StatusSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField([OK, UNAVAILABLE])


class ChecksSerializer(StatusSerializer):
    checks = serializers.DictField(
        child=serializers.CharField(), help_text="Each part by its name: `ok`, or what is wrong"
    )


class HealthSerializer(ChecksSerializer):
    versions = serializers.DictField(
        child=serializers.CharField(), help_text="`redis`: make and version of the Redis that answers"
    )


class VersionSerializer(serializers.Serializer[Any]):
    version = serializers.CharField(help_text="The version of taskhub")


def _examples(*values: tuple[str, str, Any]) -> list[OpenApiExample]:
    return [OpenApiExample(name, value, response_only=True, status_codes=[status]) for name, status, value in values]


class UnguardedView(APIView):
    """A call without credentials and limits: whoever watches the hub asks every few seconds."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class LivenessView(UnguardedView):
    @extend_schema(
        operation_id="livez",
        responses={200: StatusSerializer},
        examples=_examples(("It serves", "200", {"status": OK})),
        tags=["operating"],
    )
    def get(self, request: Request) -> Response:
        """Ask whether this process serves.

        It says nothing of other parts: restarting this process mends none of them. Needs no credentials.
        """
        return Response({"status": OK})


class ReadinessView(UnguardedView):
    @extend_schema(
        operation_id="readyz",
        responses={
            200: ChecksSerializer,
            503: OpenApiResponse(ChecksSerializer, "Calls cannot be served; `checks` says why."),
        },
        examples=_examples(
            ("Calls are served", "200", {"status": OK, "checks": {"database": OK}}),
            (
                "No database",
                "503",
                {"status": UNAVAILABLE, "checks": {"database": "does not answer"}},
            ),
        ),
        tags=["operating"],
    )
    def get(self, request: Request) -> Response:
        """Ask whether calls can be served.

        They need the database. Work is taken in also where no worker or broker is there. Needs no credentials.
        """
        return _answer({"database": check_database()})


class HealthView(UnguardedView):
    @extend_schema(
        operation_id="healthz",
        responses={
            200: HealthSerializer,
            503: OpenApiResponse(HealthSerializer, "Something is missing; `checks` names it."),
        },
        examples=_examples(
            ("All is well", "200", {"status": OK, "checks": WELL, "versions": VERSIONS}),
            (
                "No beat",
                "503",
                {"status": UNAVAILABLE, "checks": WELL | {"beat": "no leader"}, "versions": VERSIONS},
            ),
            (
                "Workers that do not work",
                "503",
                {"status": UNAVAILABLE, "checks": WELL | {"worker:walkers": LATE}, "versions": VERSIONS},
            ),
        ),
        tags=["operating"],
    )
    def get(self, request: Request) -> Response:
        """Ask whether the hub is whole.

        The database, the broker, beat, and the queues: whether each has a worker, and whether work that waits is taken
        while slots are free. Needs no credentials.
        """
        return _answer(check_parts(), versions=server_versions())


class VersionView(UnguardedView):
    @extend_schema(
        operation_id="version",
        responses={200: VersionSerializer},
        examples=_examples(("The version", "200", {"version": __version__})),
        tags=["operating"],
    )
    def get(self, request: Request) -> Response:
        """Ask for the hub's version.

        Needs no credentials.
        """
        return Response({"version": __version__})


class HealthResponse(Response):
    """What is found. Django does not log it as a failed call: whoever watches asks every few seconds, and reads it."""

    _has_been_logged = True


def _answer(checks: dict[str, str], **more: Any) -> Response:
    well = all(state == OK for state in checks.values())
    return HealthResponse({"status": OK if well else UNAVAILABLE, "checks": checks, **more}, 200 if well else 503)


urlpatterns = [
    path("livez", LivenessView.as_view()),
    path("readyz", ReadinessView.as_view()),
    path("healthz", HealthView.as_view()),
    path("version", VersionView.as_view()),
]
