"""Schedules of crawlers, each a periodic task in the admin: one task after the other, never two at once."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from crawlers.models import Crawler
from taskhub.errors import NotFound, invalid
from taskhub.runs.run_kinds import PlannedRun
from taskhub.runs.scheduler.schedule_spec import WhenShown, periodic_of, when_of
from taskhub.runs.scheduler.schedules import delete_schedule, save_schedule

KIND = "crawler"
SCHEDULED = "crawlers.tasks.ScheduledCrawler"
TYPES = ("interval", "crontab", "cron", "clocked")


def replace_schedule(*, crawler: Crawler, schedule: Mapping[str, Any] | None) -> None:
    """Replaces the crawler's schedule, or takes it away. Raises `Rejected` with pointers below `/schedule`."""
    with transaction.atomic():
        periodic, crawler.periodic = crawler.periodic, None
        if periodic is not None:
            delete_schedule(periodic=periodic)
        if schedule is not None:
            crawler.periodic = _stored(crawler, schedule)
        crawler.save(update_fields=["periodic"])


def schedule_of(crawler: Crawler) -> WhenShown | None:
    """As it is shown; `crontab` is the word here."""
    if crawler.periodic is None:
        return None
    shown = when_of(crawler.periodic)
    return {**shown, "type": "crontab"} if shown["type"] == "cron" else shown


def _stored(crawler: Crawler, schedule: Mapping[str, Any]) -> Any:
    kind = schedule.get("type")
    if kind not in TYPES:
        raise invalid("/schedule/type", "Must be interval, crontab or clocked.")
    when = {**schedule, "type": "cron" if kind == "crontab" else kind}
    periodic = periodic_of(f"crawler {crawler.fid}", SCHEDULED, when)
    return save_schedule(
        periodic=periodic, owner=crawler.owner, written=json.dumps({"crawler": str(crawler.fid)})
    ).periodic


def planned_run(arguments: Mapping[str, Any], owner: Any, schedule: str) -> PlannedRun:
    """The run that a schedule, by name, starts: a task of `{"crawler": fid}`."""
    crawler = crawler_of(arguments, owner)
    return PlannedRun(owner, crawler.name or schedule, {"crawler": str(crawler.fid)})


def crawler_of(arguments: Mapping[str, Any], owner: Any) -> Crawler:
    """Raises `Rejected` or `NotFound`."""
    try:
        fid = UUID(str(arguments.get("crawler", "")))
    except ValueError:
        raise invalid("/crawler", "Must be the fid of a crawler.") from None
    rows = Crawler.objects.visible_to(owner).select_related("external", "stream", "owner", "periodic")
    crawler: Crawler | None = rows.filter(fid=fid).first()
    if crawler is None:
        raise NotFound(f"There is no crawler {fid}, or it is not yours.")
    return crawler
