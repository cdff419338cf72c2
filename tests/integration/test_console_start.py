"""The console's pages from which walkers are started."""

import html
from typing import Annotated

import pytest
from django.test import Client
from pydantic import Field

from taskhub.runs.models import Run
from taskhub.runs.queue import broker
from tests.conftest import Person
from tests.integration.walkers_shop import installed
from walkers.authoring.places import Place
from walkers.authoring.walker import Walker

pytestmark = pytest.mark.django_db
PAUSE = "/console/start/pause?snt=taskhub"


class Price(Walker):
    """Looks a price up.

    Slowly.
    """

    sku: Annotated[str, Field(description="As it is <b>printed</b>.", examples=["a-1"])]
    options: dict[str, int] = {}

    def visit(self, here: Place) -> None:
        self.report(self.sku)


class Echo(Walker):
    """Another echo."""

    loud: bool = True

    def visit(self, here: Place) -> None:
        self.report(self.loud)


def test_walkers_are_listed_by_their_apps(browser: Client) -> None:
    with installed(Price, Echo):
        page = browser.get("/console/start").text
    places = [page.index(text) for text in ("Walkers of shop", ">price<", "Walkers of taskhub", ">pause<")]
    assert places == sorted(places)
    assert 'href="/console/start/price?snt=shop"' in page
    assert "Looks a price up." in page
    assert "Slowly." not in page


def test_a_walker_is_a_form_made_from_its_schema(browser: Client) -> None:
    with installed(Price, Echo):
        page = browser.get("/console/start/price").text
        assert "As it is &lt;b&gt;printed" in page
        assert 'placeholder="a-1"' in page
        assert 'name="ctx-loud"' in browser.get("/console/start/echo?snt=shop").text
        assert 'name="ctx-value"' in browser.get("/console/start/echo?snt=taskhub").text


def test_what_is_sent_is_a_run_in_the_background(browser: Client, owner: Person) -> None:
    sent = {"ctx-seconds": "0.5", "ctx-steps": "3", "run-tags": "nightly\r\nshop", "run-priority": "7"}
    sent |= {"run-concurrency": '{"key": "shop"}', "run-webhook": "https://hooks.example.com/"}
    answer = browser.post(PAUSE, sent | {"run-metadata": '{"customer": "4711"}'})
    run = Run.objects.get(owner=owner.user)
    assert (answer.status_code, answer["Location"]) == (302, f"/console/runs/{run.pk}")
    assert (run.kind, run.name, run.arguments["ctx"]) == ("walker", "pause", {"seconds": 0.5, "steps": 3})
    assert (run.tags, run.priority, run.metadata) == (["nightly", "shop"], 7, {"customer": "4711"})
    assert (run.concurrency.key if run.concurrency else "", run.webhook) == ("shop", "https://hooks.example.com/")
    assert "It is started" in browser.get(answer["Location"]).text


@pytest.mark.parametrize(
    ("sent", "field", "fault"),
    [
        ({"ctx-steps": "0"}, "ctx-steps", "Input should be greater than or equal to 1"),
        ({"ctx-seconds": "soon"}, "ctx-seconds", "Input should be a valid number"),
        ({"run-priority": "99"}, "run-priority", "Input should be less than or equal to 9"),
        ({"run-tags": "a,b"}, "run-tags", "/0: A tag has no comma"),
        ({"run-metadata": "{"}, "run-metadata", "metadata is not JSON."),
        ({"run-concurrency": '{"limit": 2}'}, "run-concurrency", "/key: This is required."),
        ({"run-webhook": "ftp://hooks.example.com/"}, "run-webhook", "Only http and https"),
        ({"run-run_at": "tomorrow"}, "run-run_at", "this is no RFC 3339 time"),
        ({"run-nd": "nowhere"}, "run-nd", "&#x27;nowhere&#x27; is neither an id nor an alias of yours."),
    ],
)
def test_faults_stand_at_their_fields(browser: Client, sent: dict[str, str], field: str, fault: str) -> None:
    page = browser.post(PAUSE, {"ctx-seconds": "1", "ctx-steps": "1", **sent})
    assert page.status_code in {400, 404}
    message = page.text.partition(f'id="id_{field}_error"')[2].partition("</p>")[0]
    assert fault in message
    (text,) = sent.values()
    assert text in html.unescape(page.text)  # nothing that was written is lost
    assert not Run.objects.exists()


def test_a_node_of_somebody_else_is_none(browser: Client, stranger: Person) -> None:
    graph = stranger.post("/js/graph_create", {"name": "shop"}).json()["jid"]
    page = browser.post(PAUSE, {"run-nd": graph})
    assert "or it is not yours" in page.text
    assert not Run.objects.exists()


@pytest.mark.parametrize("path", ["/console/start/nothing", "/console/start/pause?snt=nothing"])
def test_what_is_not_installed_is_not_found(browser: Client, path: str) -> None:
    assert [browser.get(path).status_code, browser.post(path, {}).status_code] == [404, 404]


@pytest.mark.django_db(transaction=True)
def test_without_a_worker_it_runs_at_once(browser: Client, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker.live_queues, "has_worker", lambda queue: False)
    answer = browser.post("/console/start/fail", {"ctx-message": "no tea"})
    run = Run.objects.get(owner=owner.user)
    assert answer["Location"] == f"/console/runs/{run.pk}"
    assert run.state == "FAILURE"
