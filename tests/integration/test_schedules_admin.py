"""The operator's form of schedules: arguments as the documents print them, each fault at its place."""

import html
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from taskhub.runs.models import Run, Schedule
from taskhub.runs.scheduler.due_times import read_changes
from taskhub.runs.scheduler.fires import fire_due
from taskhub.runs.scheduler.schedules import save_schedule
from tests.conftest import Person, make_person

pytestmark = pytest.mark.django_db
LIST = "/admin/django_celery_beat/periodictask/"
ADD = f"{LIST}add/"
DATA = Path(__file__).resolve().parent.parent / "data"
TEXT = '{\n  // one step\n  "requests": [{"method": "GET", "url": "http://127.0.0.1:1/",}],\n}'


@pytest.fixture
def root() -> Person:
    return make_person("root@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def client(root: Person) -> Client:
    client = Client()
    client.force_login(root.user)
    return client


def hourly() -> IntervalSchedule:
    return IntervalSchedule.objects.get_or_create(every=1, period="hours")[0]


def form(**fields: Any) -> dict[str, Any]:
    filled = {"name": "often", "task": "sequences.tasks.ScheduledSequence", "enabled": "on", "arguments": TEXT}
    return filled | {"interval": hourly().pk, "missed": "latest", "overlap": "skip"} | fields


def page(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def stored(**options: Any) -> PeriodicTask:
    owner, written = options.pop("owner"), options.pop("written", TEXT)
    task = PeriodicTask(name="often", task="sequences.tasks.ScheduledSequence", interval=hourly(), **options)
    save_schedule(periodic=task, owner=owner, written=written)
    return task


def change(task: PeriodicTask) -> str:
    return f"{LIST}{task.pk}/change/"


def test_it_is_stored_as_it_was_written(client: Client, root: Person) -> None:
    answer = client.post(ADD, form(overlap="wait", missed="none"))
    assert answer.status_code == 302, page(answer)
    kept = Schedule.objects.select_related("periodic").get()
    assert (kept.written.replace("\r", ""), kept.owner, kept.overlap, kept.missed) == (TEXT, root.user, "wait", "none")
    assert kept.periodic.kwargs == '{"requests": [{"method": "GET", "url": "http://127.0.0.1:1/"}]}'
    assert kept.due_at is not None
    assert TEXT in page(client.get(change(kept.periodic)))


TIMETABLES = {
    "clocked": "2030-04-05",
    "crontab": "Europe/Oslo",
    "interval": "77",
    "solar": "sunset",
}


@pytest.mark.parametrize("kind", TIMETABLES)
def test_timetables_are_looked_up_while_one_types(client: Client, kind: str) -> None:
    """So the form does not show thousands of them."""
    ClockedSchedule.objects.create(clocked_time=datetime(2030, 4, 5, tzinfo=UTC))
    CrontabSchedule.objects.create(minute="7", timezone="Europe/Oslo")
    IntervalSchedule.objects.create(every=77, period="days")
    SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1)
    shown = page(client.get(ADD))
    assert f'data-field-name="{kind}"' in shown
    assert f'<select name="{kind}"' in shown
    assert "2030" not in shown
    asked = {"app_label": "django_celery_beat", "model_name": "periodictask", "field_name": kind}
    found = client.get("/admin/autocomplete/", asked | {"term": TIMETABLES[kind]}).json()
    assert len(found["results"]) == 1
    assert client.get("/admin/autocomplete/", asked | {"term": "nowhere"}).json()["results"] == []


@pytest.mark.parametrize("document", ["sequence_v1.jsonc", "sequence_v2.jsonc"])
def test_the_documents_elision_is_refused_at_its_line(client: Client, document: str) -> None:
    text = (DATA / document).read_text()
    before = text.partition("...")[0].splitlines()
    answer = client.post(ADD, form(arguments=text))
    place = f"Line {len(before)}, column {len(before[-1]) + 1}"
    assert f"{place}: '...' stands for something left out" in page(answer)
    assert not PeriodicTask.objects.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"arguments": '{"requests": [{"method": "GET", "url": "http://h/"}, {"method": "FETCH", "url": "http://h/"}]}'},
         "requests[1].method: This is required, and one of GET"),
        ({"arguments": '{"requests": [{"method": "GET", "url": "http://h", "__def_loop": {"by": 1, "filter": [1]}}]}'},
         "requests[0].__def_loop.filter[0]: "),
        ({"arguments": '{"requests": [{"method": "GET", "url": "http://h/", "<b>": 1}]}'}, 'requests[0]["<b>"]: '),
        ({"arguments": "{"}, "Line 1, column "),
        ({"arguments": ""}, "requests: This is required, and a list."),
        ({"task": "walkers.tasks.ScheduledWalker", "arguments": '{"name": "nobody"}'}, "name: The sentinel"),
        ({"interval": ""}, "Choose one of interval, crontab, solar and clocked."),
        ({"name": ""}, "This field is required."),
        ({"task": "os.system"}, "Select a valid choice."),
        ({"start_time_0": "soon", "start_time_1": ""}, "Enter a valid date."),
    ],
)  # fmt: skip
def test_each_fault_stands_at_its_place_and_nothing_is_stored(client: Client, fields: Any, words: str) -> None:
    answer = client.post(ADD, form(**fields))
    assert answer.status_code == 200
    assert words in page(answer)
    assert "<b>" not in answer.content.decode().partition('id="periodictask_form"')[2]
    assert not PeriodicTask.objects.exists()


def test_both_tasks_are_offered_with_their_examples(client: Client) -> None:
    shown = page(client.get(ADD))
    for name in ("walkers.tasks.ScheduledWalker", "sequences.tasks.ScheduledSequence"):
        assert f'<option value="{name}">' in shown
        assert f"Arguments of {name}" in shown
    assert "// ! == current index :: default 0" in shown
    assert '"mst": "d6851f2a-e4a1-4fca-b582-9db5e146af59"' in shown
    assert "routing_key" not in shown


@pytest.mark.parametrize("module", ["jaseci.svc.task.common", "jaseci.extens.svc.tasks"])
def test_the_documents_names_of_the_tasks_can_be_selected(client: Client, module: str) -> None:
    task = f"{module}.ScheduledSequence"
    assert f'<option value="{task}">' in page(client.get(ADD))
    answer = client.post(ADD, form(task=task))
    assert answer.status_code == 302, page(answer)
    assert PeriodicTask.objects.get().task == task


CRONTAB = "/admin/django_celery_beat/crontabschedule/"


def cron_form(**fields: Any) -> dict[str, Any]:
    names = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    return {**dict.fromkeys(names, "*"), "timezone": "UTC", **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"day_of_week": "7"},
        {"day_of_week": "5-7"},
        {"day_of_week": "Sat-MON", "hour": "22-2"},
        {"minute": "5/10", "month_of_year": "jan-mar,OCTOBER"},
        {"minute": "1, 2"},
    ],
)
def test_a_crontab_is_taken_as_cron_reads_it(client: Client, fields: Any) -> None:
    answer = client.post(f"{CRONTAB}add/", cron_form(**fields))
    assert answer.status_code == 302, page(answer)
    crontab = CrontabSchedule.objects.get()
    assert {name: getattr(crontab, name) for name in fields} == fields
    assert client.get(CRONTAB).status_code == client.get(f"{CRONTAB}{crontab.pk}/change/").status_code == 200


@pytest.mark.parametrize("fields", [{"minute": "60"}, {"hour": ""}, {"day_of_week": "8"}, {"hour": "1" * 100}])
def test_a_crontab_that_cannot_be_read_is_refused_at_its_field(client: Client, fields: Any) -> None:
    answer = client.post(f"{CRONTAB}add/", cron_form(**fields))
    assert answer.status_code == 200
    assert list(answer.context["adminform"].form.errors) == list(fields)


def test_an_older_name_stays(client: Client, root: Person) -> None:
    task = stored(owner=root.user)
    PeriodicTask.objects.filter(pk=task.pk).update(task="jaseci.svc.task.common.ScheduledSequence")
    assert '<option value="jaseci.svc.task.common.ScheduledSequence" selected>' in page(client.get(change(task)))
    answer = client.post(change(task), form(task="jaseci.svc.task.common.ScheduledSequence", name="renamed"))
    assert answer.status_code == 302, page(answer)
    assert PeriodicTask.objects.get().name == "renamed"


def test_who_edits_it_does_not_become_its_owner(client: Client, colleague: Person) -> None:
    task = stored(owner=colleague.user)
    assert client.post(change(task), form(description="mine?")).status_code == 302
    assert Schedule.objects.get().owner == colleague.user


def test_the_next_fires_in_the_zone_and_in_utc(client: Client, root: Person) -> None:
    task = stored(owner=root.user)
    crontab = CrontabSchedule.objects.create(minute="30", hour="2", month_of_year="7", timezone="Europe/Warsaw")
    PeriodicTask.objects.filter(pk=task.pk).update(interval=None, crontab=crontab)
    shown = client.get(change(task)).content.decode()
    assert shown.count("02:30:00 CEST") == shown.count("00:30:00 UTC") == 5


def test_run_now_leads_to_the_run(client: Client, root: Person) -> None:
    task = stored(owner=root.user)
    assert "Run now" in page(client.get(change(task)))
    asked = client.post(f"{LIST}{task.pk}/run/")
    assert "Are you sure?" in page(asked)
    assert f'href="{change(task)}"' in page(asked)  # which leads back
    assert not Run.objects.exists()
    answer = client.post(f"{LIST}{task.pk}/run/", {"post": "yes"})
    run = Run.objects.get()
    assert answer["Location"] == f"/admin/runs/run/{run.pk}/change/"
    assert (run.schedule, run.due_at) == ("often", None)
    assert f"/admin/sequences/sequencestep/?run__id__exact={run.pk}" in page(client.get(answer["Location"]))
    assert "by hand" in page(client.get(change(task)))


def test_the_last_runs_with_their_lag(client: Client, root: Person) -> None:
    task = stored(owner=root.user)
    due = timezone.now() - timedelta(seconds=2)
    Schedule.objects.update(due_at=due)
    fire_due()
    run = Run.objects.get()
    times = {"started_at": due + timedelta(seconds=1.5), "finished_at": due + timedelta(seconds=4)}
    Run.objects.update(state="SUCCESS", ready=False, **times)
    shown = page(client.get(change(task)))
    assert f'/admin/runs/run/{run.pk}/change/">{run.pk}</a></td><td>SUCCESS</td><td>2.500 s</td><td>1.500 s' in shown
    assert f'/admin/runs/run/{run.pk}/change/">SUCCESS</a>' in page(client.get(LIST))


def test_a_row_that_came_in_another_way_is_named_and_can_be_mended(client: Client, root: Person) -> None:
    task = PeriodicTask.objects.create(name="odd", task="no.such", interval=hourly(), kwargs="{")
    read_changes()
    for address in (LIST, change(task)):
        assert "The arguments are not JSON" in page(client.get(address))
    assert client.post(change(task), form()).status_code == 302
    kept = Schedule.objects.get()
    assert (kept.fault, kept.owner) == ("", root.user)


def test_actions(client: Client, root: Person) -> None:
    task = stored(owner=root.user)
    ownerless = PeriodicTask.objects.create(
        name="odd", task="sequences.tasks.ScheduledSequence", interval=hourly(), kwargs='{"requests": []}'
    )
    read_changes()

    def act(action: str, *tasks: PeriodicTask) -> str:
        return page(
            client.post(
                LIST, {"action": action, "_selected_action": [task.pk for task in tasks], "post": "yes"}, follow=True
            )
        )

    assert "1 schedules disabled." in act("disable", task)
    assert not PeriodicTask.objects.get(pk=task.pk).enabled
    assert "1 schedules enabled." in act("enable", task)
    shown = act("take_over", task, ownerless)
    assert "Often: The schedule has an owner." in shown
    assert "1 schedules taken over." in shown
    assert Schedule.objects.get(pk=ownerless.pk).owner == root.user
    assert "2 schedules started." in act("run_now", task, ownerless)
    assert Run.objects.count() == 2
    client.post(LIST, {"action": "delete_selected", "_selected_action": [task.pk, ownerless.pk], "post": "yes"})
    assert not PeriodicTask.objects.exists()


def test_who_may_only_look_starts_nothing(root: Person) -> None:
    task = stored(owner=root.user, written=TEXT.replace('"url"', '"body": {"password": "hunter2"}, "url"'))
    seer = make_person("seer@example.com", is_staff=True)
    seer.user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client(raise_request_exception=False)
    client.force_login(seer.user)
    shown = page(client.get(change(task)))
    assert "Run now" not in shown
    assert "// one step" in shown
    assert "it is left out, which is on record" in shown
    assert "hunter2" not in shown
    assert client.post(f"{LIST}{task.pk}/run/").status_code == 403
    assert client.post(change(task), form()).status_code == 403
    assert not Run.objects.exists()


def test_the_list_asks_no_more_for_more_rows(client: Client, root: Person) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(LIST).status_code == 200
        return len(asked)

    stored(owner=root.user)
    client.get(LIST)
    before = queries()
    for number in range(20):
        task = PeriodicTask(name=f"no {number}", task="sequences.tasks.ScheduledSequence", interval=hourly())
        save_schedule(periodic=task, owner=root.user, written='{"requests": []}')
    assert queries() == before
