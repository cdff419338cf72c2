"""The console's pages of webhooks: deliveries, their attempts, sent again and tested; and the signing secret."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import lxml.html
import pytest
from django.test import Client

from taskhub.console import webhook_pages
from taskhub.runs import queue as runs
from taskhub.runs.models import Run
from taskhub.runs.queue.webhook_events import WEBHOOK, submit_delivery
from taskhub.runs.queue.worker_process import work
from taskhub.runs.webhooks.models import DeliveryAttempt
from taskhub.runs.webhooks.services import perform_delivery, send_test
from tests.conftest import Person
from tests.extraction_sites import Reply, Site, serving

URL = "http://127.0.0.1:9/hook"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["loopback"]


@pytest.fixture
def receiver() -> Iterator[Site]:
    with serving() as site:
        site.pages["/hook"] = Reply(
            "<b>thank you</b>, token=abcdef", headers={"Set-Cookie": "session=abcdef", "X-Version": "7"}
        )
        yield site


def delivered(person: Person, url: str) -> Run:
    """A delivery after its first attempt."""
    run = send_test(owner=person.user, url=url)
    work(WEBHOOK, perform_delivery, node="webhooks@test")
    return Run.objects.get(pk=run.pk)


def kept_headers() -> dict[str, dict[str, str]]:
    """Those of the only attempt."""
    return dict(DeliveryAttempt.objects.get().headers or {})


def rows_of(page: Any) -> list[list[str]]:
    rows = lxml.html.fromstring(page.text).xpath("//tbody/tr")
    return [[" ".join(cell.text_content().split()) for cell in row] for row in rows]


def test_deliveries_are_listed_with_their_last_answer(browser: Client, owner: Person, receiver: Site) -> None:
    assert "Send a test" in browser.get("/console/webhooks").text
    assert "Nothing has been delivered yet." in browser.get("/console/webhooks").text
    good = delivered(owner, f"{receiver.url}/hook")
    bad = delivered(owner, f"{receiver.url}/nothing")
    (second, first) = rows_of(browser.get("/console/webhooks"))
    assert first[:3] == ["success", f"webhook.test {str(good.pk)[-8:]}", f"{receiver.url}/hook"]
    assert first[4:6] == ["1 of 8", "200"]
    assert second[0] == "retry"
    assert second[5] == "404: The receiver answered 404."
    assert " again " in second[6]
    assert f"/console/webhooks/{bad.pk}" in browser.get("/console/webhooks").text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 2),
        ("state=SUCCESS", 1),
        ("state=SUCCESS&state=RETRY", 2),
        ("state=FAILURE", 0),
        ("event=webhook.test", 2),
        ("event=run.finished", 0),
        ("run=0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70", 0),
        ("since=2000-01-01", 2),
        ("until=2000-01-01", 0),
    ],
)
def test_deliveries_are_filtered_as_by_the_call(
    browser: Client, owner: Person, receiver: Site, query: str, found: int
) -> None:
    delivered(owner, f"{receiver.url}/hook")
    delivered(owner, f"{receiver.url}/nothing")
    page = browser.get(f"/console/webhooks?{query}")
    assert len(rows_of(page)) == found
    assert ("No delivery is like that." in page.text) == (not found)


@pytest.mark.parametrize("query", ["state=nothing", "run=nothing", "since=soon", "kind=walker"])
def test_what_is_no_filter_is_told(browser: Client, query: str) -> None:
    page = browser.get(f"/console/webhooks?{query}")
    assert page.status_code == 200
    assert (
        query.partition("=")[0] in lxml.html.fromstring(page.text).xpath("//main//p[@role='alert']")[0].text_content()
    )


def test_lists_go_on_with_their_filter(browser: Client, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    older = send_test(owner=owner.user, url="http://127.0.0.1:9/1")
    newer = send_test(owner=owner.user, url="http://127.0.0.1:9/2")
    monkeypatch.setattr(webhook_pages, "PAGE_ROWS", 1)
    page = browser.get("/console/webhooks?state=PENDING")
    (address,) = lxml.html.fromstring(page.text).xpath("//a[@rel='next']/@href")
    assert address == f"?state=PENDING&after={newer.pk}"
    assert [row[1] for row in rows_of(browser.get(f"/console/webhooks{address}"))] == [
        f"webhook.test {str(older.pk)[-8:]}"
    ]


def test_an_attempt_tells_what_was_sent_and_what_came_back(
    browser: Client, owner: Person, stranger: Person, receiver: Site
) -> None:
    run = delivered(owner, f"{receiver.url}/hook")
    page = browser.get(f"/console/webhooks/{run.pk}").text
    for text in (
        "&lt;b&gt;thank you",
        "This is a test.",
        f"{receiver.url}/hook",
        run.arguments["message"],
        "X-Version",
    ):
        assert text in page
    headers = kept_headers()
    signature = receiver.seen["/hook"]["webhook-signature"]
    assert headers["sent"]["webhook-signature"] == "***"
    assert headers["received"] | {"X-Version": "7", "Set-Cookie": "***"} == headers["received"]
    assert [secret for secret in (signature, "abcdef") if secret in page] == []
    (shown,) = owner.get(f"/webhooks/deliveries/{run.pk}").json()["attempts"]
    assert shown["headers"] == headers
    assert json.loads(receiver.bodies["/hook"]) == owner.get(f"/webhooks/deliveries/{run.pk}").json()["body"]
    browser.force_login(stranger.user)
    assert browser.get(f"/console/webhooks/{run.pk}").status_code == 404


def test_staff_see_the_message_without_secrets(owner: Person, colleague: Person) -> None:
    delivery = submit_delivery(owner=owner.user, url=URL, event="shop.sold", data={"token": "canary-1", "sold": 3})
    client = Client()
    client.force_login(colleague.user)
    page = client.get(f"/console/webhooks/{delivery.pk}").text
    assert "canary-1" not in page
    assert "canary-1" not in colleague.get(f"/webhooks/deliveries/{delivery.pk}").text
    assert "sold" in page
    assert owner.get(f"/webhooks/deliveries/{delivery.pk}").json()["body"]["data"]["token"] == "canary-1"


def test_a_long_message_is_bounded(browser: Client, owner: Person) -> None:
    data = {"rows": ["x" * 100] * 20_000}
    delivery = submit_delivery(owner=owner.user, url=URL, event="shop.sold", data=data)
    assert len(browser.get(f"/console/webhooks/{delivery.pk}").content) < 1_000_000


def test_a_header_may_have_any_name(browser: Client, owner: Person, receiver: Site) -> None:
    receiver.pages["/hook"] = Reply("", headers={"items": "seven"})
    run = delivered(owner, f"{receiver.url}/hook")
    assert kept_headers()["received"]["items"] == "seven"
    assert "seven" in browser.get(f"/console/webhooks/{run.pk}").text


def test_headers_are_kept_within_bounds(owner: Person, receiver: Site) -> None:
    receiver.pages["/hook"] = Reply("", headers={f"X-{number}": "x" * 1000 for number in range(60)})
    delivered(owner, f"{receiver.url}/hook")
    received = kept_headers()["received"]
    assert len(received) == 50
    assert max(map(len, received.values())) == 200


def test_where_nothing_answers_what_was_sent_is_told(browser: Client, owner: Person) -> None:
    run = delivered(owner, "http://127.0.0.1:9/hook")
    page = browser.get(f"/console/webhooks/{run.pk}").text
    assert "1. no answer" in page
    headers = kept_headers()
    assert (headers["sent"]["webhook-id"], headers["received"]) == (run.arguments["message"], {})


def test_a_delivery_is_sent_again_once_it_has_ended(browser: Client, owner: Person, receiver: Site) -> None:
    run = delivered(owner, f"{receiver.url}/hook")
    assert 'id="ask-send"' in browser.get(f"/console/webhooks/{run.pk}").text
    page = browser.post(f"/console/webhooks/{run.pk}/send", follow=True)
    again = Run.objects.get(retry_of=run)
    assert page.redirect_chain == [(f"/console/webhooks/{again.pk}", 302)]
    assert f"/console/webhooks/{run.pk}" in page.text  # which it sends again
    assert "It has not been tried yet." in page.text
    page = browser.post(f"/console/webhooks/{again.pk}/send", follow=True)  # which goes on
    assert "notice warning" in page.text
    assert Run.objects.count() == 2


def test_a_run_is_no_delivery(browser: Client, owner: Person) -> None:
    arguments = {"name": "echo", "snt": "taskhub", "nd": str(UUID(int=1)), "ctx": {}}
    run = runs.submit(kind="walker", owner=owner.user, name="echo", arguments=arguments)
    assert browser.get(f"/console/webhooks/{run.pk}").status_code == 404
    assert browser.post(f"/console/webhooks/{run.pk}/send").status_code == 404


def test_a_test_is_sent(browser: Client, owner: Person, receiver: Site) -> None:
    answer = browser.post("/console/webhooks/test", {"url": f"{receiver.url}/hook"})
    assert answer["Location"] == f"/console/webhooks/{Run.objects.get(kind=WEBHOOK).pk}"
    work(WEBHOOK, perform_delivery, node="webhooks@test")
    assert "/hook" in receiver.seen


@pytest.mark.parametrize("url", ["", "nothing", "ftp://127.0.0.1/", "http://192.168.0.1/hook"])
def test_an_address_that_may_not_be_called_is_told_at_its_field(browser: Client, url: str) -> None:
    page = browser.post("/console/webhooks/test", {"url": url})
    assert page.status_code in {400, 403}
    assert 'id="id_url_error"' in page.text
    assert not Run.objects.exists()


def test_the_signing_secret_is_shown_and_changed(browser: Client, owner: Person, stranger: Person) -> None:
    first = owner.get("/webhooks/secret").json()["current"]["secret"]
    assert first in browser.get("/console/webhooks/secret").text
    page = browser.post("/console/webhooks/secret", {"keep_hours": "2"}, follow=True).text
    second = owner.get("/webhooks/secret").json()["current"]["secret"]
    assert second != first
    assert (first in page, second in page) == (True, True)
    assert second not in browser.post("/console/webhooks/secret", {"keep_hours": "0"}, follow=True).text
    for wrong in ("", "-1", "100000", "soon"):
        assert browser.post("/console/webhooks/secret", {"keep_hours": wrong}).status_code == 400
    browser.force_login(stranger.user)
    assert first not in browser.get("/console/webhooks/secret").text
