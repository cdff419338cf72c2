"""The console's pages of notifications: rules, made, changed, tried and deleted, and what they have sent."""

from typing import Any

import lxml.html
import pytest
from django.test import Client

from taskhub.console import notification_pages
from taskhub.outbound.mail_server import MailServer
from taskhub.runs.models import NotificationMessage, NotificationRule, Run
from taskhub.runs.queue.ends import end_revoked
from tests.conftest import Person

pytestmark = pytest.mark.django_db
HOOK = "http://127.0.0.1:9/hook?key=abcdef"
ENTERED: dict[str, Any] = {
    "name": "nightly",
    "on": ["run.failed", "run.recovered"],
    "target": "webhook",
    "webhook": HOOK,
    "quiet": "30",
    "enabled": "on",
}


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["loopback"]
    settings.EMAIL_SERVER = MailServer("log")
    settings.OPEN_SIGNUP = False


@pytest.fixture
def rule(owner: Person) -> int:
    sent = {"name": "all", "on": ["run.failed"], "to": {"webhook": HOOK}, "filter": {"tag": "<b>"}, "quiet": 5}
    return int(owner.post("/notifications", sent).json()["id"])


def act(browser: Client, rule: int, action: str) -> Any:
    return browser.post(f"/console/notifications/{rule}/action", {"action": action}, follow=True)


def fault_at(page: Any, field: str) -> str:
    found = lxml.html.fromstring(page.text).xpath(f"//p[@id='id_{field}_error']")
    return found[0].text_content() if found else ""


def entered(page: Any) -> dict[str, Any]:
    """What the form on a page would send if nobody touched it."""
    form = lxml.html.fromstring(page.text).xpath("//main//form[@novalidate]")[0]
    values: dict[str, Any] = {}
    for name, value in form.form_values():
        values.setdefault(name, []).append(str(value or "").removeprefix("\n"))
    return values


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({}, {"on": ["run.failed", "run.recovered"], "to": {"webhook": HOOK}, "quiet": 30, "filter": {}}),
        ({"target": "email", "email": "owner@example.com\r\n"}, {"to": {"email": ["owner@example.com"]}}),
        (
            {"run_kind": "walker", "run_name": "echo", "tag": "a", "schedule": "daily"},
            {"filter": {"kind": "walker", "name": "echo", "tag": "a", "schedule": "daily"}},
        ),
        ({"on": ["run.slow"], "slow_after": "60"}, {"on": ["run.slow"], "slow_after": 60}),
        ({"quiet": "", "enabled": ""}, {"quiet": 0, "enabled": False, "late_after": 10, "all_owners": False}),
        # What is for staff alone is not read of others.
        ({"all_owners": "on", "late_after": "1"}, {"all_owners": False, "late_after": 10}),
    ],
)
def test_a_rule_is_made(browser: Client, owner: Person, sent: dict[str, Any], shown: dict[str, Any]) -> None:
    answer = browser.post("/console/notifications/new", {**ENTERED, **sent})
    assert answer.status_code == 302, answer.text
    (made,) = owner.get("/notifications").json()["results"]
    assert answer["Location"] == f"/console/notifications/{made['id']}"
    assert {name: made[name] for name in shown} == shown


def test_staff_are_told_of_the_hub(browser: Client, colleague: Person) -> None:
    assert "queue.late" not in browser.get("/console/notifications/new").text
    browser.force_login(colleague.user)
    assert "queue.late" in browser.get("/console/notifications/new").text
    sent = {**ENTERED, "on": ["queue.late", "worker.lost"], "late_after": "3", "all_owners": "on"}
    assert browser.post("/console/notifications/new", sent).status_code == 302
    (made,) = colleague.get("/notifications").json()["results"]
    assert (made["on"], made["late_after"], made["all_owners"]) == (["queue.late", "worker.lost"], 3, True)


@pytest.mark.parametrize(
    ("sent", "field", "fault", "status"),
    [
        ({"name": ""}, "name", "This field is required.", 400),
        ({"on": []}, "on", "This field is required.", 400),
        ({"on": ["queue.late"]}, "on", "is not one of the available choices", 400),
        ({"on": ["run.slow"]}, "slow_after", "how many seconds", 400),
        ({"webhook": ""}, "webhook", "This is required.", 400),
        ({"webhook": "ftp://example.com"}, "webhook", "http", 400),
        ({"target": "email", "email": "\r\n"}, "email", "This is required.", 400),
        ({"target": "email", "email": "owner@example.com\nnobody"}, "email", "number 2: ", 400),
        ({"target": "email", "email": "ada@example.org"}, "email", "number 1: You may send to", 403),
        ({"run_kind": "nothing"}, "run_kind", "Select a valid choice", 400),
        ({"tag": "x" * 51}, "tag", "at most 50", 400),
        ({"quiet": "999999"}, "quiet", "less than or equal to", 400),
    ],
)
def test_what_is_wrong_is_told_at_its_field(
    browser: Client, sent: dict[str, Any], field: str, fault: str, status: int
) -> None:
    page = browser.post("/console/notifications/new", {**ENTERED, **sent})
    assert (page.status_code, NotificationRule.objects.count()) == (status, 0)
    assert fault in fault_at(page, field)


def test_a_name_is_an_owners_once(browser: Client, rule: int) -> None:
    page = browser.post("/console/notifications/new", {**ENTERED, "name": "all"})
    assert (page.status_code, NotificationRule.objects.count()) == (409, 1)
    assert "already" in fault_at(page, "name")


@pytest.mark.parametrize("person", ["owner", "staff"])
def test_what_nobody_touches_stays(browser: Client, owner: Person, colleague: Person, rule: int, person: str) -> None:
    before = owner.get(f"/notifications/{rule}").json()
    if person == "staff":
        browser.force_login(colleague.user)
    page = browser.get(f"/console/notifications/{rule}/change")
    assert ("abcdef" in page.text) == (person == "owner")
    assert browser.post(f"/console/notifications/{rule}/change", entered(page)).status_code == 302
    assert owner.get(f"/notifications/{rule}").json() == before


def test_a_rule_is_changed(browser: Client, owner: Person, rule: int) -> None:
    form = entered(browser.get(f"/console/notifications/{rule}/change"))
    sent = {**form, "target": "email", "email": "owner@example.com", "tag": "", "on": ["process.pending"]}
    assert browser.post(f"/console/notifications/{rule}/change", sent).status_code == 302
    after = owner.get(f"/notifications/{rule}").json()
    assert (after["to"], after["filter"], after["on"]) == ({"email": ["owner@example.com"]}, {}, ["process.pending"])


def test_rules_are_listed_and_filtered(
    browser: Client, owner: Person, stranger: Person, rule: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.get("/console/notifications").text
    assert (f"/console/notifications/{rule}" in page, "&lt;b&gt;" in page) == (True, True)
    other = owner.post(
        "/notifications", {"name": "other", "on": ["run.slow"], "slow_after": 1, "to": {"webhook": HOOK}}
    )
    for query, names in {
        "on=run.slow": [False, True],
        "enabled=true": [True, True],
        "on=run.failed": [True, False],
    }.items():
        page = browser.get(f"/console/notifications?{query}").text
        assert [f"/console/notifications/{one}" in page for one in (rule, other.json()["id"])] == names
    assert "No rule is like that." in browser.get("/console/notifications?enabled=false").text
    assert 'role="alert"' in browser.get("/console/notifications?on=nothing").text
    monkeypatch.setattr(notification_pages, "RULES", 1)
    assert f"enabled=true&amp;after={other.json()['id']}" in browser.get("/console/notifications?enabled=true").text
    browser.force_login(stranger.user)
    assert "Make the first rule" in browser.get("/console/notifications").text


def test_a_rule_is_tried_silenced_and_deleted(browser: Client, owner: Person, rule: int) -> None:
    assert "It has told of nothing yet." in browser.get(f"/console/notifications/{rule}").text
    page = act(browser, rule, "test")
    assert "1 message is sent" in page.text
    message = NotificationMessage.objects.get()
    assert f"/console/webhooks/{message.pk}" in page.text
    assert "It is paused." in act(browser, rule, "pause").text
    assert owner.get(f"/notifications/{rule}").json()["enabled"] is False
    assert "It is paused." not in act(browser, rule, "resume").text
    assert act(browser, rule, "shout").status_code == 400
    assert 'id="ask-delete"' in page.text
    assert "is deleted." in browser.post(f"/console/notifications/{rule}/delete", follow=True).text
    assert (NotificationRule.objects.count(), Run.objects.count()) == (0, 1)


def test_a_message_is_sent_again_once_it_has_ended(browser: Client, owner: Person, rule: int) -> None:
    act(browser, rule, "test")
    message = NotificationMessage.objects.get()
    address = f"/console/notifications/{rule}/messages/{message.pk}/send"
    assert address not in browser.get(f"/console/notifications/{rule}").text
    assert "notice error" in browser.post(address, follow=True).text  # it goes on
    end_revoked(run=message.delivery, error={"type": "Cancelled", "message": "by hand"})
    assert address in browser.get(f"/console/notifications/{rule}").text
    assert "It is sent again." in browser.post(address, follow=True).text
    assert NotificationMessage.objects.filter(rule=rule).count() == 2
    other = owner.post("/notifications", {"name": "other", "on": ["run.failed"], "to": {"webhook": HOOK}}).json()["id"]
    assert browser.post(f"/console/notifications/{other}/messages/{message.pk}/send").status_code == 404


def test_messages_are_listed_in_pages(browser: Client, rule: int, monkeypatch: pytest.MonkeyPatch) -> None:
    act(browser, rule, "test")
    act(browser, rule, "test")
    newest, oldest = NotificationMessage.objects.order_by("-delivery_id")
    monkeypatch.setattr(notification_pages, "MESSAGES", 1)
    page = browser.get(f"/console/notifications/{rule}").text
    assert (f"webhooks/{newest.pk}" in page, f"webhooks/{oldest.pk}" in page) == (True, False)
    assert f"webhooks/{oldest.pk}" in browser.get(f"/console/notifications/{rule}?after={newest.pk}").text


def test_this_hours_emails_are_sent(browser: Client, owner: Person, settings: Any) -> None:
    settings.EMAILS_PER_HOUR = 0
    sent = {**ENTERED, "target": "email", "email": "owner@example.com"}
    assert browser.post("/console/notifications/new", sent).status_code == 302
    page = act(browser, NotificationRule.objects.get().pk, "test")
    assert "e-mails are sent." in page.text
    assert not Run.objects.exists()
