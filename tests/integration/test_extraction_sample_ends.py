"""How samples end: their result is taken once, and nothing is left of them whatever happens meanwhile."""

import os
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from extraction.domain.process_status import PageState
from extraction.domain.suggestion.suggestions import SUGGESTIONS_MAX
from extraction.models import CreditAccount, ExtractionPage, Process
from extraction.services import page_table, process_lifecycle, processes, result_files, retention, samples, slices
from extraction.services.result_files import result_storage
from taskhub.errors import Conflict, Failed, Rejected, Unavailable
from taskhub.runs import queue, waits
from taskhub.runs.models import NotificationMessage, Run
from taskhub.runs.queue.worker_process import work
from tests.conftest import Person
from tests.extraction_runs import carried, extracted
from tests.extraction_sites import Site, html

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]

ITEMS = "".join(f"<li class=item><h2>Thing {n}</h2><p class=note>Some words about {n}</p></li>" for n in range(5))
LONG_AGO = timedelta(days=1000)


@pytest.fixture
def site(site: Site) -> Site:
    site.pages["/"] = html(f"<ul>{ITEMS}</ul>")
    return site


def preview_of(site: Site, **payload: Any) -> dict[str, Any]:
    return {"request": {"url": f"{site.url}/"}, "fields": [{"name": "title", "selector": "li h2"}], **payload}


def begun(process: Process) -> Process:
    work("extraction", process_lifecycle.perform_extraction, node="extraction@test")
    return process


def nothing_is_left() -> bool:
    rows = [model.objects.exists() for model in (Process, ExtractionPage, Run)]
    return not (any(rows) or (result_storage().exists("") and result_storage().listdir("")[1]))


def test_the_result_is_taken_once(owner: Person, site: Site) -> None:
    process = carried(begun(samples.start_preview(owner=owner.user, body=preview_of(site))))
    assert samples.is_over(process=process)
    assert samples.take_result(process=process)["count"] == 5
    assert nothing_is_left()
    with pytest.raises(Failed, match="removed"):
        samples.take_result(process=process)


def test_one_that_is_removed_while_it_is_waited_for(owner: Person, site: Site) -> None:
    process = begun(samples.start_preview(owner=owner.user, body=preview_of(site)))
    Process.objects.filter(pk=process.pk).update(removed_at=timezone.now())
    with pytest.raises(Failed, match="removed"):
        samples.take_result(process=process)
    assert nothing_is_left()


def test_one_that_ends_while_it_is_given_up_leaves_no_file(owner: Person, site: Site) -> None:
    before = begun(samples.start_preview(owner=owner.user, body=preview_of(site)))
    carried(Process.objects.get(pk=before.pk))
    assert not nothing_is_left()
    retention.discard_process(before)
    assert nothing_is_left()


def test_a_worker_of_one_that_is_given_up_has_lost_its_slice(owner: Person, site: Site) -> None:
    process = begun(samples.start_preview(owner=owner.user, body=preview_of(site)))
    slice, _ = slices.claim_slice(worker="one@test") or (None, None)
    assert slice
    with pytest.raises(Failed, match="in time"):
        samples.take_result(process=process)
    with pytest.raises(slices.SliceLost):
        page_table.write_batch(slice=slice, outcomes=[], max_pages=10)
    assert nothing_is_left()


def test_one_that_waits_for_credits_is_over(owner: Person, site: Site) -> None:
    process = begun(samples.start_preview(owner=owner.user, body=preview_of(site)))
    assert not samples.is_over(process=process)
    CreditAccount.objects.update(balance=0)
    process = carried(process)
    assert (process.status, samples.is_over(process=process)) == ("pending", True)
    with pytest.raises(Conflict):
        samples.take_result(process=process)
    assert nothing_is_left()


@pytest.mark.parametrize(
    ("terms", "price"),
    [
        ({}, 1),
        ({"login": {"url": "http://x/", "form": {"a": "b"}}}, 2),
        ({"request": {"sitemap": "http://x/"}}, 2),
        ({"login": {"url": "http://x/", "form": {"a": "b"}}, "request": {"sitemap": "http://x/"}}, 3),
    ],
    ids=["page", "login", "sitemap", "both"],
)
def test_nothing_is_begun_that_cannot_be_paid(owner: Person, site: Site, terms: dict[str, Any], price: int) -> None:
    for limits in ({"maxCredits": price - 1} if price > 1 else {}, {}):
        CreditAccount.objects.update_or_create(owner=owner.user, defaults={"balance": price if limits else price - 1})
        answer = owner.post("/v1/preview?wait=0", {**preview_of(site), **terms, **limits})
        assert (answer.status_code, f"costs {price} " in answer.json()["detail"]) == (409, True)
    assert nothing_is_left()


def test_where_too_many_wait_nothing_is_begun(owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise Unavailable("Too many waits are open.")

    monkeypatch.setattr(waits, "_wait_slot", refuse)
    assert owner.post("/v1/preview", preview_of(site)).status_code == 503
    assert owner.post("/v1/suggest", {"url": f"{site.url}/"}).status_code == 503
    assert nothing_is_left()


def test_those_that_nobody_takes_go_together(owner: Person, site: Site) -> None:
    left = [samples.start_preview(owner=owner.user, body=preview_of(site)) for _ in range(3)]
    for process in left:
        carried(begun(process))
    waiting = begun(samples.start_suggestions(owner=owner.user, body={"url": f"{site.url}/"}))
    Process.objects.filter(pk=waiting.pk).update(status="pending")
    assert retention.prune() == 0
    minutes = timezone.now() - timedelta(minutes=11)
    Process.objects.filter(finished_at__isnull=False).update(finished_at=minutes)
    Process.objects.update(created_at=minutes)
    assert retention.prune() == 4
    assert nothing_is_left()


def test_processes_past_their_retention_go_together(owner: Person, site: Site) -> None:
    for _ in range(3):
        extracted(owner, site, fields=[{"name": "title", "selector": "li h2"}])
    Process.objects.update(finished_at=timezone.now() - LONG_AGO)
    assert retention.prune()
    assert not Process.objects.exists()
    assert not ExtractionPage.objects.exists()


def test_who_is_killed_while_one_is_given_up_has_done_nothing(
    owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begun(samples.start_preview(owner=owner.user, body=preview_of(site)))

    def killed(**_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(queue, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            samples.take_result(process=process)
    process = carried(process)
    assert (process.status, process.removed_at) == ("finished", None)
    Process.objects.update(finished_at=timezone.now() - timedelta(minutes=11))
    assert retention.prune() == 1
    assert nothing_is_left()


def test_no_rule_of_notifications_tells_of_them(owner: Person, site: Site) -> None:
    rule = {"name": "all", "on": ["run.failed", "process.pending"], "to": {"webhook": "http://127.0.0.1:9/"}}
    assert owner.post("/notifications", rule).status_code == 201
    sent = preview_of(site, request={"url": f"{site.url}/nothing"})
    failed = carried(begun(samples.start_preview(owner=owner.user, body=sent)))
    unpaid = begun(samples.start_preview(owner=owner.user, body=preview_of(site)))
    CreditAccount.objects.update(balance=0)
    assert [carried(process).status for process in (failed, unpaid)] == ["failed", "pending"]
    assert not NotificationMessage.objects.exists()
    CreditAccount.objects.update(balance=10)
    other = processes.run_single_page(owner=owner.user, product="html", body={"url": f"{site.url}/nothing"})
    carried(begun(other))
    assert NotificationMessage.objects.count() == 1


def test_suggestions_have_the_request_and_what_is_stored_of_them_no_secret(owner: Person, site: Site) -> None:
    headers = {"Authorization": "Bearer canary-of-a-header"}
    body = {"url": f"{site.url}/", "headers": headers, "cookies": {"session": "canary-of-a-cookie"}}
    process = carried(begun(samples.start_suggestions(owner=owner.user, body=body)))
    assert site.seen["/"]["Authorization"] == headers["Authorization"]
    [stored] = ExtractionPage.objects.filter(state=PageState.DONE).values_list("records", flat=True)
    with result_storage().open(process.results) as file:
        assert not [data for data in (zlib.decompress(stored or b""), file.read()) if b"canary" in data]
    found = samples.take_result(process=process)["suggestions"]
    assert 0 < len(found) <= SUGGESTIONS_MAX
    assert [one["payload"]["request"] for one in found] == [body] * len(found)


def test_a_long_flat_list_is_suggested_in_time(owner: Person, site: Site) -> None:
    """Each term goes on behind its heading, and all are in one element: no step may look at all of them for each."""
    terms = "".join(f"<h3 class=head>Head {n}</h3><p>text {n}</p><p>more {n}</p>" for n in range(10_000))
    site.pages["/"] = html(f"<div>{terms}</div>")
    process = carried(begun(samples.start_suggestions(owner=owner.user, body={"url": f"{site.url}/"})))
    assert samples.take_result(process=process)["suggestions"]


def test_a_preview_of_large_records_has_fewer(owner: Person, site: Site) -> None:
    site.pages["/"] = html("".join(f"<li><h2>{'x' * 1_000_000}</h2></li>" for _ in range(8)))
    process = carried(begun(samples.start_preview(owner=owner.user, body=preview_of(site))))
    preview = samples.take_result(process=process)
    assert (preview["count"], len(preview["records"])) == (8, 4)


@pytest.mark.parametrize("changes", [{"product": "preview"}, {"product": "nothing"}, {"product": None}])
def test_another_product_is_no_retry(owner: Person, site: Site, changes: dict[str, Any]) -> None:
    process = processes.run_single_page(owner=owner.user, product="html", body={"url": f"{site.url}/"})
    assert process.run
    with pytest.raises(Rejected) as rejected:
        processes.retry_with(run=process.run, overrides={"payload": changes})
    assert [error["pointer"] for error in rejected.value.errors] == ["/payload/product"]


def test_what_a_killed_writer_left_is_deleted(owner: Person, site: Site) -> None:
    extracted(owner, site, fields=[{"name": "title", "selector": "li h2"}])
    folder = Path(result_storage().path(result_files.WRITING))
    for name in ("old", "new"):
        (folder / name).write_text("half")
    os.utime(folder / "old", (1, 1))
    retention.prune()
    assert [path.name for path in folder.iterdir()] == ["new"]
