"""The filters of `GET /runs`, and how its pages are read."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from taskhub.runs import queue, run_kinds, run_pages
from taskhub.runs.models import Run
from tests.conftest import Person
from tests.probe_kind import ProbeKind
from tests.problems import problem

pytestmark = pytest.mark.django_db
OLDEST = b64encode(f"r=1&p={UUID(int=0)}".encode()).decode()  # a cursor before all runs, backwards


@pytest.fixture(autouse=True)
def probe() -> Iterator[None]:
    run_kinds.register(ProbeKind())
    yield
    del run_kinds._kinds["probe"]


def submit(person: Person, name: str = "probe", **options: Any) -> Run:
    return queue.submit(owner=person.user, kind="probe", name=name, arguments={}, **options)


def fail(run: Run, type_: str, message: str) -> None:
    error = {"type": type_, "message": message}
    Run.objects.filter(pk=run.pk).update(state="FAILURE", ready=False, error=error, finished_at=timezone.now())


@pytest.fixture
def ledger(owner: Person) -> dict[str, str]:
    """Runs of the owner by a name; the answer shows ids, which lead back to it."""
    runs = {
        "plain": submit(owner),
        "tagged": submit(owner, tags=["nightly", "shop"]),
        "half tagged": submit(owner, tags=["nightly"]),
        "of a customer": submit(owner, metadata={"customer": "4711", "region": "north"}),
        "numbered": submit(owner, metadata={"region": "south", "customer": 4711, "urgent": True}),
        "named": submit(owner, "Percent 100%, all"),
        "failed": submit(owner),
        "timed out": submit(owner, tags=["shop"]),
    }
    fail(runs["failed"], "KeyError", "'customer' is not in the Shelf")
    fail(runs["timed out"], "Timeout", "no answer")
    return {str(run.pk): name for name, run in runs.items()}


FOUND: dict[str, set[str]] = {
    "tag=nightly": {"tagged", "half tagged"},
    "tag=nightly,shop": {"tagged"},
    "tag=nightly&tag=shop": {"tagged"},
    "tag=night": set(),
    "metadata.customer=4711": {"of a customer", "numbered"},
    "metadata.customer=4711&metadata.region=south": {"numbered"},
    "metadata.urgent=true": {"numbered"},
    "metadata.urgent=": set(),
    "metadata.none=4711": set(),
    "metadata.customer=NaN": set(),
    "metadata.customer=-1e999": set(),
    "error=KeyError": {"failed"},
    "error=KeyError,Timeout": {"failed", "timed out"},
    "error=Key": set(),
    "name=Percent 100%25, all": {"named"},
    "name=Percent 100%25, all&name=other": {"named"},
    "q=PERCENT": {"named"},
    "q=100%25,": {"named"},
    "q=1_0": set(),
    "q=SHELF": {"failed"},
    "q=keyerr": {"failed"},
    "q=night": {"tagged", "half tagged"},
    "q=nightly shop": {"tagged"},
    "state=failure&tag=shop": {"timed out"},
    "state=failure&tag=shop&q=answer&error=Timeout&kind=probe": {"timed out"},
    "state=failure&tag=nightly": set(),
    "finished_since=2020-01-01": {"failed", "timed out"},
    "finished_since=2020-01-01&finished_until=2020-01-02": set(),
}


@pytest.mark.parametrize("query", FOUND)
def test_runs_are_found(owner: Person, ledger: dict[str, str], query: str) -> None:
    answer = owner.get(f"/runs?{query}")
    assert answer.status_code == 200, answer.content
    assert {ledger[run["id"]] for run in answer.json()["results"]} == FOUND[query]


@pytest.mark.parametrize("form", ["{}", "{:.13}", "urn:uuid:{}"])
def test_a_run_is_found_by_its_id_or_the_beginning_of_it(owner: Person, form: str) -> None:
    run = submit(owner)
    found = owner.get("/runs", {"q": form.format(str(run.pk).upper() if "urn" not in form else run.pk)}).json()
    assert [one["id"] for one in found["results"]] == [str(run.pk)]


def test_what_is_written_as_an_id_is_looked_for_among_ids_alone(owner: Person) -> None:
    run = submit(owner)
    fail(submit(owner), "NotFound", f"There is no run {run.pk}.")
    assert [one["id"] for one in owner.get(f"/runs?q={run.pk}").json()["results"]] == [str(run.pk)]
    assert len(owner.get(f"/runs?q={str(run.pk)[-12:]}").json()["results"]) == 1


def test_staff_ask_for_the_runs_of_users_and_others_for_their_own(
    owner: Person, stranger: Person, colleague: Person
) -> None:
    runs = {person.user.pk: submit(person) for person in (owner, stranger) if person.user}
    mine, other = runs
    for query, owners in ((f"owner={mine}", {mine}), (f"owner={mine},{other}", {mine, other})):
        assert {run["owner"] for run in colleague.get(f"/runs?{query}").json()["results"]} == {*map(str, owners)}
    assert [run["owner"] for run in owner.get(f"/runs?owner={mine}").json()["results"]] == [str(mine)]
    problem(owner.get(f"/runs?owner={other}"), 400, "/owner")


def test_a_list_shows_what_was_said_of_each_run(owner: Person) -> None:
    run = submit(owner, tags=["a"], metadata={"n": 1, "token": "canary"}, priority=7)
    fail(run, "KeyError", "'a'")
    (shown,) = owner.get("/runs").json()["results"]
    assert (shown["tags"], shown["priority"], shown["metadata"]["n"]) == (["a"], 7, 1)
    assert shown["error"] == {"type": "KeyError", "message": "'a'"}
    assert "canary" not in json.dumps(shown)
    assert owner.get("/runs?metadata.token=canary").json()["results"] == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("owner=me", "/owner"),
        ("tag=", "/tag"),
        ("name=", "/name"),
        ("q=", "/q"),
        (f"q={'x' * 201}", "/q"),
        ("error=a,,b", "/error"),
        (f"state={','.join(['SUCCESS'] * 101)}", "/state"),
        ("metadata=a", "/metadata"),
        ("metadata.=a", "/metadata."),
        (f"metadata.{'k' * 51}=a", f"/metadata.{'k' * 51}"),
        (f"metadata.a={'x' * 501}", "/metadata.a"),
        ("metadata.a=1&metadata.a=2", "/metadata.a"),
        ("&".join(f"metadata.k{number}=1" for number in range(51)), "/metadata"),
        ("finished_since=yesterday", "/finished_since"),
        ("q=a&q=b", "/q"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(owner: Person, query: str, pointer: str) -> None:
    problem(owner.get(f"/runs?{query}"), 400, pointer)


def test_what_is_between_two_times_is_found(owner: Person) -> None:
    run = submit(owner)
    fail(run, "X", "x")
    ended = Run.objects.get(pk=run.pk).finished_at
    assert ended
    just = (ended + timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")
    at = ended.isoformat().replace("+00:00", "Z")
    for query, found in ((f"finished_since={at}", 1), (f"finished_until={at}", 0), (f"finished_until={just}", 1)):
        assert len(owner.get(f"/runs?{query}").json()["results"]) == found


def pages(person: Person, query: str, way: str = "next") -> list[list[str]]:
    """The ids on each page, from the first to the last."""
    found, address = [], f"/runs?{query}"
    while address:
        page = person.get(address).json()
        found.append([run["id"] for run in page["results"]])
        address = (page[way] or "").removeprefix(django_settings.PUBLIC_URL)
    return found


@pytest.fixture
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a million runs whose filter no index serves: a page is over after so many runs."""
    monkeypatch.setattr(run_pages, "FIRST_STRETCH", 3)
    monkeypatch.setattr(run_pages, "PAGE_SECONDS", 0)
    monkeypatch.setattr(run_pages._Search, "find_rest", lambda search: None)


@pytest.mark.usefixtures("short_stretches")
def test_a_page_that_would_take_too_long_ends_early_and_the_next_one_goes_on(owner: Person, stranger: Person) -> None:
    tagged = [str(submit(owner, tags=["rare"]).pk)]
    for person in [owner, stranger] * 4 + [owner]:
        submit(person)
    tagged += [str(submit(owner, tags=["rare"]).pk) for _ in range(3)]
    assert pages(owner, "tag=rare&limit=2") == [tagged[:1:-1], tagged[1:2], [], tagged[:1]]
    last = owner.get("/runs?tag=rare&limit=1").json()
    back = owner.get(last["next"].removeprefix(django_settings.PUBLIC_URL)).json()["previous"]
    assert owner.get(back.removeprefix(django_settings.PUBLIC_URL)).json()["results"] == last["results"]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_in_both_directions_have_each_run_once(
    owner: Person, stranger: Person, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(run_pages, "FIRST_STRETCH", 2)
    tagged = [str(submit(owner, tags=["a"]).pk) for _ in range(5) if submit(stranger) and submit(owner)]
    assert [*chain(*pages(owner, f"tag=a&limit={limit}"))] == tagged[::-1]
    back = pages(owner, f"tag=a&limit={limit}&cursor={OLDEST}", "previous")
    assert [*chain(*reversed(back))] == tagged[::-1]
