"""Entries of the audit log: written in the transaction of the change, and deleted after `TASKHUB_AUDIT_DAYS`."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.crypto import salted_hmac

from taskhub.audit.models import AuditEntry
from taskhub.audit.origin import current_origin, is_by_hand
from taskhub.security.masking import mask_all, masked_address, secrets_of

PRUNE_BATCH = 1000
TEXT_MAX = 1000  # characters of a text that are kept
VALUE_MAX = 10_000  # characters of a value in JSON; of larger ones only size and digest are kept
SECRETS_MAX = 1000  # that are looked for in each text of the values
ADDRESSES = frozenset({"webhook", "endpoint"})  # names of values that are addresses

Values = Mapping[str, Any]


def record_change(
    action: str,
    kind: str,
    object_id: object,
    name: str = "",
    *,
    owner_id: UUID | None = None,
    before: Values | None = None,
    after: Values | None = None,
) -> None:
    """Writes an entry: what a caller, as `taskhub.audit.origin` knows him, did with an object.

    `before` and `after` are values by their names, of which those that differ are kept, without secrets. Where both are
    given and nothing differs, there is no entry. It is one statement, in the transaction of the change.
    """
    if before is not None and after is not None:
        names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        if not names:
            return
        before, after = ({n: values[n] for n in values if n in names} for values in (before, after))
    origin = current_origin()
    AuditEntry.objects.create(
        actor_id=origin.user.pk if origin.user else None,
        actor=origin.user.email if origin.user else "",
        credential=origin.credential,
        door=origin.door,
        action=action,
        object_kind=kind,
        object_id=str(object_id)[:100],
        object_name=str(mask_all(name))[:300],
        owner_id=owner_id,
        before=None if before is None else _kept(before),
        after=None if after is None else _kept(after),
        request_id=origin.request_id,
        run_id=origin.run_id,
        address=origin.address,
    )


def record_by_hand(action: str, kind: str, object_id: object, name: str = "", **options: Any) -> None:
    """As `record_change`, of what the hub also does by itself, and often: only where somebody asked for it."""
    if is_by_hand():
        record_change(action, kind, object_id, name, **options)


def prune_entries(now: datetime) -> int:
    """Deletes a batch of the entries that are past their time; returns how many."""
    cutoff = now - timedelta(days=settings.AUDIT_DAYS)
    oldest = AuditEntry.objects.filter(at__lt=cutoff).order_by("at").values("pk")[:PRUNE_BATCH]
    return AuditEntry.objects.filter(pk__in=oldest).delete()[0]


class AuditEncoder(DjangoJSONEncoder):
    """Whatever a row has: as Django writes it, or else as a text."""

    def default(self, o: Any) -> Any:
        try:
            return super().default(o)
        except TypeError:
            return str(o)


def _kept(values: Values) -> dict[str, Any]:
    """Values as they are kept: as JSON, without secrets, and none of them long."""
    secrets = secrets_of(dict(values))  # before: JSON does not say any more which texts are secret
    plain = json.loads(json.dumps(dict(values), cls=AuditEncoder))
    if len(secrets) > SECRETS_MAX:
        return {name: _digest_of(value) for name, value in plain.items()}
    return {name: _short(name, value, secrets) for name, value in plain.items()}


def _short(name: str, value: Any, secrets: frozenset[str]) -> Any:
    """A value without secrets, or what is said of one that is too long, in which none is looked for."""
    if len(json.dumps(value)) > VALUE_MAX:
        return _digest_of(value)
    masked = _masked(name, value, secrets)
    if isinstance(masked, str) and len(masked) > TEXT_MAX:
        return f"{masked[:TEXT_MAX]}... ({len(masked)} characters)"
    return masked


def _masked(name: str, value: Any, secrets: frozenset[str]) -> Any:
    """What those are shown who do not own it: the path of a webhook is often its only credential."""
    return masked_address(value) if name in ADDRESSES and value else mask_all({name: value}, secrets)[name]


def _digest_of(value: Any) -> str:
    """What tells whether two values are the same; with the hub's key in it, so that nobody guesses a secret by it."""
    text = json.dumps(value)
    digest = salted_hmac("taskhub.audit", text, algorithm="sha256").hexdigest()[:16]
    return f"({len(text)} characters of JSON, SHA-256 {digest})"
