"""Who saves second is told that somebody was first: over the API by `If-Match`, in forms by the version they have."""

from collections.abc import Callable
from typing import Any, NamedTuple

import lxml.html
import pytest
from django.test import Client

from tests import crawler_client
from tests.conftest import Person

pytestmark = pytest.mark.django_db
ECHO = {"name": "echo", "ctx": {"value": "tea"}}
PAYLOAD = {"name": "shoes", "request": {"url": "http://127.0.0.1:9/"}, "fields": [{"name": "a", "selector": "a"}]}


class Kept(NamedTuple):
    """Something that two people change: where it is read and changed, and the page of its form, if it has one."""

    shown: str
    changed: str
    form: str = ""
    method: str = "PATCH"
    field: str = "name"  # of the form


def schedule(owner: Person) -> Kept:
    sent = {"name": "tea", "kind": "walker", "arguments": ECHO, "when": {"crontab": "0 16 * * *"}}
    id = owner.post("/schedules", sent).json()["id"]
    return Kept(f"/schedules/{id}", f"/schedules/{id}", f"/console/schedules/{id}/change")


def rule(owner: Person) -> Kept:
    sent = {"name": "tea", "on": ["run.failed"], "to": {"webhook": "https://hooks.example.com/"}}
    id = owner.post("/notifications", sent).json()["id"]
    return Kept(f"/notifications/{id}", f"/notifications/{id}", f"/console/notifications/{id}/change")


def extraction_task(owner: Person) -> Kept:
    id = owner.post("/v1/task/create", PAYLOAD).json()["id"]
    return Kept(f"/v1/task/{id}/info", f"/v1/task/{id}/update", method="POST")


def external(owner: Person) -> Kept:
    fid = crawler_client.external(owner, "http://127.0.0.1:9/shop")["fid"]
    form = f"/console/crawlers/externals/{fid}/change"
    return Kept(f"/externals/{fid}", f"/externals/{fid}", form, field="external-name")


def crawler(owner: Person) -> Kept:
    fid = crawler_client.crawler(owner, crawler_client.external(owner, "http://127.0.0.1:9/shop"))["crawler"]["fid"]
    return Kept(f"/crawlers/{fid}", f"/crawlers/{fid}", f"/console/crawlers/{fid}/change", field="crawler-name")


KINDS = (schedule, rule, extraction_task, external, crawler)


def rename(person: Person, kept: Kept, name: str, version: str = "") -> Any:
    changes = {"meta": {"name": name}} if kept.field != "name" else {"name": name}
    return person.call(kept.method, kept.changed, changes, headers={"If-Match": version} if version else {})


def name_of(person: Person, kept: Kept) -> str:
    shown = person.get(kept.shown).json()
    return str(shown["name"] if "name" in shown else shown["payload"]["meta"]["name"])


@pytest.mark.parametrize("make", KINDS)
def test_a_change_that_is_meant_for_another_version_is_refused(
    owner: Person, colleague: Person, make: Callable[[Person], Kept]
) -> None:
    kept = make(owner)
    seen = owner.get(kept.shown)["ETag"]
    assert owner.get(kept.shown)["ETag"] == seen
    first = rename(colleague, kept, "theirs", seen)
    assert (first.status_code, first["ETag"]) == (200, owner.get(kept.shown)["ETag"])
    refused = rename(owner, kept, "own", seen)
    assert (refused.status_code, refused.json()["type"]) == (412, "precondition-failed")
    if kept.method == "PATCH":
        assert owner.delete(kept.changed, headers={"If-Match": seen}).status_code == 412
    assert name_of(owner, kept) == "theirs"
    assert rename(owner, kept, "own", first["ETag"]).status_code == 200
    assert rename(owner, kept, "again").status_code == 200


def opened(page: Any) -> dict[str, str]:
    """What a browser would send of the form in a page."""
    (form,) = lxml.html.fromstring(page.text).xpath("//main//form[@method='post'][not(ancestor::*[@popover])]")
    return {name: (text or "").removeprefix("\n") for name, text in form.form_values()}


@pytest.mark.parametrize("make", [kind for kind in KINDS if kind is not extraction_task])
def test_who_saves_a_form_second_is_told_and_may_save_it_over(
    browser: Client, owner: Person, colleague: Person, make: Callable[[Person], Kept]
) -> None:
    kept = make(owner)
    form = opened(browser.get(kept.form))
    assert rename(colleague, kept, "theirs").status_code == 200
    told = browser.post(kept.form, form | {kept.field: "own"})
    assert told.status_code == 409
    assert "Somebody has changed it since you opened it" in told.text
    assert name_of(owner, kept) == "theirs"
    again = opened(told)
    assert again[kept.field] == "own"
    assert browser.post(kept.form, again).status_code == 302
    assert name_of(owner, kept) == "own"
    assert browser.post(kept.form, opened(browser.get(kept.form))).status_code == 302
