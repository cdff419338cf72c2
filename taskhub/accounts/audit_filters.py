"""The filters of the audit log, as `GET /audit` and the console take them."""

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower
from rest_framework import serializers

from taskhub.accounts.models import User
from taskhub.audit.models import AuditEntry, Door
from taskhub.web.query_values import TimeFilter
from taskhub.web.views import QuerySerializer


class AuditFilters(QuerySerializer):
    """What is given must all hold."""

    who = serializers.CharField(
        required=False, max_length=254, help_text="Changes by the user with this e-mail address or id"
    )
    action = serializers.CharField(required=False, max_length=40, help_text="Such as `create`, `change` or `pause`")
    kind = serializers.CharField(
        required=False, max_length=40, help_text="Changes of such objects, such as `user` or `schedule`"
    )
    object = serializers.CharField(required=False, max_length=300, help_text="Of the object with this id or name")
    door = serializers.ChoiceField(choices=[str(door) for door in Door], required=False, help_text="By which way")
    since = TimeFilter(required=False, help_text="At this time or later (RFC 3339)")
    until = TimeFilter(required=False, help_text="Before this time (RFC 3339)")

    def narrow(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Those of the entries that fulfil it, once it is valid."""
        values = self.validated_data
        columns = {"action": "action", "kind": "object_kind", "door": "door", "since": "at__gte", "until": "at__lt"}
        entries = entries.filter(**{column: values[name] for name, column in columns.items() if name in values})
        if "object" in values:
            entries = entries.filter(Q(object_id=values["object"]) | Q(object_name=values["object"]))
        return entries.filter(_is_by(values["who"])) if "who" in values else entries


def _is_by(who: str) -> Q:
    """The condition on changes by a user, also those that he made under another address."""
    try:
        return Q(actor_id=UUID(who))
    except ValueError:
        users: Any = User.with_deleted.alias(folded=Lower("email")).filter(folded=Lower(Value(who)))
        return Q(actor=who) | Q(actor_id__in=list(users.values_list("pk", flat=True)))
