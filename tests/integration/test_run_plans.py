"""Plans of what lists and statistics of runs ask, on a table of which each filter lets few rows pass: along indexes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from taskhub.console import home_page
from taskhub.runs import run_pages
from tests.conftest import Person

pytestmark = pytest.mark.django_db(transaction=True)
NUMBER = 20_000
LEDGER = """
INSERT INTO runs_run (
    id, kind, owner_id, name, arguments, state, result, error, attempt, attempts, time_limit, ready, worker, tags,
    metadata, created_at, started_at, finished_at, revision
)
SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid,
    CASE WHEN n %% 2000 = 0 THEN 'rare' ELSE 'walker' END,
    (CASE WHEN n %% 1000 = 0 THEN %(few)s ELSE %(many)s END)::uuid,
    CASE WHEN n %% 2000 = 0 THEN 'rare_walker' ELSE 'walker_' || n %% 50 END, '{}',
    CASE WHEN n %% 2000 = 0 THEN 'FAILURE' ELSE 'SUCCESS' END, '{}',
    CASE WHEN n %% 2000 = 0 THEN '{"type": "KeyError", "message": "no shelf"}'::jsonb END, 1, 3, 60, false, 'w',
    CASE WHEN n %% 2000 = 0 THEN ARRAY['rare'] ELSE '{}' END,
    CASE WHEN n %% 2000 = 0 THEN '{"customer": "4711"}' ELSE '{}' END::jsonb,
    to_timestamp(1700000000 + n), to_timestamp(1700000000 + n), to_timestamp(1700000000 + n), 3
FROM generate_series(1, %(number)s) AS n
"""
RARE = [
    *("state=failure", "kind=rare", "name=rare_walker", "tag=rare", "metadata.customer=4711", "error=KeyError"),
    *("q=rare", "q=SHELF", "q=018bcfe5-6801", "state=failure,revoked", "name=rare_walker&name=other"),
    *("finished_since=2023-11-15T03:46:20Z", "finished_until=2023-11-14T22:13:30Z", "tag=none", "q=none"),
    *("state=failure&kind=walker", "tag=rare&metadata.customer=4711&q=rare", "state=success&tag=rare"),
]


@pytest.fixture
def ledger(owner: Person, stranger: Person) -> None:
    """Many runs of the owner's, few of the stranger's."""
    assert owner.user
    assert stranger.user
    with connection.cursor() as cursor:
        cursor.execute(LEDGER, {"few": stranger.user.pk, "many": owner.user.pk, "number": NUMBER})
        cursor.execute("ANALYZE runs_run")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def scans_of(person: Person | Client, path: str) -> list[dict[str, Any]]:
    """The nodes of the plans of all that one call asks of the table of runs."""
    found: list[dict[str, Any]] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "runs_run" in sql and not sql.startswith(("PREPARE", "EXECUTE")):  # whose plans test_metrics looks at
            with connection.connection.cursor() as cursor:
                (plan,) = cursor.execute(f"EXPLAIN (FORMAT json) {sql}", params).fetchone()
                found.extend(nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        answer = person.get(path)
    assert answer.status_code == 200, answer.content
    return [node for node in found if node.get("Relation Name") == "runs_run"]


@pytest.mark.usefixtures("ledger")
def test_rare_runs_are_found_along_indexes_whoever_asks(
    owner: Person, stranger: Person, colleague: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_pages, "FIRST_STRETCH", 1)
    monkeypatch.setattr(run_pages, "INDEX_SECONDS", 60)
    for person in (owner, stranger, colleague):
        for query in RARE:
            scans = scans_of(person, f"/runs?{query}&limit=25")
            assert scans
            assert [scan for scan in scans if scan["Node Type"] == "Seq Scan"] == [], query
    found = {query: len(colleague.get(f"/runs?{query}&limit=25").json()["results"]) for query in RARE}
    assert found == dict.fromkeys(RARE, 10) | {
        "q=018bcfe5-6801": found["q=018bcfe5-6801"],
        "finished_since=2023-11-15T03:46:20Z": 21,
        "finished_until=2023-11-14T22:13:30Z": 9,
        "tag=none": 0,
        "q=none": 0,
        "state=failure&kind=walker": 0,
        "state=success&tag=rare": 0,
    }
    few = stranger.get("/runs?limit=25").json()
    assert (len(few["results"]), few["next"]) == (20, None)


@pytest.mark.usefixtures("ledger")
def test_what_ended_in_a_short_time_is_counted_along_an_index(owner: Person, colleague: Person) -> None:
    for person in (owner, colleague):
        (scan,) = scans_of(person, "/runs/stats?bucket=minute&since=2023-11-15T00:00:00Z&until=2023-11-15T00:05:00Z")
        assert "run_finished" in (scan.get("Index Name"), *(node.get("Index Name") for node in nodes(scan)))


@pytest.mark.usefixtures("ledger")
def test_the_first_page_finds_failures_by_their_end(
    owner: Person, stranger: Person, colleague: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_page, "TODAY", timezone.now() - datetime.fromtimestamp(1700000000 + NUMBER / 2, UTC))
    for person in (owner, stranger, colleague):
        browser = Client()
        browser.force_login(person.user)
        scans = scans_of(browser, "/")
        assert {scan.get("Index Name") for scan in scans if "finished_at" in json.dumps(scan)} == {"run_failed"}
