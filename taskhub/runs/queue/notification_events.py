"""Notifications: what happened is told as rules say, in the transaction in which it happens.

A message is a run of its own: a delivery to a webhook, or an e-mail. So it is sent once, whoever dies when, and what
nobody wants to know of costs nothing: which rules an end concerns is asked by the statement that ends the run.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from taskhub.errors import TooMany, Unavailable
from taskhub.jsontools.field_types import format_timestamp
from taskhub.runs.domain import NotificationEvent, State, oldest_id
from taskhub.runs.models import NotificationMark, NotificationMessage, NotificationQuiet, NotificationRule, Run, Worker
from taskhub.runs.queue.submission import submit
from taskhub.runs.queue.webhook_events import submit_delivery
from taskhub.runs.run_kinds import kind_or_default

EMAIL = "email"  # the kind of the runs that send one
LIMIT_SECONDS = 3600  # for which e-mails are counted
LIMIT_PAUSE = timedelta(minutes=10)  # in which an owner who has sent too many e-mails sends none
TITLE_MAX = 300
RUN_PAGE = "/console/runs"  # where people look at a run
NOT_FIRED = frozenset({"Skipped", "Missed"})  # the errors of due times that were left out
ALIVE = timedelta(seconds=9)  # two heartbeats: whose last one is older may have died with its runs

log = logging.getLogger(__name__)
_Event = NotificationEvent

# The rules that the end of a run concerns, as a part of the statement that ends it: `ended` is the run. Every run pays
# for it, so it has few values, and what they are made into is made for each rule.
RULES_OF_END = """
ARRAY(
    SELECT rule.id FROM runs_notificationrule AS rule
    WHERE rule.enabled AND (rule.owner_id = ended.owner_id OR rule.all_owners)
        AND rule.kind IN ('', ended.kind) AND rule.run_name IN ('', ended.name)
        AND rule.schedule IN ('', ended.schedule) AND (rule.tag = '' OR rule.tag = ANY(ended.tags))
        AND (
            rule.events::text[] && string_to_array(%(events)s, ' ')
            OR 'run.slow' = ANY(rule.events)
                AND extract(epoch FROM ended.finished_at - ended.started_at) > rule.slow_after
            OR 'run.recovered' = ANY(rule.events) AND ended.state = 'SUCCESS' AND EXISTS (
                SELECT FROM runs_notificationmark AS mark
                WHERE mark.rule_id = rule.id AND mark.event = 'run.recovered' AND mark.subject = %(subject)s
            )
        )
    ORDER BY rule.id
)
"""
RULES_OF_END_TYPES = {"events": "text", "subject": "text"}


@dataclass(frozen=True)
class Occurrence:
    """Something that happened. `subject` is what it happened to: within a quiet time there is one message of it.

    `title` is a sentence without its full stop; `facts` are members of the message, each an object; `run` is the run
    that it concerns.
    """

    event: str
    subject: str
    title: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    run: Run | None = None


# What happens to runs


def values_of_end(run: Run, state: State, error: Mapping[str, Any] | None) -> dict[str, str]:
    """The values of `RULES_OF_END` for a run that ends so. A failure concerns rules that tell of a recovery, too."""
    events = [*_events_of_end(run, state, error), *([_Event.RUN_RECOVERED] if state == State.FAILURE else [])]
    return {"events": " ".join(events), "subject": _subject_of(run)}


def notify_of_end(*, run: Run, rule_ids: Iterable[int]) -> None:
    """Has rules tell of the end of a run, in the ending transaction. Of a failure a rule tells one event, the narrowest
    that it names."""
    events = _events_of_end(run, State(run.state), run.error)
    for rule in hold_rules(NotificationRule.objects.filter(pk__in=list(rule_ids))):
        if _Event.RUN_SLOW in rule.events:
            _notify_of_slow_end(rule, run)
        if _Event.RUN_RECOVERED in rule.events:
            _follow_failures(rule, run)
        if event := next((event for event in events if event in rule.events), None):
            tell(rule, _occurrence_of_run(event, run, _title_of_end(event, run)))


def _events_of_end(run: Run, state: State, error: Mapping[str, Any] | None) -> list[str]:
    """What the end of a run is, the narrowest first."""
    if state == State.FAILURE:
        narrower = kind_or_default(run.kind).failure_event(error or {})
        return [*([narrower] if narrower else []), _Event.RUN_FAILED]
    is_left_out = state == State.REVOKED and run.due_at is not None and (error or {}).get("type") in NOT_FIRED
    return [_Event.SCHEDULE_MISSED] if is_left_out else []


def _title_of_end(event: str, run: Run) -> str:
    error = run.error or {}
    reason = f"{error.get('type')}: {error.get('message')}"
    match event:
        case _Event.SCHEDULE_MISSED:
            return f"The schedule {run.schedule} did not fire: {error.get('message')}"
        case _Event.CRAWLER_TIMEOUT:
            return f"{label_of(run)} timed out: {error.get('message')}"
    return f"{label_of(run)} failed: {reason}"


def _follow_failures(rule: NotificationRule, run: Run) -> None:
    """Remembers a failure, or tells of the first success after one."""
    mark: dict[str, Any] = {"rule": rule, "event": _Event.RUN_RECOVERED, "subject": _subject_of(run)}
    if run.state == State.FAILURE:
        NotificationMark.objects.get_or_create(**mark)
    elif run.state == State.SUCCESS and NotificationMark.objects.filter(**mark).delete()[0]:
        tell(rule, _occurrence_of_run(_Event.RUN_RECOVERED, run, f"{label_of(run)} succeeded again"))


def _notify_of_slow_end(rule: NotificationRule, run: Run) -> None:
    if run.started_at and run.finished_at and rule.slow_after is not None:
        seconds = (run.finished_at - run.started_at).total_seconds()
        if seconds > rule.slow_after:
            notify_of_slow_run(rule=rule, run=run, seconds=seconds)


def notify_of_slow_run(*, rule: NotificationRule, run: Run, seconds: float) -> None:
    """Has a rule tell that a run takes, or took, longer than it should, unless it has; in the caller's transaction."""
    _, is_new = NotificationMark.objects.get_or_create(rule=rule, event=_Event.RUN_SLOW, subject=str(run.pk))
    if is_new:
        took = f"took {seconds:.0f} s" if run.ended else f"goes on after {seconds:.0f} s"
        title = f"{label_of(run)} {took}, longer than {rule.slow_after} s"
        tell(rule, _occurrence_of_run(_Event.RUN_SLOW, run, title))


def notify_of_run(*, event: str, run: Run, title: str, facts: Mapping[str, Any] | None = None) -> None:
    """Has rules tell of something that happened to a run, in the transaction in which it happens.

    `title` says what, behind the kind and the name of the run; `facts` are further members of the message.
    """
    rules = NotificationRule.objects.filter(Q(owner_id=run.owner_id) | Q(all_owners=True))
    rules = rules.filter(Q(tag="") | Q(tag__in=run.tags), events__contains=[event])
    rules = rules.filter(kind__in=("", run.kind), run_name__in=("", run.name), schedule__in=("", run.schedule))
    for rule in hold_rules(rules):
        tell(rule, _occurrence_of_run(event, run, f"{label_of(run)} {title}", facts or {}))


def label_of(run: Run) -> str:
    return f"{run.kind} {run.name}"


def _subject_of(run: Run) -> str:
    """By which the runs of the same work are known: its owner, kind, name and schedule."""
    return f"{run.owner_id} {run.kind} {run.schedule_id or 0} {run.name}"


def _occurrence_of_run(event: str, run: Run, title: str, facts: Mapping[str, Any] | None = None) -> Occurrence:
    return Occurrence(event, _subject_of(run), title, {"run": _facts_of(run), **(facts or {})}, run)


def _facts_of(run: Run) -> dict[str, Any]:
    """A run as messages show it: as it was then, without its arguments and its result."""
    times = {name: getattr(run, name) for name in ("due_at", "created_at", "started_at", "finished_at")}
    return {
        "id": str(run.pk),
        "kind": run.kind,
        "name": run.name,
        "owner": str(run.owner_id),
        "state": str(run.state),
        "error": run.error,
        "attempt": run.attempt,
        "schedule": run.schedule,
        "tags": list(run.tags),
        **{name: time and format_timestamp(time) for name, time in times.items()},
        "url": f"{settings.PUBLIC_URL}{RUN_PAGE}/{run.pk}",
    }


# What happens to the hub


def rules_of(*events: str) -> list[NotificationRule]:
    """The rules that may tell of one of these events, which are looked for."""
    return hold_rules(NotificationRule.objects.filter(events__overlap=list(events)))


def notify_of_lost_processes(workers: Iterable[str]) -> None:
    """Tells of worker processes whose leases ran out, in the transaction that takes these away.

    Of one whose whole worker is silent the leader tells, when that counts as lost.
    """
    nodes = {worker.rpartition(":")[0] for worker in workers if worker}
    if not nodes or not (rules := rules_of(_Event.WORKER_LOST)):
        return
    alive = Worker.objects.filter(name__in=nodes, seen_at__gt=Now() - ALIVE)
    for name in sorted(alive.values_list("name", flat=True)):
        title = f"A process of the worker {name} was lost, or stopped responding; its runs start again"
        for rule in rules:
            tell(rule, Occurrence(_Event.WORKER_LOST, name, title, {"worker": {"name": name}}))


# Messages


def hold_rules(rules: QuerySet[NotificationRule]) -> list[NotificationRule]:
    """Those of the rules that are enabled and may tell something, and whose receiver can be read.

    Nobody deletes them before the caller's transaction ends: with a message of a rule that is gone it could not be
    committed, nor could what it tells of.
    """
    chosen, values = rules.filter(enabled=True).order_by("pk").values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"{chosen} FOR KEY SHARE", values)
        ids = [rule_id for (rule_id,) in cursor.fetchall()]
    if not ids:
        return []
    found = NotificationRule.objects.filter(pk__in=ids).select_related("owner").order_by("pk")
    return [rule for rule in found if any(map(rule.may_tell, rule.events)) and _is_readable(rule)]


def _is_readable(rule: NotificationRule) -> bool:
    """Whether a rule's webhook can be opened: where its key was removed, the run that it tells of must end anyway."""
    try:
        return bool(rule.webhook or rule.emails)
    except Unavailable as error:
        log.warning("The notification rule %s tells nothing: %s", rule.pk, error.detail)
        return False


def tell(rule: NotificationRule, occurrence: Occurrence) -> None:
    """Submits the messages of a rule, in the caller's transaction; or counts what is held back.

    That is in the rule's quiet time for the subject, and where its owner may send no more e-mails for now.
    """
    if not rule.may_tell(occurrence.event):
        return
    limited = len(rule.emails) > emails_left(rule.owner_id) if rule.emails else False
    held_back = 0
    if rule.quiet or limited:
        now = timezone.now()
        quiet = _locked_quiet(rule, occurrence, now)
        if limited or quiet.until > now:
            _hold_back(quiet, occurrence, until=max(quiet.until, now + LIMIT_PAUSE) if limited else quiet.until)
            return
        held_back, quiet.held_back, quiet.latest = quiet.held_back, 0, None
        quiet.until = now + timedelta(minutes=rule.quiet)
        quiet.save()
    submit_messages(rule=rule, occurrence=occurrence, held_back=held_back)


def _locked_quiet(rule: NotificationRule, occurrence: Occurrence, now: datetime) -> NotificationQuiet:
    """The row of a rule and a subject, locked; a new one is over."""
    key = {"rule": rule, "event": occurrence.event, "subject": occurrence.subject}
    NotificationQuiet.objects.bulk_create([NotificationQuiet(**key, until=now)], ignore_conflicts=True)
    return NotificationQuiet.objects.select_for_update().get(**key)


def _hold_back(quiet: NotificationQuiet, occurrence: Occurrence, until: datetime) -> None:
    run = occurrence.run
    quiet.held_back, quiet.until = quiet.held_back + 1, until
    quiet.latest = {"title": occurrence.title, "facts": occurrence.facts, "run": str(run.pk) if run else None}
    quiet.save()


def emails_left(owner_id: UUID) -> int:
    """How many e-mails an owner may still send in this hour."""
    since = oldest_id(timezone.now() - timedelta(seconds=LIMIT_SECONDS))
    sent = NotificationMessage.objects.filter(owner_id=owner_id, by_email=True, pk__gte=since)
    return int(settings.EMAILS_PER_HOUR) - sent.count()


def submit_messages(*, rule: NotificationRule, occurrence: Occurrence, held_back: int = 0) -> list[Run]:
    """Submits the runs that deliver a message, one for each receiver, in the caller's transaction."""
    data = {
        "title": occurrence.title[:TITLE_MAX],
        "rule": {"id": rule.pk, "name": rule.name},
        "held_back": held_back,
        **occurrence.facts,
    }
    parent, event = occurrence.run, occurrence.event
    if rule.webhook:
        runs = [submit_delivery(owner=rule.owner, url=rule.webhook, event=event, data=data, parent=parent, whole=True)]
    else:
        runs = [_submit_email(rule, address, event, data, parent) for address in rule.emails]
    NotificationMessage.objects.bulk_create(
        NotificationMessage(
            delivery=run, owner=rule.owner, rule=rule, event=event, by_email=not rule.webhook, held_back=held_back
        )
        for run in runs
    )
    return runs


def record_retry(*, old: Run, new: Run) -> None:
    """Puts a message that is sent again on record as the first was, in the transaction that submits it.

    Raises `TooMany` where its owner has sent too many e-mails.
    """
    message = NotificationMessage.objects.filter(delivery=old).first()
    if message is None:
        return
    if message.by_email:
        check_email_limit(message.owner_id, 1)
    message.delivery = new
    message.save(force_insert=True)


def check_email_limit(owner_id: UUID, count: int) -> None:
    """Raises `TooMany` where an owner may not send so many e-mails any more."""
    if count > emails_left(owner_id):
        raise TooMany("This hour's e-mails are sent.", retry_after=LIMIT_SECONDS)


def _submit_email(rule: NotificationRule, address: str, event: str, data: Mapping[str, Any], parent: Run | None) -> Run:
    """Submits an e-mail to one address. An owner's are sent one at a time, so that a server which hangs takes one slot
    of each."""
    arguments = {"to": address, "event": event, "data": dict(data)}
    alone_as = f"{EMAIL} {rule.owner_id}"
    return submit(kind=EMAIL, owner=rule.owner, name=event, arguments=arguments, parent=parent, alone_as=alone_as)
