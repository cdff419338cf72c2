"""Every call that accepts a run takes what is said of runs, in its body, or in the query where the body is the work."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from taskhub.runs.models import Run, Schedule
from taskhub.runs.queue import broker, sweep
from taskhub.runs.queue.worker_process import work
from tests import crawler_client
from tests.conftest import Person
from tests.extraction_sites import Site
from tests.integration.walkers_shop import installed
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker
from walkers.walks.walk_execution import perform_walk

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]
LATER = "2999-01-01T00:00:00Z"
HOOK = "http://127.0.0.1:9/hook"
SAID: dict[str, Any] = {
    "tags": ["nightly", "shop 1"],
    "metadata": {"customer": "4711", "n": "3"},
    "priority": 8,
    "expires_at": LATER,
    "concurrency": {"key": "shop", "limit": 2, "policy": "skip"},
    "webhook": HOOK,
}
ASKED = (
    f"tags=nightly,shop%201&metadata.customer=4711&metadata.n=3&priority=8&expires_at={LATER}"
    f"&concurrency.key=shop&concurrency.limit=2&concurrency.policy=skip&webhook={HOOK}"
)
Accept = Callable[[Person, Site, dict[str, Any], str], Any]
ECHO = {"name": "echo", "ctx": {"value": 1}, "is_async": True}


@pytest.fixture(autouse=True)
def worker_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: True)
    monkeypatch.setattr(broker, "send", lambda kind, run_id: True)


def walker(person: Person, site: Site, said: dict[str, Any], asked: str) -> Any:
    return person.post(f"/js/walker_run?{asked}", {**ECHO, **said})


def wapi(person: Person, site: Site, said: dict[str, Any], asked: str) -> Any:
    return person.post(f"/js/wapi/echo?is_async=yes&{asked}", {"ctx": {}, **said})


def sequence(person: Person, site: Site, said: dict[str, Any], asked: str) -> Any:
    return person.post(f"/sequences/runs?{asked}", {"requests": [], **said})


def stored_sequence(person: Person, site: Site, said: dict[str, Any], asked: str) -> Any:
    person.call("PUT", "/sequences/nothing", {"sequence": {"requests": []}})
    return person.post(f"/sequences/nothing/runs?{asked}", said)


def extraction(person: Person, site: Site, said: dict[str, Any], asked: str) -> Any:
    payload = {"request": {"url": f"{site.url}/"}, "fields": [{"name": "x", "selector": "p"}]}
    task = person.post("/v1/task/create", {"payload": payload}).json()["id"]
    return person.post(f"/v1/task/{task}/run?{asked}", said)


def payload(person: Person, site: Site, said: dict[str, Any], asked: str) -> Any:
    sent = {"request": {"url": f"{site.url}/"}, "fields": [{"name": "x", "selector": "p"}], **said}
    return person.post(f"/v1/parse?wait=0&{asked}", sent)


def single_page(person: Person, site: Site, said: dict[str, Any], asked: str) -> Any:
    return person.post(f"/v1/fetch?wait=0&{asked}", {"url": f"{site.url}/", **said})


def crawler(person: Person, site: Site, said: dict[str, Any], asked: str) -> Any:
    made = crawler_client.crawler(person, crawler_client.external(person, site.url))["crawler"]
    return person.post(f"/actions/crawlers/{made['fid']}/task?{asked}", said)


IN_BODY: list[Accept] = [walker, wapi, extraction, crawler]
IN_QUERY: list[Accept] = [walker, wapi, sequence, stored_sequence, payload, single_page]


def named(accept: Accept) -> str:
    return accept.__name__


def said_of(run: Run) -> dict[str, Any]:
    concurrency = run.concurrency
    assert concurrency
    return {
        "tags": run.tags,
        "metadata": run.metadata,
        "priority": run.priority,
        "expires_at": run.expires_at and run.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "concurrency": {"key": concurrency.key, "limit": concurrency.limit, "policy": concurrency.policy},
        "webhook": run.webhook,
    }


@pytest.mark.parametrize("accept", IN_BODY, ids=named)
def test_it_is_taken_in_the_body(colleague: Person, site: Site, accept: Accept) -> None:
    answer = accept(colleague, site, SAID, "")
    assert answer.status_code in {201, 202}, answer.content
    assert said_of(Run.objects.get()) == SAID


@pytest.mark.parametrize("accept", IN_QUERY, ids=named)
def test_it_is_taken_in_the_query(colleague: Person, site: Site, accept: Accept) -> None:
    answer = accept(colleague, site, {}, ASKED)
    assert answer.status_code in {201, 202}, answer.content
    assert said_of(Run.objects.get()) == SAID


@pytest.mark.parametrize("accept", IN_BODY, ids=named)
def test_what_is_wrong_is_refused_with_its_place(colleague: Person, site: Site, accept: Accept) -> None:
    answer = accept(colleague, site, {"tags": ["a", ""]}, "")
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["pointer"] == "/tags/1"
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ("priority=high", "/priority"),
        ("expires_at=never", "/expires_at"),
        ("concurrency.limit=1", "/concurrency/key"),
        ("concurrency.key=a&concurrency.limit=none", "/concurrency/limit"),
        ("concurrency.key=a&concurrency.colour=red", "/concurrency.colour"),
        (f"metadata.{'k' * 51}=1", "/metadata"),
        ("metadata.=1", "/metadata."),
    ],
)
@pytest.mark.parametrize("accept", [sequence, payload], ids=named)
def test_what_is_wrong_in_a_query_is_refused_with_its_place(
    colleague: Person, site: Site, accept: Accept, asked: str, pointer: str
) -> None:
    answer = accept(colleague, site, {}, asked)
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)
    assert not Run.objects.exists()


def test_what_is_done_at_once_is_no_run(owner: Person) -> None:
    answer = owner.post("/js/walker_run", {"name": "echo", "tags": ["a"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/tags")


def test_a_run_shows_it_with_secrets_masked_and_encrypted(owner: Person, colleague: Person) -> None:
    said = {**SAID, "metadata": {"customer": "4711", "token": "t0ken-canary"}}
    run_id = owner.post("/js/walker_run", {**ECHO, **said}).json()["task_id"]
    for viewer in (owner, colleague):
        shown = viewer.get(f"/runs/{run_id}").json()
        assert {name: shown[name] for name in ("tags", "priority", "concurrency")} == {
            name: SAID[name] for name in ("tags", "priority", "concurrency")
        }
        assert shown["metadata"] == {"customer": "4711", "token": "***"}
        assert viewer.get("/runs").json()["results"][0]["metadata"] == shown["metadata"]
    assert Run.objects.filter(metadata__icontains="canary").count() == 0


def test_a_schedule_says_it_of_its_runs(owner: Person) -> None:
    said = {name: SAID[name] for name in ("tags", "metadata", "priority", "concurrency")}
    daily = {"interval": {"every": 1, "period": "days"}}
    sent = {"name": "daily", "kind": "walker", "arguments": {"name": "run"}, "when": daily, **said}
    schedule = owner.post("/schedules", sent).json()
    assert {name: schedule[name] for name in said} == said
    changed = owner.patch(f"/schedules/{schedule['id']}", {"tags": [], "priority": 2}).json()
    assert (changed["tags"], changed["priority"], changed["metadata"]) == ([], 2, said["metadata"])
    owner.post(f"/schedules/{schedule['id']}/run")
    run = Run.objects.get()
    assert (run.tags, run.priority, run.metadata) == ([], 2, said["metadata"])
    assert owner.patch(f"/schedules/{schedule['id']}", {"priority": 10}).status_code == 400
    assert owner.patch(f"/schedules/{schedule['id']}", {"expires_at": LATER}).status_code == 400
    assert Schedule.objects.get().run_options["metadata"] == said["metadata"]


class Flaky(Walker):
    """Fails until its attempt is the third, and starts two others each time."""

    shop: str = "none"
    attempts = 3
    retry_delay = 0.01
    priority = 7
    concurrency = {"key": "shop-{ctx.shop}", "limit": 2}

    def visit(self, here: Place) -> None:
        here.spawn("leaf")
        self.spawn("echo", {"value": self.shop}, tags=["child"])
        if Run.objects.get(name="flaky").failures < 2:
            raise ValueError("Not yet.")


@pytest.fixture
def shop() -> Iterator[None]:
    with installed(Flaky):
        yield


@pytest.mark.usefixtures("shop")
def test_a_walker_states_attempts_priority_and_concurrency_and_starts_others(owner: Person) -> None:
    sent = {"name": "flaky", "ctx": {"shop": "tea"}, "is_async": True}
    run_id = owner.post("/js/walker_run", sent).json()["task_id"]
    run = Run.objects.get(pk=run_id)
    assert (run.priority, run.concurrency_key, run.concurrency_limit, run.attempts) == (7, "shop-tea", 2, 3)
    for failures in (1, 2):
        assert work("walker", perform_walk, node="walkers@here") == 1
        run.refresh_from_db()
        assert (run.state, run.failures, run.error and run.error["message"]) == ("RETRY", failures, "Not yet.")
        assert not Run.objects.filter(parent=run).exists()  # accepted with the walk's effect, and gone with it
        Run.objects.filter(pk=run_id).update(not_before=run.created_at)
        sweep()
    assert work("walker", perform_walk, node="walkers@here") == 2
    run.refresh_from_db()
    child = Run.objects.get(parent=run)
    assert (run.state, child.name, child.tags, child.state) == ("SUCCESS", "echo", ["child"], "SUCCESS")
    assert [line["attempt"] for line in owner.get(f"/runs/{run_id}/logs").json()["results"]] == [1, 2]


@pytest.mark.usefixtures("shop")
def test_what_a_call_says_comes_before_what_the_walker_states(owner: Person) -> None:
    sent = {"name": "flaky", "is_async": True, "priority": 2, "concurrency": {"key": "mine"}}
    owner.post("/js/walker_run", sent)
    run = Run.objects.get()
    assert (run.priority, run.concurrency_key, run.attempts) == (2, "mine", 3)


def test_a_walk_at_once_starts_others_too(owner: Person) -> None:
    class Start(Walker):
        async def visit(self, here: Place) -> None:
            self.report(str(self.spawn("echo", {"value": 1}, priority=9)))

    with installed(Start):
        [started] = owner.post("/js/walker_run", {"name": "start"}).json()["report"]
    run = Run.objects.get(pk=started)
    assert (run.priority, run.parent, run.state) == (9, None, "PENDING")


@pytest.mark.parametrize(
    "options",
    [{"attempts": 0}, {"attempts": 1.5}, {"retry_delay": -1}, {"priority": 10}, {"concurrency": {"limit": 1}},
     {"concurrency": {"key": "{ctx.nothing}"}}],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_stop_the_start(options: dict[str, Any]) -> None:
    walker = type("Wrong", (Walker,), {**options, "visit": lambda self, here: None})
    with pytest.raises(ImproperlyConfigured, match="wrong"), installed(walker):
        pass
