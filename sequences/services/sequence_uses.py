"""What uses the stored sequences of an owner: the runs of them, and the schedules that start these."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.db.models import OuterRef, Subquery
from django.db.models.fields.json import KT

from sequences.models import StoredSequence
from sequences.services.sequence_runs import KIND, may_run
from taskhub.errors import Rejected
from taskhub.runs.models import Run, Schedule
from taskhub.runs.scheduler.schedule_arguments import arguments_of
from taskhub.runs.schedules.services import tasks_of_kinds

SCHEDULES_MAX = 1000  # of an owner that are looked at


def schedules_by_sequence(user: Any) -> dict[str, list[Schedule]]:
    """The schedules of a user that start a stored sequence of theirs, by the name of that."""
    rows = Schedule.objects.filter(tasks_of_kinds({KIND}), owner=user, periodic__kwargs__contains='"sequence"')
    rows = rows.select_related("periodic", "last_run").defer("written", "last_run__arguments", "last_run__result")
    found: dict[str, list[Schedule]] = {}
    for schedule in rows.order_by("pk")[:SCHEDULES_MAX]:
        with suppress(Rejected):  # its fault says why
            if isinstance(name := arguments_of(schedule.periodic).get("sequence"), str):
                found.setdefault(name, []).append(schedule)
    return found


def last_runs(user: Any, names: Iterable[str], schedules: dict[str, list[Schedule]]) -> dict[str, Run]:
    """The newest run of each stored sequence, by its name; `schedules` are those of `schedules_by_sequence`."""
    newest = _started(user).filter(name=OuterRef("name"), called=OuterRef("name")).order_by("-id").values("pk")[:1]
    stored = StoredSequence.objects.filter(owner=user, name__in=names).annotate(last=Subquery(newest))
    ids = dict(stored.exclude(last=None).values_list("name", "last"))
    runs = Run.objects.filter(pk__in=ids.values()).brief().in_bulk()
    last = {name: runs[pk] for name, pk in ids.items() if pk in runs}
    for name in names:
        candidates = [schedule.last_run for schedule in schedules.get(name, []) if schedule.last_run]
        candidates += [last[name]] if name in last else []
        if candidates:
            last[name] = max(candidates, key=lambda run: run.pk)
    return last


def runs_of_sequence(user: Any, name: str, schedules: Iterable[Schedule], limit: int) -> list[Run]:
    """The newest runs of a stored sequence, by whomever they were started."""
    called = _started(user).filter(called=name)
    # The newest runs are those of the schedules that fired last.
    newest = sorted(schedules, key=lambda schedule: str(schedule.last_run_id or ""))[-limit:]
    heads = [called.filter(name=name), *(called.filter(schedule_id=schedule.pk) for schedule in newest)]
    found = {run.pk: run for head in heads for run in head.brief().order_by("-id")[:limit]}
    return [found[pk] for pk in sorted(found, reverse=True)[:limit]]


def editable_sequence(run: Run, viewer: Any) -> str:
    """The name of the stored sequence that a run calls, where `viewer` may change it; else an empty text."""
    if run.kind != KIND or run.owner_id != viewer.pk or not may_run(viewer):
        return ""
    called = Run.objects.filter(pk=run.pk).values_list(KT("arguments__sequence"), flat=True).first() or ""
    return called if StoredSequence.objects.filter(owner=viewer, name=called).exists() else ""


def _started(user: Any) -> Any:
    return Run.objects.filter(owner=user, kind=KIND).annotate(called=KT("arguments__sequence"))
