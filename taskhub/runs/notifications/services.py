"""Rules of notifications: made, changed, removed, tried; and what they have sent."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from taskhub.accounts.models import User
from taskhub.audit.services import record_change
from taskhub.errors import Conflict, Failed, Forbidden, NotFound, Problem, Rejected, invalid
from taskhub.outbound.mail_server import read_address
from taskhub.runs.domain import HUB_EVENTS, NotificationEvent
from taskhub.runs.models import NotificationMessage, NotificationRule, Run
from taskhub.runs.notifications.email_delivery import check_receiver
from taskhub.runs.queue.notification_events import Occurrence, check_email_limit, submit_messages
from taskhub.runs.queue.webhook_events import checked_webhook
from taskhub.runs.run_kinds import all_kinds
from taskhub.security.fingerprints import CheckVersion, fingerprint
from taskhub.security.masking import masked_address

RULES_MAX = 100  # of an owner
TEST = "notification.test"
_FILTERS = {"kind": "kind", "name": "run_name", "tag": "tag", "schedule": "schedule"}  # on the wire, in the table
_PLAIN = ("name", "quiet", "slow_after", "late_after", "all_owners", "enabled")


def visible_rule(*, rule_id: int, user: Any, for_update: bool = False) -> NotificationRule:
    """The rule with this id. Raises `NotFound` for one that never was or is another's."""
    rules = NotificationRule.objects.visible_to(user).select_related("owner")
    if for_update:
        rules = rules.select_for_update(of=("self",), no_key=True)
    rule = rules.filter(pk=rule_id).first()
    if rule is None:
        raise NotFound(f"There is no notification rule {rule_id}, or it is not yours.")
    return rule


def narrow_rules(
    rules: QuerySet[NotificationRule], *, on: Sequence[str] = (), enabled: bool | None = None
) -> QuerySet[NotificationRule]:
    """Those of the rules that tell of one of these events, and are enabled or not."""
    if on:
        rules = rules.filter(events__overlap=on)
    return rules if enabled is None else rules.filter(enabled=enabled)


def create_rule(*, owner: Any, values: Mapping[str, Any]) -> NotificationRule:
    """Stores a rule of checked values. Raises `Rejected` and `Forbidden` that name the place, and `Conflict` for a name
    that the owner has already, or one rule too many."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=owner.pk)  # who makes two at once makes one too many
        if NotificationRule.objects.filter(owner=owner).count() >= RULES_MAX:
            raise Conflict(f"You have {RULES_MAX} notification rules, which is as many as there may be.")
        return _store(NotificationRule(owner=owner), values)


def change_rule(
    *, rule_id: int, user: Any, values: Mapping[str, Any], check_version: CheckVersion | None = None
) -> NotificationRule:
    """Changes what `values` names of a rule that the user may see; raises as `create_rule` does, and what
    `check_version` raises.

    Others than the owner are shown a webhook without its path: one that comes back so stays.
    """
    with transaction.atomic():
        rule = visible_rule(rule_id=rule_id, user=user, for_update=True)
        if check_version is not None:
            check_version(version_of(rule))
        sent_back = values.get("to", {}).get("webhook") == masked_address(rule.webhook)
        if rule.webhook and rule.owner_id != user.pk and sent_back:
            values = {name: value for name, value in values.items() if name != "to"}
        return _store(rule, values)


def _store(rule: NotificationRule, values: Mapping[str, Any]) -> NotificationRule:
    for name in _PLAIN:
        if name in values:
            setattr(rule, name, values[name])
    if "on" in values:
        rule.events = list(dict.fromkeys(values["on"]))
    if "filter" in values:
        for name, column in _FILTERS.items():
            setattr(rule, column, values["filter"].get(name, ""))
    if "to" in values:
        rule.webhook, rule.emails = values["to"].get("webhook", ""), values["to"].get("email", [])
        _check_target(rule)
    _check_terms(rule)
    is_new = rule.pk is None
    before = None if is_new else _values_of(NotificationRule.objects.get(pk=rule.pk))
    try:
        with transaction.atomic():
            rule.save()
            _record("create" if is_new else "change", rule, before=before, after=_values_of(rule))
    except IntegrityError as error:
        if "notification_rule_name" not in str(error):
            raise
        raise Conflict(f"There is a notification rule {rule.name!r} already.") from None
    return rule


def version_of(rule: NotificationRule) -> str:
    """What another change of a rule makes another one."""
    return fingerprint(_values_of(rule))


def _values_of(rule: NotificationRule) -> dict[str, Any]:
    names = ("events", *_FILTERS.values(), *_PLAIN, "webhook", "emails")
    return {name: getattr(rule, name) for name in names}


def _record(action: str, rule: NotificationRule, **values: Any) -> None:
    record_change(action, "notification rule", rule.pk, rule.name, owner_id=rule.owner_id, **values)


def _check_target(rule: NotificationRule) -> None:
    """Raises `Rejected` and `Forbidden` for a receiver that may not be, or cannot be, told."""
    try:
        checked_webhook(rule.webhook)
    except Rejected as refusal:
        raise invalid("/to/webhook", refusal.detail) from None
    addresses = []
    for index, text in enumerate(rule.emails):
        place = f"/to/email/{index}"
        try:
            addresses.append(read_address(text))
            check_receiver(owner=rule.owner, address=addresses[-1])
        except ValueError as error:
            raise invalid(place, f"It {error}.") from None
        except (Failed, Forbidden) as problem:
            kind = Forbidden if isinstance(problem, Forbidden) else Rejected
            raise kind(problem.detail, errors=[{"pointer": place, "detail": problem.detail}]) from None
    rule.emails = list(dict.fromkeys(addresses))


def _check_terms(rule: NotificationRule) -> None:
    kinds = sorted(kind.name for kind in all_kinds() if kind.notifies)
    if rule.kind and rule.kind not in kinds:
        raise invalid("/filter/kind", f"There is no such kind of runs; there are {', '.join(kinds)}.")
    if NotificationEvent.RUN_SLOW in rule.events and rule.slow_after is None:
        raise invalid("/slow_after", "Of slow runs it has to be said after how many seconds they are slow.")
    if rule.owner.is_staff:
        return
    for index, event in enumerate(rule.events):
        if event in HUB_EVENTS:
            raise _for_staff(f"/on/{index}", f"Only staff are told of {event}.")
    if rule.all_owners:
        raise _for_staff("/all_owners", "Only staff are told of everybody's runs.")


def _for_staff(pointer: str, detail: str) -> Problem:
    return Forbidden(detail, errors=[{"pointer": pointer, "detail": detail}])


def enable_rule(*, rule: NotificationRule, enabled: bool) -> None:
    with transaction.atomic():
        before = NotificationRule.objects.select_for_update(no_key=True).get(pk=rule.pk).enabled
        NotificationRule.objects.filter(pk=rule.pk).update(enabled=enabled)
        _record("resume" if enabled else "pause", rule, before={"enabled": before}, after={"enabled": enabled})


def delete_rule(*, rule: NotificationRule) -> None:
    """Deletes a rule. What it has sent stays, as runs of its owner."""
    with transaction.atomic():
        if _delete(NotificationRule.objects.filter(pk=rule.pk)):
            _record("delete", rule, before=_values_of(rule))


@transaction.atomic
def _delete(rules: QuerySet[NotificationRule]) -> int:
    """Deletes rules, after what is told by them at the moment; returns how many."""
    ids: Sequence[int] = list(rules.select_for_update().order_by("pk").values_list("pk", flat=True))
    NotificationRule.objects.filter(pk__in=ids).delete()
    return len(ids)


def send_test(*, rule: NotificationRule) -> list[Run]:
    """Submits the messages of a test, one for each receiver. Raises `TooMany` where its owner sent too many e-mails."""
    if rule.emails:
        check_email_limit(rule.owner_id, len(rule.emails))
    title = f"This is a test of the notification rule {rule.name}"
    with transaction.atomic():
        return submit_messages(rule=rule, occurrence=Occurrence(TEST, "", title))


def messages_of(rule: NotificationRule) -> QuerySet[NotificationMessage]:
    return NotificationMessage.objects.filter(rule=rule).select_related("delivery").defer("delivery__result")


def remove_rules_of(owner_id: UUID) -> int:
    """Removes the rules of a deleted account; returns how many."""
    return _delete(NotificationRule.objects.filter(owner_id=owner_id))
