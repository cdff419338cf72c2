"""Externals, streams and crawlers over HTTP: registered, listed, changed, deleted."""

from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django_celery_beat.models import PeriodicTask

from crawlers.models import Crawler, CrawlerTask, External, Stream
from taskhub.accounts.models import User
from taskhub.accounts.removal import remove_deleted
from taskhub.accounts.services import delete_accounts
from tests import crawler_client
from tests.conftest import Person

pytestmark = pytest.mark.django_db
ENDPOINT = "http://127.0.0.1:9/shop"


def places(answer: Any) -> list[str]:
    return [error["pointer"] for error in answer.json()["errors"]]


def made(owner: Person, **values: Any) -> dict[str, Any]:
    return crawler_client.crawler(owner, crawler_client.external(owner, ENDPOINT), **values)


def test_an_external_is_enveloped_and_versioned(owner: Person) -> None:
    answer = owner.post("/externals", {"meta": {"name": "shop", "image": "a.png"}, "endpoint": ENDPOINT})
    assert answer.status_code == 201
    body = answer.json()
    shown = body["payload"]
    assert (body["success"], body["version"]) == (True, 1)
    assert answer["Location"].endswith(f"/externals/{shown['fid']}")
    assert shown["meta"] == {"name": "shop", "image": "a.png"}
    assert (shown["credential"], shown["docIdField"], shown["timeout"]) == ("none", None, 3600)
    path = f"/externals/{shown['fid']}"
    changed = owner.patch(path, {"meta": {"image": None, "description": "x"}, "timeout": 5}).json()
    assert changed["version"] == 2
    assert changed["payload"]["meta"] == {"name": "shop", "description": "x"}
    replaced = owner.call("PUT", path, {"meta": {"name": "new"}, "endpoint": ENDPOINT}).json()
    assert (replaced["version"], replaced["payload"]["timeout"]) == (3, 3600)
    assert replaced["payload"]["meta"] == {"name": "new"}
    assert owner.get(path).json()["payload"] == replaced["payload"]
    gone = owner.delete(path)
    assert (gone.status_code, gone.json()["payload"]) == (200, None)
    assert owner.get(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/externals", {"meta": {"name": "shop"}, "endpoint": ENDPOINT}),
        ("/streams", {"meta": {"name": "shoes"}}),
        ("/actions/externals/{external}/crawler", {"meta": {"name": "shoes"}, "params": {"query": "shoe"}}),
    ],
)
def test_what_is_made_under_a_key_is_made_once(owner: Person, path: str, body: dict[str, Any]) -> None:
    place, key = path.format(external=crawler_client.external(owner, ENDPOINT)["fid"]), {"Idempotency-Key": "once"}
    first, again = (owner.post(place, body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again["Idempotency-Replayed"] == "true"
    assert (again["Location"], again["ETag"]) == (first["Location"], first["ETag"])
    other = owner.post(place, {**body, "meta": {"name": "other"}}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "idempotency-key-reused")


def test_a_refusal_under_a_key_has_its_messages_too(owner: Person) -> None:
    """As the calls of crawlers answer without one."""
    external = crawler_client.external(owner, ENDPOINT)["fid"]
    body = {"params": {}, "meta": {"name": "shoes"}}
    plain = owner.post(f"/actions/externals/{external}/crawler", body)
    kept, again = (
        owner.post(f"/actions/externals/{external}/crawler", body, headers={"Idempotency-Key": "refused"})
        for _ in range(2)
    )
    assert plain.json()["messages"] == ["/params/query: This is required."]
    assert (plain.status_code, plain.json()) == (kept.status_code, kept.json()) == (again.status_code, again.json())


def test_patch_replaces_lists(owner: Person) -> None:
    external = crawler_client.external(owner, ENDPOINT)
    parameters = [{"name": "only", "type": "bool"}]
    changed = owner.patch(f"/externals/{external['fid']}", {"parameters": parameters}).json()["payload"]
    assert changed["parameters"] == parameters


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"endpoint": "ftp://127.0.0.1/"}, "/endpoint"),
        ({"endpoint": "http://169.254.169.254/latest"}, "/endpoint"),
        ({"endpoint": "http://10.0.0.1/"}, "/endpoint"),
        ({"credential": "digest"}, "/credential"),
        ({"parameters": [{"name": "a", "type": "colour"}]}, "/parameters/0/type"),
        ({"schema": {"type": "nothing"}}, "/schema"),
        ({"schema": 5}, "/schema"),
        ({"headers": {"Host": "elsewhere"}}, "/headers/Host"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "/headers/X-A"),
        ({"headers": {"X-A": 5}}, "/headers/X-A"),
        ({"timeout": 0}, "/timeout"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_a_faulty_external_is_refused_with_places_and_messages(
    owner: Person, change: dict[str, Any], pointer: str
) -> None:
    answer = owner.post("/externals", {"meta": {}, "endpoint": ENDPOINT} | change)
    assert answer.status_code == 400
    assert set(places(answer)) == {pointer}
    message = answer.json()["messages"][0]
    assert message.startswith(f"{pointer}: ")
    assert not External.objects.exists()


def test_headers_are_encrypted_shown_as_stars_and_kept_when_the_stars_come_back(owner: Person) -> None:
    external = crawler_client.external(owner, ENDPOINT, headers={"Authorization": "canary-1", "X-Plain": "shown"})
    assert external["headers"] == {"Authorization": "***", "X-Plain": "shown"}
    with connection.cursor() as cursor:
        cursor.execute("SELECT headers FROM crawlers_external")
        assert "canary-1" not in cursor.fetchone()[0]
    path = f"/externals/{external['fid']}"
    owner.call("PUT", path, {"meta": {}, "endpoint": ENDPOINT, "headers": external["headers"]})
    assert External.objects.get().headers == {"Authorization": "canary-1", "X-Plain": "shown"}


def test_a_crawler_is_made_for_a_stream_that_has_none(owner: Person) -> None:
    external = crawler_client.external(owner, ENDPOINT)
    stream = owner.post("/streams", {"meta": {"name": "mine"}}).json()["payload"]
    links = [{"from": {"type": "streams", "fid": stream["fid"]}}]
    body = {"meta": {"name": "shoes", "links": links}, "params": {"query": "shoe", "secret": "canary-2"}}
    answer = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert answer.status_code == 201
    payload = answer.json()["payload"]
    assert payload["crawler"]["stream"] == stream["fid"]
    assert payload["crawler"]["params"] == {"query": "shoe", "count": 3, "secret": "***"}
    assert payload["stream"]["crawler"]["fid"] == payload["crawler"]["fid"]
    assert b"canary-2" not in answer.content
    again = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert again.status_code == 409
    assert again.json()["messages"] == ["The stream has a crawler already."]
    assert owner.delete(f"/externals/{external['fid']}").status_code == 409


def test_without_a_link_a_stream_of_its_name_is_made(owner: Person) -> None:
    payload = made(owner)
    assert payload["stream"]["name"] == "shoes"
    assert owner.get("/streams").json()["payload"]["results"][0]["crawler"]["fid"] == payload["crawler"]["fid"]


@pytest.mark.parametrize(
    ("links", "pointer"),
    [
        (5, "/meta/links"),
        ([1, 2], "/meta/links"),
        ([{"to": 5}], "/meta/links/0/from"),
        ([{"from": {"type": "users", "fid": str(UUID(int=1))}}], "/meta/links/0/from/type"),
        ([{"from": {"type": "streams", "fid": "x"}}], "/meta/links/0/from/fid"),
        ([{"from": {"type": "streams"}}], "/meta/links/0/from/fid"),
    ],
)
def test_links_that_lead_nowhere(owner: Person, links: Any, pointer: str) -> None:
    external = crawler_client.external(owner, ENDPOINT)
    body = {"meta": {"links": links}, "params": {"query": "a"}}
    answer = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert (answer.status_code, places(answer)) == (400, [pointer])


def test_another_persons_stream_is_none(owner: Person, stranger: Person) -> None:
    external = crawler_client.external(owner, ENDPOINT)
    foreign = stranger.post("/streams", {"name": "theirs"}).json()["payload"]
    body = {"meta": {"links": [{"from": {"type": "streams", "fid": foreign["fid"]}}]}, "params": {"query": "a"}}
    answer = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert places(answer) == ["/meta/links/0/from/fid"]


def test_all_faults_of_parameters_are_told_at_once(owner: Person) -> None:
    external = crawler_client.external(owner, ENDPOINT)
    body = {"params": {"count": -1, "strange": 1}}
    answer = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert answer.status_code == 400
    assert sorted(places(answer)) == ["/params/count", "/params/query", "/params/strange"]
    assert "/params/query: This is required." in answer.json()["messages"]


@pytest.mark.parametrize(
    ("kind", "credential", "pointers"),
    [
        ("none", {"username": "u"}, ["/credential"]),
        ("none", None, []),
        ("ignore", {"anything": 1}, []),
        ("basic", {"username": "u", "password": "canary-3"}, []),
        ("basic", {"username": "u"}, ["/credential/password"]),
        ("basic", None, ["/credential/username", "/credential/password"]),
        ("oauth", "canary-3", []),
        ("oauth", {"access_token": "canary-3"}, []),
        ("oauth", None, ["/credential"]),
        ("oauth", 5, ["/credential"]),
    ],
)
def test_credentials_are_checked_encrypted_and_shown_to_nobody(
    owner: Person, kind: str, credential: Any, pointers: list[str]
) -> None:
    external = crawler_client.external(owner, ENDPOINT, credential=kind)
    body = {"params": {"query": "a"}, "credential": credential}
    answer = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert answer.status_code == (400 if pointers else 201)
    if pointers:
        assert places(answer) == pointers
        return
    kept = None if kind in {"none", "ignore"} else credential
    assert Crawler.objects.get().secrets["credential"] == kept
    shown = owner.get(f"/crawlers/{answer.json()['payload']['crawler']['fid']}").content + answer.content
    with connection.cursor() as cursor:
        cursor.execute("SELECT crawlers_crawler::text FROM crawlers_crawler")
        assert "canary" not in cursor.fetchone()[0]
    assert b"canary" not in shown


def test_a_crawler_is_changed_by_merging(owner: Person) -> None:
    crawler = made(owner, params={"query": "shoe", "secret": "kept"})["crawler"]
    path = f"/crawlers/{crawler['fid']}"
    change = {"params": {"count": 7, "secret": "***"}, "meta": {"name": "boots"}}  # as it was shown
    changed = owner.patch(path, change).json()
    assert changed["version"] == 2
    assert changed["payload"]["params"] == {"query": "shoe", "count": 7, "secret": "***"}
    assert Crawler.objects.get().secrets["params"] == {"secret": "kept"}
    assert changed["payload"]["meta"] == {"name": "boots"}
    wrong = owner.patch(path, {"params": {"query": None}})
    assert (wrong.status_code, places(wrong)) == (400, ["/params/query"])
    assert owner.patch(path, {"external": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("schedule", "pointer"),
    [
        ({"type": "solar", "conf": {}}, "/schedule/type"),
        ({"conf": {}}, "/schedule/type"),
        ({"type": "interval", "conf": {"every": 0, "period": "hours"}}, "/schedule/conf/every"),
        ({"type": "crontab", "conf": {"minute": "61"}}, "/schedule/conf/minute"),
        ({"type": "crontab", "conf": {"day_of_month": "31", "month_of_year": "2"}}, "/schedule/conf"),
        ({"type": "clocked", "conf": {}}, "/schedule/conf/clocked_time"),
        ({"type": "clocked", "conf": {"clocked_time": "2020-01-01T00:00:00Z"}}, "/schedule/conf"),
    ],
)
def test_a_faulty_schedule_leaves_nothing_behind(owner: Person, schedule: Any, pointer: str) -> None:
    external = crawler_client.external(owner, ENDPOINT)
    body = {"params": {"query": "a"}, "schedule": schedule}
    answer = owner.post(f"/actions/externals/{external['fid']}/crawler", body)
    assert answer.status_code == 400
    assert places(answer) == [pointer]
    assert not Crawler.objects.exists()
    assert not Stream.objects.exists()
    assert not PeriodicTask.objects.exists()


def test_a_schedule_is_a_periodic_task_in_the_admin(owner: Person) -> None:
    every_hour = {"type": "interval", "conf": {"every": 1, "period": "hours"}, "one_off": False}
    crawler = made(owner, schedule=every_hour)["crawler"]
    assert crawler["schedule"] == every_hour
    task = PeriodicTask.objects.get()
    assert (task.task, task.enabled, task.schedule_row.owner) == ("crawlers.tasks.ScheduledCrawler", True, owner.user)
    assert task.schedule_row.due_at is not None
    daily = {"type": "crontab", "conf": {"minute": "0", "hour": "3"}}
    changed = owner.patch(f"/crawlers/{crawler['fid']}", {"schedule": daily}).json()["payload"]
    assert changed["schedule"]["type"] == "crontab"
    assert changed["schedule"]["conf"]["hour"] == "3"
    assert PeriodicTask.objects.count() == 1
    assert owner.patch(f"/crawlers/{crawler['fid']}", {"schedule": None}).json()["payload"]["schedule"] is None
    assert not PeriodicTask.objects.exists()


def test_lists_are_paged_and_filtered(owner: Person, stranger: Person, colleague: Person) -> None:
    external = crawler_client.external(owner, ENDPOINT)
    crawlers = [crawler_client.crawler(owner, external)["crawler"] for _ in range(3)]
    page = owner.get("/crawlers?limit=2").json()["payload"]
    assert [one["fid"] for one in page["results"]] == [crawlers[2]["fid"], crawlers[1]["fid"]]
    rest = owner.get(page["next"][page["next"].index("/crawlers") :]).json()["payload"]
    assert [one["fid"] for one in rest["results"]] == [crawlers[0]["fid"]]
    only = owner.get(f"/crawlers?stream={crawlers[0]['stream']}").json()["payload"]["results"]
    assert [one["fid"] for one in only] == [crawlers[0]["fid"]]
    assert owner.get("/crawlers?colour=red").status_code == 400
    for path in ("/externals", "/streams", "/crawlers", "/tasks"):
        assert stranger.get(path).json()["payload"]["results"] == []
    assert len(colleague.get("/streams").json()["payload"]["results"]) == 3


def test_deleting_a_crawler_keeps_the_stream_and_frees_it(owner: Person) -> None:
    payload = made(owner)
    task = crawler_client.start(owner, payload["crawler"])
    assert owner.delete(f"/crawlers/{payload['crawler']['fid']}").status_code == 200
    assert owner.get(f"/crawlers/{payload['crawler']['fid']}").status_code == 404
    stream = owner.get(f"/streams/{payload['stream']['fid']}").json()["payload"]
    assert stream["crawler"] is None
    assert stream["status"]["code"] == 499
    assert crawler_client.task(owner, task["fid"])["status"]["message"] == "The crawler was deleted."
    links = [{"from": {"type": "streams", "fid": stream["fid"]}}]
    body = {"meta": {"links": links}, "params": {"query": "a"}}
    assert owner.post(f"/actions/externals/{payload['external']['fid']}/crawler", body).status_code == 201


def test_the_database_itself_keeps_the_rules(owner: Person) -> None:
    crawler = Crawler.objects.get(fid=made(owner)["crawler"]["fid"])
    task = CrawlerTask.objects.get(fid=crawler_client.start(owner, {"fid": crawler.fid})["fid"])
    twin = {"owner": owner.user, "external": crawler.external, "stream": crawler.stream, "crawler": crawler}
    for refused in (
        lambda: Crawler.objects.create(owner=owner.user, external=crawler.external, stream=crawler.stream),
        lambda: CrawlerTask.objects.create(**twin, rank=9, timeout=1),
        lambda: CrawlerTask.objects.filter(pk=task.pk).update(code=200),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            refused()


@pytest.mark.django_db(transaction=True)
def test_a_deleted_account_takes_everything_along(owner: Person) -> None:
    payload = made(owner)
    task = crawler_client.start(owner, payload["crawler"])
    owner.post(f"/actions/tasks/{task['fid']}/upload", b'{"sku": "a"}', content_type="application/x-ndjson")
    delete_accounts(users=User.objects.filter(pk=owner.user.pk))
    for _ in range(10):
        remove_deleted()
    with connection.cursor() as cursor:
        for table in ("external", "stream", "crawler", "task", "document"):
            cursor.execute(f"SELECT count(*) FROM crawlers_{table}")
            assert cursor.fetchone()[0] == 0, table
