"""`GET /audit`: the audit log, for staff."""

from django.urls import path
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from taskhub.accounts.audit_filters import AuditFilters
from taskhub.audit.models import AuditEntry
from taskhub.errors import Forbidden
from taskhub.web.views import CheckedView

EXAMPLE = {
    "id": 512,
    "at": "2026-12-01T09:00:00Z",
    "actor_id": "7b0c9a52-5d35-4a1c-9a5e-0f6a3f1f2c11",
    "actor": "ada@example.com",
    "credential": "session",
    "door": "console",
    "action": "pause",
    "kind": "schedule",
    "object_id": "7",
    "object_name": "morning report",
    "owner_id": "7b0c9a52-5d35-4a1c-9a5e-0f6a3f1f2c11",
    "before": {"enabled": True},
    "after": {"enabled": False},
    "request_id": "4c1d0f0a5d6f4f3f8b0f4f7f6f1d2a3b",
    "run_id": None,
    "address": "192.0.2.7",
}


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    kind = serializers.CharField(source="object_kind", read_only=True)
    before = serializers.DictField(read_only=True, allow_null=True, help_text="What differs, as it was; null: nothing")
    after = serializers.DictField(read_only=True, allow_null=True, help_text="What differs, as it is since")

    class Meta:
        model = AuditEntry
        fields = tuple(EXAMPLE)
        read_only_fields = fields


class AuditEntriesView(CheckedView, GenericAPIView[AuditEntry]):
    serializer_class = AuditEntrySerializer

    @extend_schema(
        operation_id="audit_list",
        tags=["operating"],
        parameters=[AuditFilters],
        responses={200: AuditEntrySerializer(many=True)},
        examples=[OpenApiExample("A change", EXAMPLE, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Read the audit log.

        Who changed what of the configuration and of accounts, newest first: `before` and `after` have what differs, and
        secrets are masked. Kept for `TASKHUB_AUDIT_DAYS`. For staff.
        """
        if not request.user.is_staff:
            raise Forbidden("Only staff may read the audit log.")
        page = self.paginate_queryset(self.read_query(request, AuditFilters).narrow(AuditEntry.objects.all()))
        return self.get_paginated_response(AuditEntrySerializer(page, many=True).data)


urlpatterns = [path("audit", AuditEntriesView.as_view())]
