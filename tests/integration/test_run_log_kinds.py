"""The log of a run has a line for each step of a sequence, each page of an extraction, and each attempt to deliver; and
the hub's own log says how a run failed."""

import logging
from typing import Any

import pytest
from django.db import transaction

from extraction.models import Process, ProcessNote
from extraction.services.slices import lock_run
from sequences.services.sequence_execution import perform_sequence
from sequences.services.sequence_runs import submit_sequence
from taskhub.runs import queue
from taskhub.runs.domain import State
from taskhub.runs.models import LogLine, Run
from taskhub.runs.queue.run_log import RunLog
from taskhub.runs.queue.webhook_events import WEBHOOK, submit_delivery
from taskhub.runs.queue.worker_process import work
from taskhub.runs.webhooks.services import perform_delivery
from tests.conftest import Person
from tests.extraction_runs import extracted, listing, run_of
from tests.extraction_sites import Reply, Site, html

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]
TITLE = {"name": "title", "selector": "h1", "attrs": ["text"]}
Lines = list[tuple[str, str, str]]


def log_of(viewer: Person, run: Run) -> Lines:
    lines = viewer.get(f"/runs/{run.pk}/logs", {"limit": 1000}).json()["results"]
    return [(line["level"], line["logger"], line["message"]) for line in lines]


def run_sequence(owner: Person, *steps: dict[str, Any]) -> Run:
    run = submit_sequence(arguments={"requests": list(steps)}, owner=owner.user)
    work("sequence", perform_sequence, node="sequences@here")
    run.refresh_from_db()
    return run


def test_a_sequence_logs_its_steps_without_secrets_and_why_it_failed(
    colleague: Person, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.pages["/one"] = site.pages["/one?token=t0p-secret-canary"] = Reply("fine")
    secret = {"method": "GET", "url": f"{site.url}/one?token=t0p-secret-canary", "name": "Ask"}
    plain = {"method": "GET", "url": f"{site.url}/one"}
    with caplog.at_level(logging.INFO):
        run = run_sequence(colleague, secret, plain, {"method": "GET", "url": f"{site.url}/missing"})
    lines = log_of(colleague, run)
    assert [line[:2] for line in lines] == [
        ("INFO", "sequence"),
        ("INFO", "sequence"),
        ("WARNING", "sequence"),
        ("ERROR", "sequence"),
    ]
    assert lines[0][2].startswith(f'requests[0] "Ask" GET {site.url}/one?token=')
    assert ": 200 in " in lines[0][2]
    assert lines[2][2].startswith(f"requests[2] GET {site.url}/missing: 404 ")
    assert lines[3][2].startswith("SequenceStopped: requests[2]")
    assert "canary" not in str(list(LogLine.objects.values_list("message", "fields")))
    said = [record for record in caplog.records if record.name == "taskhub.runs.queue.ends"]
    assert [record.levelname for record in said] == ["WARNING"]
    assert said[0].getMessage().startswith("The sequence sequence ended as FAILURE: SequenceStopped: requests[2]")


def test_an_extraction_logs_its_pages_and_notes(owner: Person, site: Site) -> None:
    site.pages.update({"/": listing("/a", "/b"), "/a": html("<h1>A</h1>"), "/b": Reply("gone", 404)})
    fields = [{"name": "item", "selector": "li a", "attrs": ["href"], "details": {"fields": [TITLE]}}]
    process = extracted(owner, site, fields=fields)
    lines = log_of(owner, run_of(process))
    pages = [line for line in lines if line[2].startswith(("done", "failed"))]
    assert {(level, message.split()[0], message.split()[2]) for level, _, message in pages} == {
        ("INFO", "done", f"{site.url}/"),
        ("INFO", "done", f"{site.url}/a"),
        ("WARNING", "failed", f"{site.url}/b"),
    }
    assert lines[0] == ("INFO", "extraction", f"started: {site.url}/")
    notes = ProcessNote.objects.filter(code="").values_list("text", flat=True)
    assert set(notes) <= {message for _, _, message in lines}


def test_a_full_log_of_an_extraction_says_so_once(owner: Person, site: Site, settings: Any) -> None:
    settings.RUN_LOG_LINES_MAX = 3
    site.pages["/"] = listing(*(f"/{n}" for n in range(8)))
    site.pages.update({f"/{n}": html("<h1>A</h1>") for n in range(8)})
    fields = [{"name": "item", "selector": "li a", "attrs": ["href"], "details": {"fields": [TITLE]}}]
    messages = [message for _, _, message in log_of(owner, run_of(extracted(owner, site, fields=fields)))]
    assert sum("is full" in message for message in messages) == 1
    assert len(messages) == 4


def test_a_delivery_logs_its_attempts(owner: Person, site: Site) -> None:
    run = submit_delivery(owner=owner.user, url=f"{site.url}/hook", event="webhook.test", data={})
    work(WEBHOOK, perform_delivery, node="webhooks@here")
    assert [(level, message.partition(" in ")[0]) for level, _, message in log_of(owner, run)] == [
        ("WARNING", "attempt 1: 404"),
        ("ERROR", "Undelivered: The receiver answered 404."),
    ]
    run.refresh_from_db()
    assert run.state == "RETRY"


def test_a_process_that_is_out_of_time_says_so_in_the_log_of_its_run(owner: Person) -> None:
    run = submit_delivery(owner=owner.user, url="http://127.0.0.1:9/", event="webhook.test", data={})
    error = {"type": "TimeLimitExceeded", "message": "Its time is over."}
    with transaction.atomic():
        queue.finish_detached(run_id=run.pk, state=State.FAILURE, error=error)
    assert log_of(owner, run) == [("ERROR", "webhook", "TimeLimitExceeded: Its time is over.")]


def test_what_was_logged_before_a_detached_run_is_ended_stands_before_why(owner: Person) -> None:
    run = submit_delivery(owner=owner.user, url="http://127.0.0.1:9/", event="webhook.test", data={})
    with transaction.atomic():
        assert lock_run(Process(run_id=run.pk))
        RunLog(run).add(logging.INFO, "webhook", "still at work")  # which the writer stores while the row is locked
        queue.finish_detached(run_id=run.pk, state=State.FAILURE, error={"type": "Gone", "message": "It is gone."})
    assert [message for *_, message in log_of(owner, run)] == ["still at work", "Gone: It is gone."]
