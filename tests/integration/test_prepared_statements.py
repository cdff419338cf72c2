"""Statements that are planned once: in sessions of the connection's own only, and for whatever the tables will hold."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from taskhub.db import prepared_statements
from taskhub.db.prepared_statements import PreparedStatement
from taskhub.runs.models import Run, worker_timeout
from taskhub.runs.queue import leases
from tests.conftest import Person
from tests.table_statistics import forget_statistics

pytestmark = pytest.mark.django_db

DOUBLE = PreparedStatement("SELECT %(number)s * 2, %(text)s || '%%', %(number)s", number="int", text="text")


def doubled(number: int, first: str = "") -> tuple[list[Any], int]:
    """The answer, and how many queries it took."""
    with CaptureQueriesContext(connection) as queries, connection.cursor() as cursor:
        DOUBLE.execute(cursor, {"number": number, "text": "a'b"}, first)
        while cursor.nextset():
            pass
        return list(cursor.fetchone()), len(queries)


@pytest.mark.parametrize("first", ["", "SELECT 1; SELECT 2;"])
def test_a_statement_is_prepared_once_in_a_session(first: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    prepared_statements._prepared.pop(connection.connection, None)
    assert [doubled(number, first) for number in (1, 2, 3)] == [
        ([2, "a'b%", 1], 3),
        ([4, "a'b%", 2], 1),
        ([6, "a'b%", 3], 1),
    ]
    assert DOUBLE._name in {name for (name,) in rows("SELECT name FROM pg_prepared_statements")}


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As behind a pooler, which says another number for the session than the session itself."""
    info = connection.connection.info
    monkeypatch.setattr(type(info), "backend_pid", property(lambda self: 1))
    prepared_statements._prepared.pop(connection.connection, None)
    yield
    prepared_statements._prepared.pop(connection.connection, None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE doubled ALTER number TYPE bigint", "DEALLOCATE ALL", None],
    ids=["the type of a column has changed", "it was removed", "nobody noted that it was prepared"],
)
def test_a_statement_that_no_longer_fits_is_planned_anew(change: str | None) -> None:
    statement = PreparedStatement("SELECT number * %(by)s, number FROM doubled", by="int")
    with connection.cursor() as cursor:
        try:
            cursor.execute("DEALLOCATE ALL; DROP TABLE IF EXISTS doubled; CREATE TABLE doubled AS SELECT 4 AS number")
            prepared_statements._prepared.pop(connection.connection, None)
            statement.execute(cursor, {"by": 2})
            if change:
                cursor.execute(change)
            else:
                prepared_statements._prepared[connection.connection] = set()
            for by in (2, 3):
                statement.execute(cursor, {"by": by})
                assert cursor.fetchone() == (4 * by, 4)
        finally:
            cursor.execute("DROP TABLE doubled; DEALLOCATE ALL")
            prepared_statements._prepared.pop(connection.connection, None)


def test_behind_a_pooler_nothing_is_prepared(pooled: None) -> None:
    before = rows("SELECT name FROM pg_prepared_statements ORDER BY 1")
    assert [doubled(number) for number in (1, 2)] == [([2, "a'b%", 1], 2), ([4, "a'b%", 2], 1)]
    assert rows("SELECT name FROM pg_prepared_statements ORDER BY 1") == before


def test_claims_behind_a_pooler(pooled: None, owner: Person) -> None:
    run = Run.objects.create(kind="walker", owner=owner.user, name="echo")
    claimed = leases.claim(kind="walker", worker="w", after=uuid4())
    assert claimed is not None
    assert claimed.pk == run.pk


def test_a_claim_that_was_planned_for_empty_tables_fits_large_ones() -> None:
    forget_statistics(Run)
    assert leases.claim(kind="walker", worker="w", after=uuid4()) is None
    values: Any = {"worker": "w", "lease": 15, "queue": "walkers", "kinds": ["walker"], "silent": worker_timeout()}
    values |= {"kind": "walker", "after": uuid4(), "cap": 3}
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT json) {leases._CLAIM_FAIREST._execute}", values)
        [(plan,)] = cursor.fetchall()
    scans = [node for node in nodes(json.loads(plan) if isinstance(plan, str) else plan) if is_of_runs(node)]
    assert {node["Node Type"] for node in scans} <= {"Index Scan", "Index Only Scan"}
    assert (
        sorted(node["Index Name"] for node in scans if "lease_until" in str(node.get("Index Cond")))
        == ["run_leased"] * 2
    )
    others = [node for node in scans if node["Index Name"] not in ("run_leased", "runs_run_pkey")]
    assert all("owner_id" in node["Index Cond"] and "kind" in node["Index Cond"] for node in others)


def is_of_runs(node: dict[str, Any]) -> bool:
    return node.get("Relation Name") == "runs_run" and node["Node Type"] != "ModifyTable"


def nodes(plan: Any) -> Iterator[dict[str, Any]]:
    for value in plan if isinstance(plan, list) else plan.values():
        if isinstance(value, dict):
            yield value
        if isinstance(value, dict | list):
            yield from nodes(value)


def rows(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
