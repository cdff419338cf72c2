"""What a task's webhook is told of its processes."""

from collections.abc import Iterator

import pytest
from standardwebhooks.webhooks import Webhook

from tests.extraction_sites import Reply, Site, create, ended, html, run, serving
from tests.hub import Hub


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        site.pages["/"] = html('<h2><a href="/a">A</a></h2><h2><a href="/b">B</a></h2>')
        site.pages["/hook"] = Reply("thank you")
        yield site


def test_the_end_of_a_process_is_told_with_its_records(hub: Hub, site: Site) -> None:
    owner = hub.sign_up()
    payload = {
        "request": {"url": f"{site.url}/"},
        "fields": [{"name": "title", "selector": "h2 a", "attrs": ["href", "text"]}],
        "format": "JSON",
    }
    task = create(owner, {"payload": payload, "webhook": f"{site.url}/hook"})
    process = run(owner, task)
    shown = ended(owner, process)
    [delivery] = owner.get("/webhooks/deliveries", {"run": process["run"]}).json()["results"]
    assert owner.get(f"/js/walker_queue_wait?task_id={delivery['id']}&timeout=50").json()["state"] == "SUCCESS"
    key = owner.get("/webhooks/secret").json()["current"]["secret"]
    headers = {name.lower(): value for name, value in site.seen["/hook"].items()}
    told = Webhook(key).verify(site.bodies["/hook"], headers)
    assert told["type"] == "process.finished"
    data = told["data"]
    volatile = {"logFile", "resultsLink", "resultsInline"}
    same = {name: value for name, value in data.items() if name not in volatile}
    assert same == {name: value for name, value in shown.items() if name != "logFile"}
    assert [record["title_text"] for record in data["resultsInline"]] == ["A", "B"]
    assert hub.anonymous.session.get(data["resultsLink"], timeout=60).json() == data["resultsInline"]
    assert hub.anonymous.session.get(data["logFile"], timeout=60).status_code == 200
    again = owner.post(f"/webhooks/deliveries/{delivery['id']}/send").json()
    assert owner.get(f"/js/walker_queue_wait?task_id={again['id']}&timeout=50").json()["state"] == "SUCCESS"
    assert site.hits["/hook"] == 2
