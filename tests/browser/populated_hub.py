"""What somebody has on a hub that is in use: something of each kind, for the pages that show it."""

from typing import Any

from tests import crawler_client, extraction_sites
from tests.browser.test_pages import submit, until
from tests.hub import Caller, Hub

NOBODY = "http://127.0.0.1:9/hook"  # refuses every delivery
SEQUENCE = "stock-report"  # the name of each author's
STAFF = ("viewer", "operator", "admin")


def people_of(hub: Hub) -> dict[str, Caller]:
    """A user, and staff of each role."""
    people = {"user": hub.sign_up("Olga Owner")}
    for role in STAFF:
        people[role] = hub.sign_up(role.capitalize())
        assert hub.admin.patch(f"/users/{people[role].id}", {"role": role}).status_code == 200
    return people


def made(answer: Any) -> dict[str, Any]:
    assert answer.status_code in {200, 201, 202}, answer.text
    return dict(answer.json())


def populate(owner: Caller, *, shop: str, crawler: str) -> dict[str, str]:
    """Gives its owner something of each kind: the parts of addresses, by the routes that they stand in (`path_of`).

    `shop` is the address of the bundled site, `crawler` the endpoint of the bundled crawler.
    """
    return {
        **_run(owner),
        **_tell(owner),
        **_crawl(owner, crawler),
        **_extract(owner, shop),
        "<uuid:user_id>": owner.id,
        "<str:walker>": "pause",
        "<str:prefix>": made(owner.post("/user/apikey", {"name": "laptop", "scopes": ["read"]}))["prefix"],
        "secrets/<str:name>": made(owner.call("PUT", "/secrets/SHOP_KEY", {"value": "abcdef"}))["name"],
    }


def _run(owner: Caller) -> dict[str, str]:
    failed = submit(owner, "fail", {"message": "Order 4711 has no currency."})
    owner.get("/js/walker_queue_wait", {"task_id": failed, "timeout": 60})
    goes_on = submit(owner, "pause", {"seconds": 600, "steps": 1200})
    until(owner, goes_on, b'"state":"PROGRESS"')
    daily = {"name": "morning prices", "kind": "walker", "when": {"crontab": "30 6 * * 1-5"}}
    schedule = made(owner.post("/schedules", daily | {"arguments": {"name": "echo", "ctx": {"value": "hello"}}}))
    return {"<uuid:run_id>": failed, "goes on": goes_on, "<int:schedule_id>": str(schedule["id"])}


def _tell(owner: Caller) -> dict[str, str]:
    rule = made(owner.post("/notifications", {"name": "failures", "on": ["run.failed"], "to": {"webhook": NOBODY}}))
    message = made(owner.post(f"/notifications/{rule['id']}/test"))["results"][0]
    return {
        "<int:rule_id>": str(rule["id"]),
        "messages/<uuid:run_id>": message["id"],
        "webhooks/<uuid:run_id>": made(owner.post("/webhooks/test", {"url": NOBODY}))["id"],
    }


def _crawl(owner: Caller, endpoint: str) -> dict[str, str]:
    external = crawler_client.external(owner, endpoint)
    crawler = crawler_client.crawler(owner, external)
    task = crawler_client.ended(owner, crawler_client.start(owner, crawler["crawler"]))
    assert task["status"]["code"] == 200
    return {
        "docs/<path:document_id>": "shoe-0",
        "externals/<uuid:fid>": external["fid"],
        "streams/<uuid:fid>": crawler["stream"]["fid"],
        "crawlers/<uuid:fid>": crawler["crawler"]["fid"],
        "tasks/<uuid:fid>": task["fid"],
    }


def _extract(owner: Caller, shop: str) -> dict[str, str]:
    """A process of two pages, of which one has failed."""
    address = {"urls": [f"{shop}/", f"{shop}/nothing-here"]}
    task = extraction_sites.create(owner, extraction_sites.payload("", name="books", request=address))
    process = extraction_sites.run(owner, task)
    until(owner, process["run"], b'"finished_at":"')
    return {"task/<ksuid:id>": task["id"], "process/<ksuid:id>": process["id"]}


def write_sequence(author: Caller, hub: Hub) -> dict[str, str]:
    """Stores a sequence as its author's, and runs it."""
    sequence = {"requests": [{"method": "GET", "url": f"{hub.url}/livez", "save_to": "answer"}]}
    made(author.call("PUT", f"/sequences/{SEQUENCE}", {"sequence": sequence}))
    run = made(author.post(f"/sequences/{SEQUENCE}/runs"))
    return {"stored/<str:name>": SEQUENCE, "of a sequence": run["id"]}
