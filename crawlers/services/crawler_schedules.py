"""Schedules of crawlers, each a periodic task in the admin. A crawler never has two tasks at once."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from crawlers.domain.kind_names import SCHEDULED_TASK
from crawlers.models import Crawler
from taskhub.errors import NotFound, Rejected, invalid
from taskhub.runs.run_kinds import PlannedRun
from taskhub.runs.scheduler.schedule_spec import ScheduleSpec, build_periodic_task, place_in_call, spec_of
from taskhub.runs.scheduler.schedules import delete_schedule, save_schedule

TYPES = ("interval", "crontab", "cron", "clocked")


def replace_schedule(*, crawler: Crawler, schedule: Mapping[str, Any] | None) -> None:
    """Replaces the crawler's schedule, or removes it. Raises `Rejected` with pointers below `/schedule`."""
    with transaction.atomic():
        periodic, crawler.periodic = crawler.periodic, None
        if periodic is not None:
            delete_schedule(periodic=periodic)
        if schedule is not None:
            crawler.periodic = _create_schedule(crawler, schedule)
        crawler.save(update_fields=["periodic"])


def _create_schedule(crawler: Crawler, schedule: Mapping[str, Any]) -> Any:
    type_ = schedule.get("type")
    if type_ not in TYPES:
        raise invalid("/schedule/type", "Must be interval, crontab or clocked.")
    spec = {**schedule, "type": "cron" if type_ == "crontab" else type_}
    periodic = build_periodic_task(f"crawler {crawler.fid}", SCHEDULED_TASK, spec)
    arguments = json.dumps({"crawler": str(crawler.fid)})
    try:
        return save_schedule(periodic=periodic, owner=crawler.owner, written=arguments).periodic
    except Rejected as refusal:
        raise Rejected(refusal.detail, errors=map(place_in_call, refusal.errors), type=refusal.type) from None


def schedule_of(crawler: Crawler) -> ScheduleSpec | None:
    """The crawler's schedule as it is shown; its word for `cron` is `crontab`."""
    if crawler.periodic is None:
        return None
    spec = spec_of(crawler.periodic)
    return {**spec, "type": "crontab"} if spec["type"] == "cron" else spec


def planned_run(arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
    """The run that a schedule of this name starts: a task of `{"crawler": fid}`."""
    crawler = find_crawler(arguments, owner)
    return PlannedRun(owner, crawler.name or schedule, {"crawler": str(crawler.fid)}, webhook=crawler.webhook)


def find_crawler(arguments: Mapping[str, Any], owner: Any) -> Crawler:
    """The crawler that a run's arguments name. Raises `Rejected` or `NotFound`."""
    try:
        fid = UUID(str(arguments.get("crawler", "")))
    except ValueError:
        raise invalid("/crawler", "Must be the fid of a crawler.") from None
    rows = Crawler.objects.visible_to(owner).select_related("external", "stream", "owner", "periodic")
    crawler: Crawler | None = rows.filter(fid=fid).first()
    if crawler is None:
        raise NotFound(f"There is no crawler {fid}, or it is not yours.")
    return crawler
