"""Versions of externals, streams and crawlers: told by `ETag`, asked for by `If-Match`, and none lost among callers."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crawlers.models import Crawler
from tests import crawler_client
from tests.conftest import Person
from tests.hub import Hub
from tests.problems import problem

pytestmark = pytest.mark.django_db
ENDPOINT = "http://127.0.0.1:9/shop"
KINDS = ["externals", "streams", "crawlers"]


def make(caller: Any, kind: str) -> tuple[str, dict[str, Any]]:
    """The path of a new object, and what replaces it."""
    made = crawler_client.crawler(caller, crawler_client.external(caller, ENDPOINT))
    whole: dict[str, dict[str, Any]] = {
        "externals": {"meta": {"name": "new"}, "endpoint": ENDPOINT},
        "streams": {"meta": {"name": "new"}},
        "crawlers": {"meta": {"name": "new"}, "params": {"query": "boots"}},
    }
    return f"/{kind}/{made[kind.removesuffix('s')]['fid']}", whole[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_version_is_the_tag(owner: Person, kind: str) -> None:
    path, whole = make(owner, kind)
    assert owner.get(path)["ETag"] == '"1"'
    assert owner.patch(path, {"meta": {"a": 1}})["ETag"] == '"2"'
    replaced = owner.call("PUT", path, whole)
    assert (replaced.status_code, replaced["ETag"], replaced.json()["version"]) == (200, '"3"', 3)
    assert replaced.json()["payload"]["meta"] == {"name": "new"}
    assert owner.get(path).json() == replaced.json()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
def test_a_change_of_another_version_is_refused(owner: Person, kind: str, method: str) -> None:
    path, whole = make(owner, kind)
    owner.patch(path, {"meta": {"mine": 1}})
    body = None if method == "DELETE" else whole
    for wrong in ('"1"', '"3"', 'W/"2"', '"1", "3"', '""', '"two"', "1"):
        refused = owner.call(method, path, body, headers={"If-Match": wrong})
        assert problem(refused, 412)["version"] == 2
    assert owner.get(path).json()["payload"]["meta"]["mine"] == 1
    changed = owner.call(method, path, body, headers={"If-Match": '"1", "2"'})
    assert changed.status_code == (409 if (kind, method) == ("externals", "DELETE") else 200)  # a crawler uses it


@pytest.mark.parametrize("kind", KINDS)
def test_any_version_will_do(owner: Person, kind: str) -> None:
    path, _ = make(owner, kind)
    assert owner.patch(path, {"meta": {"a": 1}}, headers={"If-Match": "*"}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_change_is_lost_among_forty_at_once(hub: Hub, kind: str) -> None:
    caller = hub.sign_up()
    path, _ = make(caller, kind)
    with ThreadPoolExecutor(40) as threads:
        changes = [threads.submit(caller.patch, path, {"meta": {f"member{n}": n}}) for n in range(40)]
        assert {change.result().status_code for change in changes} == {200}
    shown = caller.get(path).json()
    assert {name for name in shown["payload"]["meta"] if name.startswith("member")} == {f"member{n}" for n in range(40)}
    assert shown["version"] == 41


@pytest.mark.slow
def test_one_of_many_with_the_same_version_wins(hub: Hub) -> None:
    caller = hub.sign_up()
    path, _ = make(caller, "externals")
    with ThreadPoolExecutor(8) as threads:
        options = {"headers": {"If-Match": '"1"'}}
        changes = [threads.submit(caller.patch, path, {"timeout": 60 + n}, **options) for n in range(8)]
        assert sorted(change.result().status_code for change in changes) == [200] + [412] * 7


@pytest.mark.slow
def test_rejected_lines_sent_by_six_at_once_are_counted_once(hub: Hub) -> None:
    caller = hub.sign_up()
    made = crawler_client.crawler(caller, crawler_client.external(caller, ENDPOINT))
    task = crawler_client.start(caller, made["crawler"])["fid"]
    lines = crawler_client.lines([{"sku": n} for n in range(3000)])
    sent = caller.call("POST", f"/actions/tasks/{task}/upload?on_invalid=skip", data=lines)
    assert sent.json()["rejected"] == 3000
    caller.patch(f"/externals/{made['crawler']['external']}", {"schema": {"properties": {"sku": {"type": "integer"}}}})
    with ThreadPoolExecutor(6) as threads:
        calls = [threads.submit(caller.post, f"/actions/tasks/{task}/rejected") for _ in range(6)]
        answers = [call.result() for call in calls]
    assert {answer.status_code for answer in answers} <= {200, 503}  # 503 is for who waited too long
    told = [answer.json() for answer in answers if answer.status_code == 200]
    assert sum(answer["inserted"] for answer in told) == 3000
    counts = crawler_client.task(caller, task)["counts"]
    assert (counts["received"], counts["inserted"], counts["updated"], counts["rejected"]) == (3000, 3000, 0, 0)


def test_put_on_a_crawler_replaces_all_but_its_secrets(owner: Person) -> None:
    external = crawler_client.external(owner, ENDPOINT, credential="basic")
    often = {"type": "interval", "conf": {"every": 1, "period": "hours"}}
    params = {"query": "shoe", "count": 5, "secret": "canary"}
    values = {"credential": {"username": "u", "password": "p"}, "schedule": often}
    crawler = crawler_client.crawler(owner, external, params, **values)["crawler"]
    path = f"/crawlers/{crawler['fid']}"
    sent = {"meta": {"name": "new"}, "params": {"query": "boots", "secret": "***"}}
    shown = owner.call("PUT", path, sent).json()["payload"]
    assert (shown["meta"], shown["schedule"]) == ({"name": "new"}, None)
    assert shown["params"] == {"query": "boots", "count": 3, "secret": "***"}  # 3 is the default
    secrets = Crawler.objects.get(fid=crawler["fid"]).secrets
    assert secrets == {
        "params": {"secret": "canary"},
        "credential": {"username": "u", "password": "p"},
        "origin": "http://127.0.0.1:9",
    }
    problem(owner.call("PUT", path, {"params": {}}), 400, "/params/query")
    problem(owner.call("PUT", path, {**sent, "colour": 1}), 400, "/colour")
    problem(owner.call("PUT", path, {**sent, "start": True}), 400, "/start")
    assert owner.get(path).json()["version"] == 2
