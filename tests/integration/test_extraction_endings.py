"""How processes end that do not end with their last page: what fails, what is named, and who waits for it."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest
from django.db import DataError, connection, transaction
from django.utils import timezone

from extraction import fetch_loop, worker_loop
from extraction.api import views
from extraction.models import CreditAccount, ExtractionPage, Process, ProcessNote, Slice
from extraction.services import (
    credits,
    page_table,
    process_endings,
    process_lifecycle,
    processes,
    retention,
    slices,
    suspension,
)
from taskhub.errors import NotFound, Rejected, Unavailable
from taskhub.runs.models import Run
from taskhub.runs.queue.webhook_events import WEBHOOK
from tests.conftest import Person
from tests.extraction_runs import begun, carried, listing, records, run_of
from tests.extraction_sites import Site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("extracting_here")]


def turns(process: Process, number: int) -> Process:
    """The process after so many turns, whose pauses are left out."""
    for _ in range(number):
        Process.objects.filter(pk=process.pk).update(rest_until=None)
        worker_loop.work_on_slices(node="extraction@test")
    process.refresh_from_db()
    return process


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int = 100) -> None:
    """So many turns fail."""
    run, left = fetch_loop.FetchLoop.run, iter(range(times))

    async def run_or_fail(loop: fetch_loop.FetchLoop) -> None:
        if next(left, None) is None:
            await run(loop)
        else:
            raise error

    monkeypatch.setattr(fetch_loop.FetchLoop, "run", run_or_fail)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (RuntimeError("something broke"), "TurnsFailed", "RuntimeError: something broke"),
        (DataError("invalid byte sequence"), "TurnsFailed", "DataError: invalid byte sequence"),
        (Unavailable("A stored secret cannot be opened."), "Unavailable", "A stored secret cannot be opened."),
    ],
)
def test_three_turns_that_fail_end_a_process(
    owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, words: str
) -> None:
    site.pages["/"] = listing("/a")
    failing(monkeypatch, error)
    process = turns(begun(owner, site), 2)
    assert (process.status, process.failed_turns) == ("running", 2)
    assert process.rest_until
    assert process.rest_until > timezone.now()
    process = turns(process, 2)
    assert (process.status, process.unwritten, process.results) == ("failed", False, f"{process.id}.json")
    assert process.error == f"3 turns failed one after the other. {words}"
    run = run_of(process)
    assert run.error
    assert (run.state, run.error["type"], run.error["message"]) == ("FAILURE", kind, process.error)
    assert ProcessNote.objects.filter(process=process, text=f"a turn failed: {words}").count() == 3
    assert CreditAccount.objects.get().balance == credits.credit_account(owner.user.pk).balance
    assert not Slice.objects.exists()


def test_turns_that_fail_now_and_then_end_nothing(owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/"] = listing("/a")
    failing(monkeypatch, RuntimeError("a moment of weakness"), times=2)
    process = turns(begun(owner, site), 4)
    assert (process.status, process.failed_turns, process.cost) == ("finished", 0, 1)


def test_what_no_other_turn_is_spared_ends_a_process_at_once(
    owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, Rejected("The search engine is gone."))
    process = turns(begun(owner, site), 1)
    assert (process.status, process.error) == ("failed", "The search engine is gone.")


def test_a_process_without_a_run_ends_too(owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    process = begun(owner, site)
    Process.objects.update(run=None)
    failing(monkeypatch, RuntimeError("broken"))
    process = turns(process, 4)
    assert (process.status, process.results) == ("failed", f"{process.id}.json")


def test_a_worker_that_is_lost_without_pages_counts(owner: Person, site: Site) -> None:
    process = begun(owner, site)
    for number in range(process_endings.TURNS_MAX):
        Process.objects.update(rest_until=None)
        assert slices.claim_slice(worker=f"{number}@test")
        Slice.objects.update(lease_until=timezone.now())
        process_lifecycle.sweep()
    process.refresh_from_db()
    assert (process.status, process.error) == (
        "failed",
        "3 turns failed one after the other. Its worker was lost.",
    )


def test_a_file_that_cannot_be_written_is_given_up(owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise RuntimeError("cannot be written")

    site.pages["/"] = listing("/a")
    process = begun(owner, site)
    Run.objects.filter(pk=run_of(process).pk).update(webhook=f"{site.url}/hook")
    monkeypatch.setattr(worker_loop, "store_result", fail)
    process = turns(process, 4)
    assert (process.status, process.unwritten, process.results) == ("failed", False, "")
    assert "RuntimeError: cannot be written" in process.error
    assert len(records(process)) == 1  # which can be exported
    assert Run.objects.filter(kind=WEBHOOK).count() == 1


# From the final status on


def canceled(owner: Person, site: Site) -> Process:
    process = begun(owner, site)
    return processes.cancel_process(process=processes.visible_process(id=process.id, user=owner.user))


def failed(owner: Person, site: Site) -> Process:
    process = begun(owner, site)
    process_endings.fail_process(process=process, error={"type": "TimeLimitExceeded", "message": "Its time is over."})
    return process


def pending(owner: Person, site: Site) -> Process:
    credits.credit_account(owner.user.pk)
    CreditAccount.objects.update(balance=0)
    process = begun(owner, site)
    while process.status == "running":
        slice, _ = slices.claim_slice(worker="x@test", sorts=[slices.SliceSort.BASE]) or (None, None)
        if slice:
            slices.reserve(slice=slice, wanted=1)
            process_lifecycle.end_slice(slice=slice)
            suspension.suspend_for_credits(process=process)
        process.refresh_from_db()
    return process


@pytest.mark.parametrize("end", [canceled, failed, pending])
def test_results_are_named_from_the_final_status_on_and_the_link_waits(
    owner: Person, site: Site, end: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = end(owner, site)
    shown = owner.get(f"/v1/process/{process.id}/info").json()
    assert (shown["status"], shown["results"]) == (end.__name__, f"{process.id}.json")
    with monkeypatch.context() as hurried:
        hurried.setattr(views, "WRITING_SECONDS", 0.05)
        late = owner.get(f"/v1/getlink?name={shown['results']}")
        assert (late.status_code, late["Retry-After"]) == (503, "5")
    writer = Thread(target=write_in_thread, args=(process,))
    writer.start()
    link = owner.get(f"/v1/getlink?name={shown['results']}")
    writer.join()
    file = owner.get("/" + link.content.decode().split("/", 3)[3])
    assert json.loads(b"".join(file.streaming_content)) == []


def write_in_thread(process: Process) -> None:
    try:
        carried(process)
    finally:
        connection.close()


def test_a_file_is_not_named_before_it_is_due(owner: Person, site: Site) -> None:
    site.pages["/"] = listing("/a")
    process = begun(owner, site)
    assert owner.get(f"/v1/process/{process.id}/info").json()["results"] == ""
    process = carried(process)
    assert owner.get(f"/v1/process/{process.id}/info").json()["results"] == process.results
    assert owner.get(f"/v1/getlink?name={process.results}").status_code == 200


def test_one_that_is_resumed_before_its_file_is_written_names_none(owner: Person, site: Site) -> None:
    process = pending(owner, site)
    assert process.results
    credits.top_up(owner_id=owner.user.pk, amount=10)
    assert suspension.resume_waiting() == 1
    process.refresh_from_db()
    assert (process.status, process.results, process.unwritten) == ("running", "", False)


def test_a_turn_that_failed_leaves_no_page_behind(owner: Person, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1/0")

    site.pages["/"] = listing("/a")
    process = begun(owner, site)
    with monkeypatch.context() as broken:
        broken.setattr(page_table, "write_batch", fail)
        turns(process, 1)
    process = turns(process, 2)
    assert (process.status, process.cost, process.failed_turns) == ("finished", 1, 0)


@pytest.mark.parametrize("ending", ["deleted", "pruned"])
@pytest.mark.parametrize("format", ["log", "csv", "json", "jsonl", "xml"])
def test_what_is_streamed_of_a_process_breaks_off_where_that_goes_meanwhile(
    owner: Person, site: Site, format: str, ending: str, settings: Any
) -> None:
    site.pages["/"] = listing("/a", "/b")
    process = carried(begun(owner, site))
    path = f"/v1/process/{process.id}/export?format={format}"
    if format == "log":
        path = owner.get(f"/v1/process/{process.id}/info").json()["logFile"].removeprefix(settings.PUBLIC_URL)
    answer = iter(owner.get(path).streaming_content)
    assert next(answer)
    if ending == "deleted":
        task = owner.get(f"/v1/process/{process.id}/info").json()["taskID"]
        assert owner.post(f"/v1/task/{task}/delete").status_code == 200
    else:
        retention.remove_batch(process)
    with pytest.raises(NotFound):
        list(answer)


def test_a_process_can_go_while_a_worker_ends_its_slice(owner: Person, site: Site) -> None:
    """As that of a preview does: it is removed as soon as its result is there."""
    site.pages["/"] = listing("/a")
    process = carried(begun(owner, site))
    while ExtractionPage.objects.filter(process=process).exists():
        retention.remove_batch(process)
    slice = Slice.objects.create(process=process, worker="x@test", lease_until=timezone.now() + slices.LEASE)
    with ThreadPoolExecutor(1) as remover:
        with transaction.atomic():  # what `end_slice` does, in two steps
            row = slices.lock_process(process.pk)
            assert row
            removal = remover.submit(remove_in_thread, process)
            while not (removal.done() or is_waited_for()):
                pass
            assert slices.release(slice=slice, process=row, lost=False) == 0
        assert removal.result()
    assert not Process.objects.exists()


def remove_in_thread(process: Process) -> int:
    try:
        return retention.remove_batch(process)
    finally:
        connection.close()


def is_waited_for() -> bool:
    """Whether another connection waits for a lock that this one has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))")
        return bool(cursor.fetchone()[0])
