"""What the leader looks for every few seconds, since nothing ends by it: quiet times that are over, slow runs, lost
workers, late queues. What holds is marked, so that it is told once, and may be told again once it is over."""

import logging
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from taskhub.jsontools.field_types import format_timestamp
from taskhub.runs.domain import NotificationEvent, State, oldest_id
from taskhub.runs.models import NotificationMark, NotificationQuiet, NotificationRule, Run, Worker, worker_timeout
from taskhub.runs.queue.notification_events import (
    Occurrence,
    emails_left,
    hold_rules,
    notify_of_slow_run,
    rules_of,
    submit_messages,
    tell,
)
from taskhub.runs.run_kinds import all_kinds, kinds_of_queue

LOOK_SECONDS = 5.0
BATCH = 100
WAITING_MAX = 1000  # runs of a queue that are looked at

log = logging.getLogger(__name__)
_Event = NotificationEvent


class ConditionWatch:
    """Looks when it is time, however often it is asked to."""

    def __init__(self) -> None:
        self._look_at = 0.0

    def look_in_time(self) -> None:
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            look()


def look() -> None:
    """Tells of all conditions that hold and were not told, and of what was held back in quiet times that are over."""
    tell_held_back()
    for rule in rules_of(_Event.RUN_SLOW, _Event.WORKER_LOST, _Event.QUEUE_LATE):
        if _Event.RUN_SLOW in rule.events and rule.slow_after is not None:
            _find_slow_runs(rule, rule.slow_after)
        if _Event.WORKER_LOST in rule.events:
            _mark_and_tell(rule, _Event.WORKER_LOST, _lost_workers(rule))
        if _Event.QUEUE_LATE in rule.events:
            _mark_and_tell(rule, _Event.QUEUE_LATE, _late_queues(rule))


# What was held back


def tell_held_back() -> int:
    """Tells what was held back in quiet times that are over, a message for each; returns how many."""
    due = NotificationQuiet.objects.filter(held_back__gt=0, until__lte=timezone.now())
    ids = list(due.order_by("until").values_list("pk", "rule")[:BATCH])
    return sum(_tell_one_held_back(quiet_id, rule_id) for quiet_id, rule_id in ids)


@transaction.atomic
def _tell_one_held_back(quiet_id: int, rule_id: int) -> bool:
    rule = next(iter(hold_rules(NotificationRule.objects.filter(pk=rule_id))), None)
    rows, now = NotificationQuiet.objects.select_for_update(skip_locked=True), timezone.now()
    quiet = rows.filter(pk=quiet_id, held_back__gt=0, until__lte=now).first()
    if quiet is None:
        return False
    latest = quiet.latest or {}
    if rule is None or not rule.may_tell(quiet.event):
        quiet.delete()
        return False
    if rule.emails and len(rule.emails) > emails_left(rule.owner_id):
        quiet.until = now + timedelta(minutes=1)
        quiet.save()
        return False
    run = Run.objects.filter(pk=latest["run"]).first() if latest.get("run") else None
    occurrence = Occurrence(quiet.event, quiet.subject, latest["title"], latest["facts"], run)
    submit_messages(rule=rule, occurrence=occurrence, held_back=quiet.held_back - 1)
    quiet.held_back, quiet.latest, quiet.until = 0, None, now + timedelta(minutes=rule.quiet)
    quiet.save()
    return True


# Slow runs


def _find_slow_runs(rule: NotificationRule, seconds: int) -> None:
    marks = NotificationMark.objects.filter(rule=rule, event=_Event.RUN_SLOW)
    told = list(marks.values_list("subject", flat=True))
    unended = {str(pk) for pk in Run.objects.filter(pk__in=told, finished_at__isnull=True).values_list("pk", flat=True)}
    if over := [subject for subject in told if subject not in unended]:
        marks.filter(subject__in=over).delete()
    slow = _runs_of(rule).filter(lease_until__isnull=False, started_at__lt=Now() - timedelta(seconds=seconds))
    for run_id in list(slow.exclude(pk__in=unended).values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            if not hold_rules(NotificationRule.objects.filter(pk=rule.pk)):
                return
            rows = Run.objects.brief().select_for_update(of=("self",), skip_locked=True, no_key=True)
            run = rows.filter(pk=run_id, finished_at__isnull=True).first()
            if run is not None and run.started_at is not None:
                notify_of_slow_run(rule=rule, run=run, seconds=(timezone.now() - run.started_at).total_seconds())


def _runs_of(rule: NotificationRule) -> QuerySet[Run]:
    """The runs that a rule may tell of."""
    runs = Run.objects.filter(kind__in=[kind.name for kind in all_kinds() if kind.notifies])
    if not rule.all_owners:
        runs = runs.filter(owner_id=rule.owner_id)
    wanted = {"kind": rule.kind, "name": rule.run_name, "schedule": rule.schedule}
    runs = runs.filter(**{name: value for name, value in wanted.items() if value})
    return runs.filter(tags__contains=[rule.tag]) if rule.tag else runs


# The hub's own


def _lost_workers(rule: NotificationRule) -> dict[str, Occurrence]:
    """Workers that gave no sign of life for too long, by name; none that was lost before there was the rule."""
    lost = Worker.objects.filter(seen_at__lte=Now() - worker_timeout(), seen_at__gt=rule.created_at)
    return {
        worker.name: Occurrence(
            _Event.WORKER_LOST,
            worker.name,
            f"The worker {worker.name} was lost: it gave no sign of life since {format_timestamp(worker.seen_at)}",
            {"worker": {"name": worker.name, "queues": worker.queues, "seen_at": format_timestamp(worker.seen_at)}},
        )
        for worker in lost
    }


def _late_queues(rule: NotificationRule) -> dict[str, Occurrence]:
    """Queues whose oldest run waits for longer than the rule allows, by name."""
    found, now = {}, timezone.now()
    for queue in settings.QUEUES:
        since = _waiting_since(queue, now - timedelta(minutes=rule.late_after))
        if since is not None:
            minutes = (now - since).total_seconds() / 60
            title = f"The queue {queue} is late: its oldest run waits for {minutes:.0f} minutes"
            facts = {"queue": {"name": queue, "waiting_since": format_timestamp(since)}}
            found[queue] = Occurrence(_Event.QUEUE_LATE, queue, title, facts)
    return found


def _waiting_since(queue: str, limit: datetime) -> datetime | None:
    """Since when the oldest run waits that waits since `limit` or longer, of those that could go on."""
    held = Run.objects.filter(lease_until__isnull=False).exclude(alone_as="").values("alone_as")
    waiting = Run.objects.filter(ready=True, kind__in=kinds_of_queue(queue), pk__lt=oldest_id(limit))
    # Of what came back from a lost worker, or was admitted, it is not known since when it waits.
    waiting = waiting.filter(Q(state=State.PENDING) | Q(not_before__isnull=False), concurrency_key="")
    late = (
        waiting.exclude(alone_as__in=held).annotate(since=Coalesce("not_before", "created_at")).filter(since__lte=limit)
    )
    return min(late.order_by().values_list("since", flat=True)[:WAITING_MAX], default=None)


@transaction.atomic
def _mark_and_tell(rule: NotificationRule, event: str, holding: Mapping[str, Occurrence]) -> None:
    if not hold_rules(NotificationRule.objects.filter(pk=rule.pk)):
        return
    marks = NotificationMark.objects.filter(rule=rule, event=event)
    marks.exclude(subject__in=holding.keys()).delete()
    for subject, occurrence in holding.items():
        _, is_new = NotificationMark.objects.get_or_create(rule=rule, event=event, subject=subject)
        if is_new:
            tell(rule, occurrence)


def prune() -> int:
    """Removes what rules need not know any more; returns how many rows."""
    now = timezone.now()
    quiet = NotificationQuiet.objects.filter(held_back=0, until__lt=now)
    failures = NotificationMark.objects.filter(
        event=_Event.RUN_RECOVERED, at__lt=now - timedelta(days=settings.RUN_RETENTION_DAYS)
    )
    return _delete(quiet) + _delete(failures)


def _delete(rows: QuerySet[Any]) -> int:
    ids: Collection[int] = list(rows.values_list("pk", flat=True)[:1000])
    return rows.filter(pk__in=ids).delete()[0] if ids else 0
