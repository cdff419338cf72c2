"""Schedules through the registry: of walkers for everybody, of sequences for staff."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import MULTIPART_CONTENT
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from taskhub.celery import app
from taskhub.runs.models import Run, Schedule
from taskhub.runs.run_kinds import target_of
from taskhub.runs.scheduler.fires import fire_due
from tests.conftest import Person
from walkers.services.aliases import register_alias
from walkers.services.graphs import create_graph
from walkers.walks.principal import active_context

pytestmark = pytest.mark.django_db
HOURLY = {"type": "interval", "conf": {"every": 1, "period": "hours"}}
WALKER, SEQUENCE = "/js/add_scheduled_walker", "/js/add_scheduled_sequence"


def add(person: Person, body: Any, schedule: Any = HOURLY, path: str = WALKER, name: str = "often") -> Any:
    return person.post(path, {"name": name, "schedule": schedule, "body": body})


def errors(answer: Any, status: int = 400) -> dict[str, str]:
    assert answer.status_code == status, answer.content
    return {error.get("pointer", error.get("path")): error["detail"] for error in answer.json()["errors"]}


def fire() -> Run:
    Schedule.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert fire_due() == 1
    return Run.objects.get()


def test_a_scheduled_walker_walks_for_its_owner(owner: Person) -> None:
    answer = add(owner, {"name": "run", "ctx": {}, "nd": "active:graph", "snt": "active:sentinel"})
    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["name"], shown["task"], shown["schedule"]) == (
        "often",
        "walkers.tasks.ScheduledWalker",
        {**HOURLY, "one_off": False},
    )
    assert (shown["enabled"], shown["fault"], shown["owner"]) == (True, "", owner.user.pk.urn)
    assert shown["next_fire"] > timezone.now().isoformat()
    run = fire()
    assert (run.kind, run.name, run.owner, run.schedule) == ("walker", "run", owner.user, "often")
    assert run.arguments == {
        "name": "run",
        "snt": "taskhub",
        "nd": str(active_context(user=owner.user).graph_id),
        "ctx": {},
    }


def test_wlk_is_another_word_for_name(owner: Person) -> None:
    assert add(owner, {"wlk": "echo", "ctx": {"value": 7}}).status_code == 200
    assert fire().arguments["ctx"] == {"value": 7}


def test_names_are_looked_up_each_time(owner: Person) -> None:
    first, second = (create_graph(owner=owner.user, name=name) for name in ("first", "second"))
    register_alias(owner=owner.user, name="shop", target=first.pk)
    add(owner, {"name": "run", "nd": "shop"})
    register_alias(owner=owner.user, name="shop", target=second.pk)
    assert fire().arguments["nd"] == str(second.pk)


@pytest.mark.parametrize("form", ["{}", "urn:uuid:{}"])
def test_staff_may_schedule_for_others(owner: Person, colleague: Person, form: str) -> None:
    assert add(colleague, {"name": "run", "mst": form.format(owner.user.pk)}).status_code == 200
    assert fire().owner == owner.user


def test_others_may_not(owner: Person, stranger: Person) -> None:
    assert list(errors(add(stranger, {"name": "run", "mst": str(owner.user.pk)}))) == ["mst"]
    assert add(owner, {"name": "run", "mst": str(owner.user.pk)}).status_code == 200


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "name"),
        ({"name": "nobody"}, "name"),
        ({"name": "echo", "strange": 1}, "strange"),
        ({"name": "pause", "ctx": {"seconds": "long"}}, "ctx.seconds"),
        ({"name": "pause", "ctx": {"colour": "red"}}, "ctx.colour"),
        ({"name": "echo", "nd": "nowhere"}, "nd"),
        ({"name": "echo", "snt": "nothing"}, "snt"),
        ({"name": "echo", "mst": "me"}, "mst"),
        ({"name": "echo", "mst": "d6851f2a-e4a1-4fca-b582-9db5e146af59"}, "mst"),
        ({"name": 7}, "name"),
    ],
)
def test_each_fault_of_a_walkers_arguments_has_its_path(colleague: Person, body: Any, place: str) -> None:
    assert list(errors(add(colleague, body))) == [place]
    assert not PeriodicTask.objects.exists()


@pytest.mark.parametrize(
    ("schedule", "place"),
    [
        ({}, "/schedule/type"),
        ({"conf": {"every": 1}}, "/schedule/type"),
        ({"type": "interval", "conf": {"every": 1}, "every": 2}, "/schedule/every"),
        ({"type": "interval", "every": 0}, "/schedule/every"),
        ({"type": "interval", "conf": []}, "/schedule/conf"),
        ({"type": "solar"}, "/schedule/conf/event"),
        ({"type": "clocked", "conf": None}, "/schedule/conf/clocked_time"),
        ({"type": "cron", "conf": {"minute": 61}}, "/schedule/conf/minute"),
        ({"type": "cron", "conf": {"minute": True}}, "/schedule/conf/minute"),
        ({"type": "cron", "conf": {"hour": "22-"}}, "/schedule/conf/hour"),
        ({"type": "cron", "conf": {"day_of_week": "8"}}, "/schedule/conf/day_of_week"),
        ({"type": "cron", "conf": {"day_of_week": "funday"}}, "/schedule/conf/day_of_week"),
        ({"type": "cron", "conf": {"month_of_year": "*/0"}}, "/schedule/conf/month_of_year"),
        ({"type": "cron", "conf": {"day_of_week": ",".join(["mon-fri"] * 20)}}, "/schedule/conf/day_of_week"),
        ({"type": "daily", "conf": {}}, "/schedule/type"),
        ({"type": "interval", "conf": {"every": 0, "period": "hours"}}, "/schedule/conf/every"),
        ({"type": "interval", "conf": {"every": 1, "period": "ages"}}, "/schedule/conf/period"),
        ({"type": "interval", "conf": {"every": 40_000_000, "period": "days"}}, "/schedule/conf"),
        ({"type": "interval", "conf": {"every": 36_526, "period": "days"}}, "/schedule/conf"),
        ({"type": "interval", "conf": {"every": 2**31 - 1, "period": "days"}}, "/schedule/conf"),
        ({"type": "interval", "conf": {"every": 2**31 - 1, "period": "hours"}}, "/schedule/conf"),
        ({"type": "interval", "conf": {"every": 2**31 - 1, "period": "minutes"}}, "/schedule/conf"),
        ({"type": "interval", "conf": {"every": 1, "period": "days", "at": 2}}, "/schedule/conf/at"),
        ({"type": "cron", "conf": {"minute": "61"}}, "/schedule/conf/minute"),
        ({"type": "cron", "conf": {"timezone": "Mars/Olympus"}}, "/schedule/conf/timezone"),
        ({"type": "cron", "conf": {"day_of_month": "30", "month_of_year": "2"}}, "/schedule/conf"),
        ({"type": "solar", "conf": {"event": "lunch", "latitude": 1, "longitude": 1}}, "/schedule/conf/event"),
        ({"type": "solar", "conf": {"event": "sunset", "latitude": 91, "longitude": 1}}, "/schedule/conf/latitude"),
        ({"type": "clocked", "conf": {"clocked_time": "noon"}}, "/schedule/conf/clocked_time"),
        ({"type": "clocked", "conf": {"clocked_time": None}}, "/schedule/conf/clocked_time"),
        ({"type": "clocked", "conf": {"clocked_time": "2020-01-01T00:00:00Z"}}, "/schedule/conf"),
    ],
)
def test_each_fault_of_the_time_has_its_place(owner: Person, schedule: Any, place: str) -> None:
    assert place in errors(add(owner, {"name": "run"}, schedule))
    assert not PeriodicTask.objects.exists()
    assert not IntervalSchedule.objects.exists()
    assert not CrontabSchedule.objects.exists()


@pytest.mark.parametrize(
    "schedule",
    [
        {"type": "cron", "conf": {"minute": "*/5", "day_of_week": "mon-fri", "timezone": "Europe/Warsaw"}},
        {"type": "solar", "conf": {"event": "sunrise", "latitude": 52.2297, "longitude": 21.0122}},
        {"type": "clocked", "conf": {"clocked_time": "2999-01-01T00:00:00Z"}},
        {"type": "interval", "conf": {"every": 90, "period": "seconds"}, "one_off": True},
    ],
)
def test_every_sort_of_time_comes_back_as_it_was_given(owner: Person, schedule: dict[str, Any]) -> None:
    shown = add(owner, {"name": "run"}, schedule).json()["schedule"]
    assert shown["type"] == schedule["type"]
    assert shown["conf"] | schedule["conf"] == shown["conf"]
    assert shown["one_off"] == (schedule.get("one_off", False) or schedule["type"] == "clocked")


@pytest.mark.parametrize(
    ("schedule", "type_", "conf"),
    [
        # the described system's own test gives these without `conf`
        ({"type": "interval", "every": 1, "period": "minutes"}, "interval", {"every": 1, "period": "minutes"}),
        ({"type": "interval", "every": 5}, "interval", {"every": 5, "period": "minutes"}),
        ({"type": "interval"}, "interval", {"every": 1, "period": "minutes"}),
        ({"type": "interval", "conf": None}, "interval", {"every": 1, "period": "minutes"}),
        ({"type": "interval", "conf": {"period": "days"}}, "interval", {"every": 1, "period": "days"}),
        ({"type": "cron"}, "cron", {"minute": "*", "hour": "*", "timezone": "UTC"}),
        ({"type": "crontab", "conf": {"hour": 4}}, "cron", {"minute": "*", "hour": "4"}),
        ({"type": "cron", "minute": 0, "hour": [8, "20-22"]}, "cron", {"minute": "0", "hour": "8,20-22"}),
        ({"type": "cron", "conf": {"day_of_week": 7, "month_of_year": "JAN"}}, "cron", {"day_of_week": "7"}),
        ({"type": "cron", "conf": {"day_of_week": "5-7", "hour": "22-2"}}, "cron", {"hour": "22-2"}),
        ({"type": "cron", "conf": {"day_of_week": "sat-mon"}}, "cron", {"day_of_week": "sat-mon"}),
    ],
)
def test_times_as_their_writers_spell_them(owner: Person, schedule: Any, type_: str, conf: dict[str, Any]) -> None:
    answer = add(owner, {"name": "run"}, schedule)
    assert answer.status_code == 200, answer.content
    shown = answer.json()
    assert (shown["schedule"]["type"], shown["fault"]) == (type_, "")
    assert shown["schedule"]["conf"] | conf == shown["schedule"]["conf"]
    assert shown["next_fire"]


WRITTEN = """{ // what it starts
    "requests": [
        {"method": "GET", "url": "http://127.0.0.1:1/",}, /* the first */
    ],
}"""


@pytest.mark.parametrize("path", [SEQUENCE, "/js_admin/add_scheduled_sequence"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_comments_are_kept_as_they_were_written(colleague: Person, path: str, kind: str) -> None:
    text = f'// often\n{{"name": "often", "schedule": {{"type": "cron"}}, // each minute\n "body": {WRITTEN}, }}'
    answer = colleague.post(path, text, content_type=kind)
    assert answer.status_code == 200, answer.content
    assert answer.json()["body"] == {"requests": [{"method": "GET", "url": "http://127.0.0.1:1/"}]}
    assert Schedule.objects.get().written == WRITTEN


@pytest.mark.parametrize("way", ["query", "form", "multipart", "file"])
def test_comments_are_kept_in_queries_and_forms_too(colleague: Person, way: str) -> None:
    fields: dict[str, Any] = {"name": "often", "schedule": '{"type": "cron", /* each minute */}', "body": WRITTEN}
    if way == "file":
        fields["body"] = SimpleUploadedFile("first.jsonc", WRITTEN.encode())
    answer = {
        "query": lambda: colleague.get(SEQUENCE, fields),
        "form": lambda: colleague.post(SEQUENCE, urlencode(fields), content_type="application/x-www-form-urlencoded"),
    }.get(way, lambda: colleague.post(SEQUENCE, fields, content_type=MULTIPART_CONTENT))()
    assert answer.status_code == 200, answer.content
    assert Schedule.objects.get().written == WRITTEN
    wrong = colleague.get(SEQUENCE, fields | {"name": "other", "body": "{ ... }"}).json()["errors"]
    assert [(error["pointer"], error["column"]) for error in wrong] == [("/body", 3)]


def test_a_walkers_arguments_may_have_comments_too(owner: Person) -> None:
    body = '{"name": "run", /* its walker */ "ctx": {"z": 1, "a": 2},}'
    text = f'{{"name": "often", "body": {body}, "schedule": {{"type": "interval"}}}}'
    assert owner.post(WALKER, text).status_code == 200
    assert Schedule.objects.get().written == body


def test_broken_json_has_its_line_and_lost_line_ends_are_named(colleague: Person) -> None:
    text = '{"name": "often",\n "body": ...}'
    (error,) = colleague.post(SEQUENCE, text).json()["errors"]
    assert (error["line"], error["column"]) == (2, 10)
    (error,) = colleague.post(SEQUENCE, '{"name": "often", // why  "body": {}}').json()["errors"]
    assert "--data-binary" in error["detail"]
    assert colleague.post(SEQUENCE, b'{"name": "\xff"}').status_code == 400


def test_under_either_path_sequences_are_not_for_everybody(owner: Person, anonymous: Person) -> None:
    for person, status in ((owner, 403), (anonymous, 401)):
        answer = add(person, {"requests": []}, path="/js_admin/add_scheduled_sequence")
        assert answer.status_code == status


def test_a_name_is_taken_once_by_an_owner(owner: Person, stranger: Person, colleague: Person) -> None:
    add(owner, {"name": "run"})
    assert errors(add(owner, {"name": "run"}), 409) == {}
    assert add(stranger, {"name": "run"}).json()["name"] == "often"
    assert errors(add(stranger, {"name": "run"}), 409) == {}
    names = ["often", "often (stranger@example.com)"]
    assert list(PeriodicTask.objects.order_by("pk").values_list("name", flat=True)) == names
    assert fire_all() == {("often", owner.user.pk), ("often", stranger.user.pk)}
    assert owner.post("/js/delete_scheduled_queue", {"name": "often"}).status_code == 200
    assert [row["owner"] for row in scheduled(colleague)] == [stranger.user.pk.urn]
    add(colleague, {"name": "run"})
    assert colleague.post("/js/delete_scheduled_queue", {"name": "often"}).status_code == 200  # his own first
    assert [row["owner"] for row in scheduled(colleague)] == [stranger.user.pk.urn]


def scheduled(person: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.get("/js/get_scheduled_queues?search=often").json()["results"]
    return found


def fire_all() -> set[tuple[str, Any]]:
    Schedule.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    fire_due()
    return set(Run.objects.values_list("schedule", "owner_id"))


def test_sent_twice_with_a_key_it_is_one_schedule(owner: Person) -> None:
    body = {"name": "often", "schedule": HOURLY, "body": {"name": "run"}}
    answers = [owner.post(WALKER, body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


def test_a_scheduled_sequence_is_checked_and_for_staff(owner: Person, colleague: Person) -> None:
    body = {"requests": [{"method": "GET", "url": "http://127.0.0.1:1/", "__def_loop__": {"by": "$.a", "filter": [7]}}]}
    assert "requests[0].__def_loop__.filter[0]" in errors(add(colleague, body, path=SEQUENCE))
    del body["requests"][0]["__def_loop__"]
    assert add(owner, body, path=SEQUENCE).status_code == 403
    assert add(colleague, body, path=SEQUENCE).json()["task"] == "sequences.tasks.ScheduledSequence"
    run = fire()
    assert (run.kind, run.name, run.owner, run.arguments) == ("sequence", "often", colleague.user, body)


def test_each_sees_and_removes_his_own(owner: Person, stranger: Person, colleague: Person) -> None:
    for number in range(3):
        add(owner, {"name": "run"}, name=f"mine {number}")
    add(stranger, {"name": "run"}, name="theirs")

    def names(person: Person, **query: Any) -> list[str]:
        return [row["name"] for row in person.get("/js/get_scheduled_queues", query).json()["results"]]

    assert names(owner) == ["mine 2", "mine 1", "mine 0"]
    assert names(stranger) == ["theirs"]
    assert len(names(colleague)) == 4
    page = owner.get("/js/get_scheduled_queues", {"limit": 2}).json()
    following = page["next"].partition("/js/")[2]
    assert [row["name"] for row in owner.get(f"/js/{following}").json()["results"]] == ["mine 0"]
    assert stranger.post("/js/delete_scheduled_queue", {"name": "mine 0"}).status_code == 404
    assert owner.post("/js/delete_scheduled_queue", {"name": "mine 0"}).status_code == 200
    id = str(owner.get("/js/get_scheduled_queues").json()["results"][0]["id"])
    assert owner.post("/js/delete_scheduled_queue", {"name": id}).status_code == 200
    assert names(owner) == ["mine 1"]
    assert owner.post("/js/delete_scheduled_queue", {"name": "mine 1", "scheduled_queue_id": 1}).status_code == 400
    assert owner.post("/js/delete_scheduled_queue").status_code == 400
    id = owner.get("/js/get_scheduled_queues").json()["results"][0]["id"]
    assert stranger.post("/js/delete_scheduled_queue", {"scheduled_queue_id": id}).status_code == 404
    assert owner.post("/js/delete_scheduled_queue", {"scheduled_queue_id": id}).status_code == 200
    assert names(owner) == []
    assert owner.post("/js/delete_scheduled_queue", {"name": "99999999999999"}).status_code == 404


def test_schedules_are_listed_by_offset_order_and_name(owner: Person) -> None:
    for number in range(5):
        add(owner, {"name": "run"}, name=f"{'even' if number % 2 == 0 else 'odd'} {number}")

    def page(query: Any) -> tuple[list[int], Any]:
        shown = owner.get("/js/get_scheduled_queues", query).json()
        return [int(row["name"][-1]) for row in shown["results"]], shown

    assert page({"asc": True})[0] == [0, 1, 2, 3, 4]
    assert page({"offset": 3})[0] == [1, 0]
    assert page({"limit": 0})[0] == [4, 3, 2, 1, 0]
    assert page({"limit": 0, "offset": 1, "asc": True, "search": "EVEN"})[0] == [2, 4]
    numbers, first = page({"limit": 2, "asc": True})
    assert (numbers, first["previous"]) == ([0, 1], None)
    second = owner.get(f"/js/{first['next'].partition('/js/')[2]}").json()
    assert [row["name"] for row in second["results"]] == ["even 2", "odd 3"]
    assert second["previous"].endswith("limit=2&offset=0")
    third = owner.get(f"/js/{second['next'].partition('/js/')[2]}").json()
    assert ([row["name"] for row in third["results"]], third["next"]) == (["even 4"], None)
    numbers, odd = page({"search": "odd", "limit": 1})
    assert numbers == [3]
    following = owner.get(f"/js/{odd['next'].partition('/js/')[2]}").json()
    assert [row["name"] for row in following["results"]] == ["odd 1"]
    cursor = odd["next"].partition("cursor=")[2].replace("%3C", "<")
    assert owner.get("/js/get_scheduled_queues", {"cursor": cursor, "offset": 1}).status_code == 400


def test_a_row_of_another_tool_is_staffs_to_see(owner: Person, colleague: Person) -> None:
    times = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name="odd", task="x.y", interval=times, kwargs="{")
    assert owner.get("/js/get_scheduled_queues").json()["results"] == []
    [row] = colleague.get("/js/get_scheduled_queues").json()["results"]
    assert (row["name"], row["owner"], row["body"], row["next_fire"]) == ("odd", None, "{", None)


@pytest.mark.parametrize("name", ["ScheduledWalker", "ScheduledSequence"])
def test_each_has_its_three_names(name: str) -> None:
    app.loader.import_default_modules()
    app_of = {"ScheduledWalker": "walkers", "ScheduledSequence": "sequences"}
    names = [f"{app_of[name]}.tasks", "jaseci.svc.task.common", "jaseci.extens.svc.tasks"]
    for task in (f"{module}.{name}" for module in names):
        target = target_of(task)
        assert target
        assert target.title == name
        with pytest.raises(Exception, match="started by a schedule"):
            app.tasks[task].run(**json.loads('{"requests": []}'))
