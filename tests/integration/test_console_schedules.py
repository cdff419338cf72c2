"""The console's pages of schedules."""

from typing import Any

import pytest
from django.test import Client
from django_celery_beat.models import PeriodicTask

from taskhub.runs.models import Run
from tests.conftest import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def daily(owner: Person) -> int:
    sent = {
        "name": "<b>daily</b>",
        "kind": "walker",
        "arguments": {"name": "echo", "ctx": {"value": "hello"}},
        "when": {"interval": {"every": 1, "period": "days"}},
    }
    return int(owner.post("/schedules", sent).json()["id"])


def act(browser: Client, schedule: int, action: str) -> Any:
    return browser.post(f"/console/schedules/{schedule}/action", {"action": action}, follow=True)


def test_schedules_are_listed_for_those_who_may_see_them(browser: Client, daily: int, stranger: Person) -> None:
    page = browser.get("/console/schedules").text
    assert f"/console/schedules/{daily}" in page
    assert "&lt;b&gt;daily" in page
    assert "in 23 h" in page
    browser.force_login(stranger.user)
    assert "There are no schedules yet." in browser.get("/console/schedules").text


def test_a_schedule_is_paused_resumed_and_run(browser: Client, owner: Person, daily: int) -> None:
    assert "The schedule is paused." in act(browser, daily, "pause").text
    assert owner.get(f"/schedules/{daily}").json()["enabled"] is False
    assert "The schedule goes on." in act(browser, daily, "resume").text
    assert owner.get(f"/schedules/{daily}").json()["enabled"] is True
    page = act(browser, daily, "run").text
    assert "A run is started." in page
    assert str(Run.objects.get(schedule_id=daily).pk) in page
    assert act(browser, daily, "delete").status_code == 400


def test_what_stops_a_schedule_is_told(browser: Client, daily: int) -> None:
    PeriodicTask.objects.update(task="nothing.that.is.installed")
    page = act(browser, daily, "run").text
    assert "notice error" in page
    assert not Run.objects.exists()
