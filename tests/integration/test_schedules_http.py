"""`/schedules`: made, changed, paused and started over HTTP, with their fires and a preview of them."""

import json
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from taskhub.jsontools.field_types import parse_timestamp
from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue import cancel
from taskhub.runs.scheduler import fires as fires_module
from taskhub.runs.scheduler import schedules
from taskhub.runs.scheduler.fires import fire_due
from taskhub.runs.scheduler.schedule_preview import preview
from tests import crawler_client
from tests.conftest import Person
from tests.problems import problem

pytestmark = pytest.mark.django_db
HOURLY = {"interval": {"every": 1, "period": "hours"}}
ECHO = {"name": "echo", "ctx": {"value": 7}}


def make(person: Person, status: int = 201, **fields: Any) -> Any:
    body = {"name": "often", "kind": "walker", "arguments": ECHO, "when": HOURLY, **fields}
    answer = person.post("/schedules", {name: value for name, value in body.items() if value is not None})
    assert answer.status_code == status, answer.content
    return answer.json()


def places(refusal: Any) -> dict[str, str]:
    return {error["pointer"]: error["detail"] for error in refusal["errors"]}


def patch(person: Person, schedule: Any, status: int = 200, **changes: Any) -> Any:
    answer = person.patch(f"/schedules/{schedule['id']}", changes)
    assert answer.status_code == status, answer.content
    return answer.json()


def fire(ago: float = 1, **of: Any) -> int:
    """Lets schedules be due some seconds ago; returns how many fired."""
    Schedule.objects.filter(**of).update(due_at=timezone.now() - timedelta(seconds=ago))
    return fire_due()


def fires(person: Person, schedule: Any) -> list[Any]:
    found: list[Any] = person.get(f"/schedules/{schedule['id']}/fires").json()["results"]
    return found


def test_a_schedule_is_made_listed_and_shown(owner: Person, stranger: Person, colleague: Person) -> None:
    made = make(owner, overlap="wait", missed="none", jitter=5)
    assert {**made, "id": 0, "next_fires": []} == {
        "id": 0,
        "name": "often",
        "owner": str(owner.user.pk),
        "kind": "walker",
        "arguments": ECHO,
        "when": HOURLY,
        "start": None,
        "end": None,
        "one_off": False,
        "overlap": "wait",
        "missed": "none",
        "jitter": 5,
        "webhook": "",
        "tags": [],
        "metadata": {},
        "priority": None,
        "concurrency": None,
        "enabled": True,
        "next_fires": [],
        "last_run": None,
        "fault": "",
    }
    assert len(made["next_fires"]) == 10
    assert made["next_fires"] == sorted(made["next_fires"])
    assert owner.get(f"/schedules/{made['id']}").json() == made
    for person, expected in ((owner, [made["id"]]), (stranger, []), (colleague, [made["id"]])):
        assert [row["id"] for row in person.get("/schedules").json()["results"]] == expected
    assert stranger.get(f"/schedules/{made['id']}").status_code == 404


def test_each_kind_has_the_arguments_of_its_task(owner: Person, colleague: Person) -> None:
    external = crawler_client.external(colleague, "http://127.0.0.1:9/shop", parameters=[])
    crawler = crawler_client.crawler(colleague, external, {})["crawler"]
    payload = {"request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}
    task = colleague.post("/v1/task/create", payload).json()
    kinds = {
        "walker": ECHO,
        "sequence": {"requests": []},
        "crawler": {"crawler": crawler["fid"]},
        "extraction": {"task": task["id"], "payload": {"format": "CSV"}},
    }
    for kind, arguments in kinds.items():
        make(colleague, name=kind, kind=kind, arguments=arguments)
    assert fire(owner=colleague.user) == 4
    assert set(Run.objects.exclude(schedule="").values_list("schedule", "kind")) == {(kind, kind) for kind in kinds}
    assert [row["name"] for row in colleague.get("/schedules?kind=crawler").json()["results"]] == ["crawler"]
    for query in ("kind=crawler&kind=walker", "kind=walker,crawler"):
        listed = colleague.get(f"/schedules?{query}").json()["results"]
        assert {row["name"] for row in listed} == {"crawler", "walker"}
    refused = make(owner, 400, kind="sequence", arguments={"requests": []})
    assert list(places(refused)) == ["/arguments"]


def test_arguments_may_be_a_text_with_comments(colleague: Person) -> None:
    text = '{\n  // nothing yet\n  "requests": [],\n}'
    made = make(colleague, kind="sequence", arguments=text)
    assert made["arguments"] == {"requests": []}
    assert Schedule.objects.get().written == text
    broken = make(colleague, 400, name="other", kind="sequence", arguments='{"requests": [}')
    assert {name: broken["errors"][0][name] for name in ("pointer", "line")} == {"pointer": "/arguments", "line": 1}
    assert "/arguments line 1, column " in broken["detail"]
    wrong = make(colleague, 400, name="other", kind="sequence", arguments={"requests": [{"method": "GET"}]})
    assert [(error["pointer"], error["path"]) for error in wrong["errors"]] == [("/arguments", "requests[0].url")]
    assert "/arguments requests[0].url: This is required" in wrong["detail"]
    assert places(make(colleague, 400, name="text", when="0 6 * * *")) == {"/when": "Must be an object."}


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_may_have_comments_and_the_arguments_are_kept_as_written(colleague: Person, content_type: str) -> None:
    written = '{ // nothing yet\n  "requests": [], }'
    body = '{"name": "often", "kind": "sequence", /* hourly */ "when": {"interval": {"every": 1, "period": "hours"}}, '
    made = colleague.post("/schedules", body + f'"arguments": {written},}}', content_type=content_type)
    assert (made.status_code, made.json()["arguments"]) == (201, {"requests": []})
    assert Schedule.objects.get().written == written
    changed = written.replace("yet", "still")
    place = f"/schedules/{made.json()['id']}"
    assert colleague.patch(place, f'{{"arguments": {changed}}}', content_type=content_type).status_code == 200
    assert Schedule.objects.get().written == changed
    lost = colleague.post(
        "/schedules", (body + f'"arguments": {written}}}').replace("\n", ""), content_type=content_type
    )
    assert (lost.status_code, "--data-binary" in lost.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("when", "shown"),
    [
        ({"interval": {"every": 5, "period": "minutes"}}, {"interval": {"every": 5, "period": "minutes"}}),
        ({"crontab": "*/5 * * * *"}, {"crontab": "*/5 * * * *", "timezone": "UTC"}),
        (
            {"crontab": "0 6 * * mon-fri", "timezone": "Europe/Warsaw"},
            {"crontab": "0 6 * * mon-fri", "timezone": "Europe/Warsaw"},
        ),
        ({"crontab": {"hour": 6, "minute": "0"}}, {"crontab": "0 6 * * *", "timezone": "UTC"}),
        ({"crontab": "@daily"}, {"crontab": "0 0 * * *", "timezone": "UTC"}),
        (
            {"solar": {"event": "sunset", "latitude": 52.2, "longitude": 21}},
            {"solar": {"event": "sunset", "latitude": 52.2, "longitude": 21.0}},
        ),
        ({"clocked": "2099-01-01T00:00:00+01:00"}, {"clocked": "2098-12-31T23:00:00Z"}),
    ],
)
def test_when_it_fires(owner: Person, when: Any, shown: Any) -> None:
    made = make(owner, when=when)
    assert made["when"] == shown
    assert made["one_off"] == ("clocked" in when)
    assert made["next_fires"]
    assert patch(owner, made, when=shown)["when"] == shown


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"when": {}}, "/when"),
        ({"when": {"crontab": "* * * * *", **HOURLY}}, "/when"),
        ({"when": {"weekly": 1}}, "/when/weekly"),
        ({"when": {"interval": {"every": 0}}}, "/when/interval/every"),
        ({"when": {"interval": {"every": 1, "period": "years"}}}, "/when/interval/period"),
        ({"when": {"interval": 5}}, "/when/interval"),
        ({"when": {**HOURLY, "timezone": "UTC"}}, "/when/timezone"),
        ({"when": {"crontab": "* * * *"}}, "/when/crontab"),
        ({"when": {"crontab": "61 * * * *"}}, "/when/crontab/minute"),
        ({"when": {"crontab": "0 0 31 2 *"}}, "/when"),
        ({"when": {"crontab": "* * * * *", "timezone": "Mars/Base"}}, "/when/timezone"),
        ({"when": {"solar": {"event": "sunset", "latitude": 91, "longitude": 0}}}, "/when/solar/latitude"),
        ({"when": {"clocked": "tomorrow"}}, "/when/clocked"),
        ({"when": {"clocked": "2020-01-01T00:00:00Z"}}, "/when"),
        ({"end": "2020-01-01T00:00:00Z"}, "/end"),
        ({"start": "yesterday"}, "/start"),
        ({"name": ""}, "/name"),
        ({"name": None}, "/name"),
        ({"kind": "webhook"}, "/kind"),
        ({"overlap": "never"}, "/overlap"),
        ({"missed": "some"}, "/missed"),
        ({"jitter": -1}, "/jitter"),
        ({"enabled": "yes"}, "/enabled"),
        ({"colour": "red"}, "/colour"),
        ({"arguments": {"name": "no such walker"}}, "/arguments"),
        ({"arguments": []}, "/arguments"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(owner: Person, fields: Any, place: str) -> None:
    assert place in {at[: len(place)] for at in places(make(owner, 400, **fields))}
    assert not PeriodicTask.objects.exists()


def test_a_webhook_that_may_not_be_called_is_refused(owner: Person) -> None:
    answer = owner.post(
        "/schedules", {"name": "a", "kind": "walker", "arguments": ECHO, "when": HOURLY, "webhook": "ftp://a"}
    )
    assert answer.status_code == 400
    assert not PeriodicTask.objects.exists()


def test_names_are_an_owners_own(owner: Person, stranger: Person, colleague: Person) -> None:
    first, second = make(owner), make(stranger)
    assert (first["name"], second["name"]) == ("often", "often")
    make(owner, 409)
    assert fire() == 2
    assert set(Run.objects.values_list("schedule", "owner")) == {("often", p.user.pk) for p in (owner, stranger)}
    other = make(owner, name="other")
    patch(owner, other, 409, name="often")
    assert [row["id"] for row in colleague.get("/schedules?name=often").json()["results"]] == [
        second["id"],
        first["id"],
    ]
    assert len(stranger.get("/runs?schedule=often").json()["results"]) == 1


def test_a_rename_keeps_the_history_and_a_new_schedule_has_none(owner: Person) -> None:
    first = make(owner)
    fire()
    assert patch(owner, first, name="seldom")["name"] == "seldom"
    assert len(fires(owner, first)) == 1
    assert owner.delete(f"/schedules/{first['id']}").status_code == 204
    assert owner.get(f"/schedules/{first['id']}").status_code == 404
    assert Run.objects.count() == 1
    assert fires(owner, make(owner, name="seldom")) == []


def test_a_change_leaves_the_rest_as_it_is(owner: Person) -> None:
    made = make(owner, jitter=9, overlap="wait", webhook="http://127.0.0.1:9/hook")
    changed = patch(owner, made, when={"crontab": "0 0 1 1 *"}, missed="all")
    names = ("name", "arguments", "jitter", "overlap", "webhook", "enabled", "owner")
    assert {name: changed[name] for name in names} == {name: made[name] for name in names}
    assert changed["next_fires"][0].endswith("-01-01T00:00:00Z")
    assert places(patch(owner, made, 400, when={"crontab": "0 0 30 2 *"}))
    assert owner.get(f"/schedules/{made['id']}").json() == changed
    once = patch(owner, made, when={"clocked": "2099-01-01T00:00:00Z"})
    assert (once["one_off"], patch(owner, made, when=HOURLY)["one_off"]) == (True, False)
    assert patch(owner, made, start="2098-01-01T00:00:00Z")["next_fires"][0] == "2098-01-01T00:00:00Z"
    assert patch(owner, made, start=None)["start"] is None


def test_others_see_no_secrets(owner: Person, colleague: Person) -> None:
    made = make(
        owner,
        arguments={"name": "echo", "ctx": {"value": {"password": "opensesame"}}},
        webhook="http://127.0.0.1:9/hook?key=opensesame",
    )
    assert made["arguments"]["ctx"]["value"]["password"] == "opensesame"
    for path in ("/schedules", f"/schedules/{made['id']}"):
        assert "opensesame" not in json.dumps(colleague.get(path).json())
    assert "opensesame" not in str(PeriodicTask.objects.values_list("kwargs", flat=True).get())


def test_paused_it_does_not_fire(owner: Person) -> None:
    made = make(owner)
    paused = owner.post(f"/schedules/{made['id']}/pause").json()
    assert (paused["enabled"], paused["next_fires"]) == (False, [])
    assert fire_due() == 0
    assert owner.get("/schedules?enabled=false").json()["results"] == [paused]
    resumed = owner.post(f"/schedules/{made['id']}/resume").json()
    assert (resumed["enabled"], len(resumed["next_fires"])) == (True, 10)
    assert make(owner, name="later", enabled=False)["next_fires"] == []


def test_run_now(owner: Person) -> None:
    made = make(owner)
    answers = [owner.post(f"/schedules/{made['id']}/run", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    [run] = Run.objects.all()
    assert answers[1].json()["id"] == str(run.pk)
    assert answers[0].headers["Location"] == f"/runs/{run.pk}"
    assert (run.schedule, run.schedule_id, run.due_at) == ("often", made["id"], None)
    assert fires(owner, made) == []
    assert owner.get(f"/schedules/{made['id']}").json()["last_run"] == str(run.pk)


def test_sent_twice_with_a_key_it_is_one(owner: Person) -> None:
    body = {"name": "often", "kind": "walker", "arguments": ECHO, "when": HOURLY}
    answers = [owner.post("/schedules", body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert PeriodicTask.objects.count() == 1


def test_fires_say_what_became_of_each_due_time(owner: Person) -> None:
    made = make(owner)
    fire(2)
    fire(1)  # the run before it goes on
    newest, oldest = fires(owner, made)
    assert (oldest["outcome"], newest["outcome"]) == ("run", "skipped")
    assert 2 <= oldest["lag"] < 60
    assert oldest["run"] == owner.get(f"/schedules/{made['id']}").json()["last_run"]
    page = owner.get(f"/schedules/{made['id']}/fires?limit=1").json()
    assert page["results"] == [newest]
    assert page["next"]
    cancel(run=Run.objects.get(pk=oldest["run"]))
    patch(owner, made, missed="none")
    fire(3000)
    assert fires(owner, made)[0]["outcome"] == "missed"


def test_cancel_ends_the_run_before(owner: Person) -> None:
    made = make(owner, overlap="cancel")
    fire(2)
    fire(1)
    new, old = Run.objects.order_by("-id")
    assert (old.state, new.state) == ("REVOKED", "PENDING")
    assert [row["outcome"] for row in fires(owner, made)] == ["run", "run"]


def test_all_makes_up_for_each_due_time(owner: Person) -> None:
    every = {"interval": {"every": 1, "period": "minutes"}}
    make(owner, when=every, missed="all", overlap="beside")
    fire(5 * 60 + 1)
    while fire_due():
        pass
    due = [run.due_at for run in Run.objects.order_by("due_at") if run.due_at]
    assert len(due) == 6
    assert {later - earlier for earlier, later in pairwise(due)} == {timedelta(minutes=1)}


def test_all_and_wait_run_one_after_another(owner: Person) -> None:
    make(owner, when={"interval": {"every": 1, "period": "minutes"}}, missed="all", overlap="wait")
    fire(2 * 60 + 1)
    counts = [Run.objects.count()]
    for _ in range(2):
        assert fire_due() == 0
        cancel(run=Run.objects.latest("id"))
        assert fire_due() == 1
        counts.append(Run.objects.count())
    assert counts == [1, 2, 3]


def test_jitter_delays_a_run_by_chance_but_not_its_due_time(owner: Person) -> None:
    make(owner, jitter=3600, overlap="beside")
    for ago in range(1, 9):
        fire(ago)
    delays = [
        (run.not_before - run.due_at).total_seconds() for run in Run.objects.all() if run.not_before and run.due_at
    ]
    assert len(set(delays)) == 8
    assert all(0 <= delay <= 3600 for delay in delays)


def test_a_webhook_is_told_of_each_run(owner: Person) -> None:
    make(owner, webhook="http://127.0.0.1:9/hook")
    fire()
    assert Run.objects.get().webhook == "http://127.0.0.1:9/hook"


GAPS_AND_FOLDS = [  # in each zone a change of the clock: a crontab, a time before it, and the fires that follow
    ("Europe/Warsaw", "30 2", "2026-03-28T12", "2026-03-29T03:00:00+02:00 gap", "2026-03-30T02:30:00+02:00"),
    ("Europe/Warsaw", "30 2", "2026-10-24T12", "2026-10-25T02:30:00+02:00 fold", "2026-10-26T02:30:00+01:00"),
    ("Europe/London", "30 1", "2026-03-28T12", "2026-03-29T02:00:00+01:00 gap", "2026-03-30T01:30:00+01:00"),
    ("America/New_York", "15 2", "2026-03-07T12", "2026-03-08T03:00:00-04:00 gap", "2026-03-09T02:15:00-04:00"),
    ("America/New_York", "15 1", "2026-10-31T12", "2026-11-01T01:15:00-04:00 fold", "2026-11-02T01:15:00-05:00"),
    ("America/St_Johns", "30 2", "2026-03-07T12", "2026-03-08T03:00:00-02:30 gap", "2026-03-09T02:30:00-02:30"),
    ("Australia/Sydney", "30 2", "2026-10-03T02", "2026-10-04T03:00:00+11:00 gap", "2026-10-05T02:30:00+11:00"),
    ("Australia/Lord_Howe", "15 2", "2026-10-03T02", "2026-10-04T02:30:00+11:00 gap", "2026-10-05T02:15:00+11:00"),
    ("Africa/Cairo", "30 0", "2026-04-23T12", "2026-04-24T01:00:00+03:00 gap", "2026-04-25T00:30:00+03:00"),
    ("America/Santiago", "30 0", "2026-09-05T12", "2026-09-06T01:00:00-03:00 gap", "2026-09-07T00:30:00-03:00"),
    ("Pacific/Auckland", "30 2", "2026-04-04T00", "2026-04-05T02:30:00+13:00 fold", "2026-04-06T02:30:00+12:00"),
    ("Asia/Tokyo", "30 2", "2026-03-28T20", "2026-03-30T02:30:00+09:00", "2026-03-31T02:30:00+09:00"),
    ("Europe/Warsaw", "*/30 2", "2026-03-28T12", "2026-03-30T02:00:00+02:00", "2026-03-30T02:30:00+02:00"),
    ("Europe/Warsaw", "*/30 2", "2026-10-24T12", "2026-10-25T02:00:00+02:00 fold", "2026-10-25T02:30:00+02:00 fold"),
]


@pytest.mark.parametrize(("zone", "crontab", "start", "first", "second"), GAPS_AND_FOLDS)
def test_changes_of_the_clock(
    owner: Person, monkeypatch: pytest.MonkeyPatch, zone: str, crontab: str, start: str, first: str, second: str
) -> None:
    when = {"crontab": f"{crontab} * * *", "timezone": zone}
    clock = [parse_timestamp(f"{start}:00:00Z")]
    due_times = preview(when=when, start=None, end=None, one_off=False, count=2, now=clock[0])
    assert [f"{fire.local.isoformat()} {fire.mark or ''}".strip() for fire in due_times] == [first, second]
    for module in (fires_module, schedules):
        monkeypatch.setattr(module, "database_now", lambda: clock[0])
    make(owner, when=when, overlap="beside")
    for due_time in due_times:
        clock[0] = due_time.utc - timedelta(seconds=1)
        assert fire_due() == 0
        clock[0] = due_time.utc
        assert fire_due() == 1
    assert [run.due_at for run in Run.objects.order_by("due_at")] == [due_time.utc for due_time in due_times]


DAILY = {"crontab": "30 6 * * *"}
POLE = {"solar": {"event": "sunrise", "latitude": 89, "longitude": 0}}


@pytest.mark.parametrize(
    ("sent", "least", "most"),
    [
        ({"when": DAILY, "start": "0001-01-01T00:00:00Z"}, 10, 10),
        ({"when": {"interval": {"every": 1, "period": "days"}}, "start": "0001-01-01T00:00:00Z"}, 10, 10),
        ({"when": DAILY, "start": "9999-12-30T00:00:00Z"}, 2, 2),
        ({"when": {"crontab": "*/30 * * * *"}, "start": "9999-12-31T23:00:00Z"}, 2, 2),
        ({"when": DAILY, "start": "9999-12-31T23:59:59Z"}, 0, 0),
        ({"when": POLE, "start": "9999-12-31T23:59:59Z"}, 0, 0),
        ({"when": {"clocked": "9000-01-01T00:00:00Z"}}, 1, 1),
        ({"when": {"interval": {"every": 36_525, "period": "days"}}}, 2, 100),
        # A day in 28 years, twice; and the sun at the pole: each call looks at a bounded number of days
        ({"when": {"crontab": "0 */23 29 2 1"}}, 4, 8),
        ({"when": {"crontab": "0 0 29 2 1"}}, 2, 4),
        ({"when": POLE}, 10, 600),
    ],
)
def test_a_preview_ends_with_the_calendar_and_in_time(owner: Person, sent: Any, least: int, most: int) -> None:
    answer = owner.post("/schedules/preview", {"count": 10 if "start" in sent else 1000, **sent})
    assert answer.status_code == (200 if least else 400), answer.content
    assert least <= len(answer.json().get("fires", [])) <= most


def test_a_preview_over_http(owner: Person) -> None:
    when = {"crontab": "30 2 29 2 *", "timezone": "Europe/Warsaw"}
    answer = owner.post("/schedules/preview", {"when": when, "start": "2027-01-01T00:00:00Z", "count": 2})
    assert answer.json() == {
        "fires": [
            {"utc": "2028-02-29T01:30:00Z", "local": "2028-02-29T02:30:00+01:00", "mark": None},
            {"utc": "2032-02-29T01:30:00Z", "local": "2032-02-29T02:30:00+01:00", "mark": None},
        ]
    }
    ends = owner.post("/schedules/preview", {"when": when, "end": "2027-01-01T00:00:00Z"})
    never = owner.post("/schedules/preview", {"when": {"crontab": "0 0 31 2 *"}})
    assert [list(places(one.json())) for one in (ends, never)] == [["/end"], ["/when"]]
    once = owner.post("/schedules/preview", {"when": HOURLY, "one_off": True}).json()
    assert len(once["fires"]) == 1
    assert owner.post("/schedules/preview", {"when": HOURLY, "count": 1001}).status_code == 400


def test_what_the_docs_print_is_taken(owner: Person) -> None:
    blocks = re.findall(r"```json\n(.*?)```", Path("docs/schedules.md").read_text(), re.DOTALL)
    bodies = [json.loads(block) for block in blocks]
    assert len(bodies) == 5
    for body in bodies:
        answer = owner.post("/schedules" if "name" in body else "/schedules/preview", body)
        assert answer.status_code in {200, 201}, answer.content
    refused = make(owner, 400, name="other", when={"crontab": "61 * * * *"})
    assert refused["errors"] == [{"pointer": "/when/crontab/minute", "detail": "61 is no minute; there are 0 to 59."}]


def test_intervals_go_on_whatever_else_is_changed(owner: Person) -> None:
    """A call every half an hour would keep an hourly schedule from firing at all."""
    made = make(owner)
    assert made["when"] == HOURLY
    for changes in ({}, {"jitter": 5}, {"name": "other"}, {"overlap": "wait"}, {"end": "2100-01-01T00:00:00Z"}):
        changed = owner.patch(f"/schedules/{made['id']}", changes).json()
        assert changed["next_fires"] == made["next_fires"]
    paused = owner.post(f"/schedules/{made['id']}/pause").json()
    assert paused["next_fires"] == []
    assert owner.post(f"/schedules/{made['id']}/resume").json()["next_fires"] != made["next_fires"]


def test_what_staff_were_shown_masked_overwrites_nothing(owner: Person, colleague: Person) -> None:
    arguments = {"name": "echo", "ctx": {"value": {"password": "canary-1"}}}
    made = make(owner, arguments=arguments, webhook="http://127.0.0.1:9/x?token=canary-2")
    place = f"/schedules/{made['id']}"
    shown = colleague.get(place).json()
    assert "canary" not in str(shown)
    refusal = problem(colleague.patch(place, {"arguments": shown["arguments"]}), 400, "/arguments")
    assert [error["path"] for error in refusal["errors"]] == ["ctx.value.password"]
    problem(colleague.patch(place, {"arguments": json.dumps(shown["arguments"])}), 400, "/arguments")
    assert colleague.patch(place, {"webhook": shown["webhook"], "jitter": 7}).status_code == 200
    kept = owner.get(place).json()
    assert (kept["arguments"], kept["webhook"], kept["jitter"]) == (arguments, made["webhook"], 7)
    assert colleague.patch(place, {"webhook": ""}).status_code == 200
    assert owner.get(place).json()["webhook"] == ""


@pytest.mark.parametrize("address", ["ftp://h/", "http://10.0.0.1/", "nowhere"])
def test_a_webhook_that_is_not_called_is_named(owner: Person, address: str) -> None:
    made = make(owner)
    problem(owner.patch(f"/schedules/{made['id']}", {"webhook": address}), 400, "/webhook")
