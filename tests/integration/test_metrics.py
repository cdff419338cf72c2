"""/metrics, as Prometheus reads it: the database at that moment, and what all processes of a hub have counted."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import redis
import yaml
from celery.signals import worker_process_shutdown
from django.db import OperationalError, connection
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from extraction.domain.process_status import PageState
from extraction.services import page_totals
from taskhub.db.plans import PLAN_ONCE
from taskhub.db.prepared_statements import PreparedStatement
from taskhub.metrics import reports
from taskhub.metrics.reports import Reporter, read_reports
from taskhub.metrics.totals import SharedHistogram, shared_families
from taskhub.runs.health import hub_metrics
from taskhub.runs.health.hub_metrics import HubCollector
from taskhub.runs.health.worker_heartbeat import say_alive
from taskhub.runs.models import Run, Schedule, worker_timeout
from taskhub.runs.queue import claim, queue_states, submit
from taskhub.runs.scheduler.leadership import lead
from taskhub.web.front import application  # noqa: F401 (as in a web process: it declares what it counts)
from tests import crawler_client
from tests.conftest import ROOT, Person
from tests.hub import Hub
from tests.requirements import required_program
from tests.table_statistics import forget_statistics

pytestmark = pytest.mark.django_db

NOBODY: Any = "00000000-0000-0000-0000-000000000000"
ECHO_CALL = {"name": "echo", "ctx": {"value": 7}}
ECHO = {"name": "echo", "snt": "taskhub", "nd": NOBODY, "ctx": {}}
WALKERS = {"kind": "walker", "queue": "walkers"}
OPERATING = ROOT / "docs" / "operating"
# As Prometheus 2.42 asks.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str, parse: Any = text_string_to_metric_families) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


class Scrape:
    """What one answer says."""

    def __init__(self, text: str) -> None:
        self.text, self.samples = text, samples_of(text)

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def values_of(self, name: str, label: str) -> set[str]:
        return {dict(labels)[label] for sample, labels in self.samples if sample == name}


@pytest.fixture
def scrape(colleague: Person, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(hub_metrics, "KEPT_SECONDS", 0)

    def ask() -> Scrape:
        answer = colleague.get("/metrics")
        assert answer.status_code == 200, answer.content
        return Scrape(answer.content.decode())

    return ask


def waiting(person: Person, **fields: Any) -> Run:
    run = submit(kind="walker", owner=person.user, name="echo", arguments=ECHO)
    Run.objects.filter(pk=run.pk).update(**fields)
    return run


def test_they_are_for_staff_or_for_everybody(
    settings: Any, anonymous: Person, owner: Person, colleague: Person
) -> None:
    people = (anonymous, owner, colleague)
    assert [person.get("/metrics").status_code for person in people] == [401, 403, 200]
    settings.METRICS_OPEN = True
    assert [person.get("/metrics").status_code for person in people] == [200, 200, 200]


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("*/*", "text/plain; version=0.0.4", text_string_to_metric_families),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4", text_string_to_metric_families),
        (PROMETHEUS, "application/openmetrics-text; version=1.0.0", openmetrics_families),
    ],
    ids=["anything", "text", "prometheus"],
)
def test_they_are_in_the_format_that_is_asked_for(
    colleague: Person, accept: str, content_type: str, parse: Any
) -> None:
    answer = colleague.get("/metrics", headers={"Accept": accept})
    assert answer["Content-Type"].startswith(content_type)
    assert samples_of(answer.content.decode(), parse)["taskhub_database_up", frozenset()] == 1


def test_runs_that_wait_go_on_and_have_ended(
    scrape: Any, owner: Person, stranger: Person, django_capture_on_commit_callbacks: Any
) -> None:
    before = scrape()
    assert before("taskhub_runs_waiting", **WALKERS) == before("taskhub_runs_waiting_oldest_seconds", **WALKERS) == 0
    say_alive(name="walkers@here", queues=["walkers"], processes=[1, 2, 3])
    waiting(owner)
    assert claim(kind="walker", worker="walkers@here:1", after=NOBODY)
    waiting(owner, created_at=timezone.now() - timedelta(seconds=90))
    waiting(stranger)
    waiting(stranger, state="RETRY")  # of a lost worker: it is not known since when it waits
    waiting(owner, ready=False, not_before=timezone.now() + timedelta(hours=1))
    waiting(owner, ready=False, blocked=True, concurrency_key="one at a time")
    with django_capture_on_commit_callbacks(execute=True):
        assert owner.post(f"/runs/{waiting(owner).pk}/cancel").status_code == 200
    after = scrape()
    assert after("taskhub_runs_waiting", **WALKERS) == 3
    assert 90 <= after("taskhub_runs_waiting_oldest_seconds", **WALKERS) < 150
    assert after("taskhub_runs_delayed", **WALKERS) == 1
    assert after("taskhub_runs_blocked", **WALKERS) == 1
    assert after("taskhub_runs_running", **WALKERS) == 1
    revoked = {**WALKERS, "state": "REVOKED"}
    assert after("taskhub_runs_ended_total", **revoked) == before("taskhub_runs_ended_total", **revoked) + 1
    assert after("taskhub_queue_workers", queue="walkers") == 1
    assert after("taskhub_queue_slots", queue="walkers") == 3
    assert after("taskhub_queue_slots_taken", queue="walkers") == 1
    assert 90 <= after("taskhub_queue_untaken_seconds", queue="walkers") < 150
    assert after.values_of("taskhub_queue_workers", "queue") >= {"walkers", "extraction", "webhooks"}


def test_schedules_that_are_due_and_a_beat_that_leads(scrape: Any, owner: Person) -> None:
    hourly = {"interval": {"every": 1, "period": "hours"}}
    made = owner.post("/schedules", {"name": "often", "kind": "walker", "arguments": ECHO_CALL, "when": hourly})
    assert made.status_code == 201, made.content
    before = scrape()
    assert before("taskhub_schedule_lag_seconds") == before("taskhub_beat_leading") == 0
    Schedule.objects.update(due_at=timezone.now() - timedelta(seconds=70))
    lead("beat", "here")
    after = scrape()
    assert 70 <= after("taskhub_schedule_lag_seconds") < 130
    assert after("taskhub_beat_leading") == 1


def test_documents_are_counted_by_what_became_of_them(scrape: Any, owner: Person) -> None:
    external = crawler_client.external(owner, "http://127.0.0.1:9/shop")
    task = crawler_client.start(owner, crawler_client.crawler(owner, external)["crawler"])
    before = scrape()
    body = crawler_client.lines([{"sku": "a", "price": 1}, {"sku": "b", "price": 2}]) + b'\n{"sku": 5}'
    sent = owner.post(f"/actions/tasks/{task['fid']}/upload?on_invalid=skip", body, content_type="application/x-ndjson")
    assert sent.status_code == 200, sent.content
    after = scrape()
    for outcome, count in {"inserted": 2, "updated": 0, "unchanged": 0, "rejected": 1}.items():
        labels = {"outcome": outcome}
        assert after("taskhub_documents_total", **labels) == before("taskhub_documents_total", **labels) + count


def test_a_page_that_is_asked_for_again_is_not_a_failed_one(scrape: Any) -> None:
    before = scrape()
    outcomes: Any = [type("Outcome", (), {"state": state}) for state in (PageState.READY, PageState.FAILED)]
    page_totals.count_pages(outcomes)
    after = scrape()
    for outcome in ("again", "failed"):
        assert after("taskhub_pages_total", outcome=outcome) == before("taskhub_pages_total", outcome=outcome) + 1


def test_without_redis_the_database_is_told_of_all_the_same(
    scrape: Any, settings: Any, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(owner)
    assert scrape()("taskhub_redis_up") == 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(reports._reporter.get(), "_client", reports._connect())
    told = scrape()
    assert (told("taskhub_redis_up"), told("taskhub_database_up")) == (0, 1)
    assert told("taskhub_runs_waiting", **WALKERS) == 1
    assert "taskhub_http_requests_total" not in told.text


def test_without_the_database_the_totals_are_told_all_the_same(
    anonymous: Person, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(counted_max: int) -> Any:
        raise OperationalError("away")

    settings.METRICS_OPEN = True
    monkeypatch.setattr(hub_metrics, "KEPT_SECONDS", 0)
    monkeypatch.setattr(hub_metrics, "counts_of_kinds", away)
    told = Scrape(anonymous.get("/metrics").content.decode())
    assert (told("taskhub_redis_up"), told("taskhub_database_up")) == (1, 0)
    assert "taskhub_http_requests_total" in told.text
    assert "taskhub_runs_waiting" not in told.text


def collected(collector: HubCollector) -> float:
    """The value of the only metric that `one_metric` has."""
    return next(iter(collector.collect())).samples[0].value


def test_one_scrape_collects_for_all_who_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_metrics, "KEPT_SECONDS", 3600)
    collector, begun, go_on = HubCollector(), threading.Event(), threading.Event()
    numbers = iter(range(1, 9))

    def one_metric() -> Iterator[Metric]:
        begun.set()
        assert go_on.wait(30)
        yield GaugeMetricFamily("taskhub_test", "Which collection it is.", next(numbers))

    monkeypatch.setattr(hub_metrics, "_hub_families", one_metric)
    with ThreadPoolExecutor(8) as threads:
        first = [threads.submit(collected, collector) for _ in range(8)]
        go_on.set()
        assert {scrape.result(30) for scrape in first} == {1}
        assert collected(collector) == 1
        monkeypatch.setattr(hub_metrics, "KEPT_SECONDS", 0)
        begun.clear()
        go_on.clear()
        second = threads.submit(collected, collector)
        assert begun.wait(30)
        assert collected(collector) == 1  # at once, though the database does not answer the other one
        go_on.set()
        assert second.result(30) == 2


def test_a_collection_that_fails_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = HubCollector()
    monkeypatch.setattr(hub_metrics, "_hub_families", lambda: iter([1 / 0]))
    with pytest.raises(ZeroDivisionError):
        list(collector.collect())
    monkeypatch.setattr(hub_metrics, "_hub_families", lambda: iter([GaugeMetricFamily("taskhub_test", "It.", 3)]))
    assert collected(collector) == 3


def totals() -> Mapping[Any, float]:
    told = read_reports()
    assert told
    return told.totals


def test_what_is_counted_while_redis_is_away_is_written_once() -> None:
    reporter, key = Reporter(), ("taskhub_test", "away")
    before = totals().get(key, 0)
    client = reporter._client
    reporter._client = redis.Redis.from_url("redis://127.0.0.1:1/0")
    for _ in range(3):
        reporter.count(key, 2)
        reporter.write()
    reporter._client = client
    reporter.write()
    reporter.write()
    assert totals()[key] == before + 6


def test_a_process_of_a_worker_writes_what_it_has_counted_before_it_ends() -> None:
    """Celery's child processes end without what `atexit` has registered."""
    key = ("taskhub_test", "ending")
    reports.count(key, 1)
    before = totals().get(key, 0)
    reports.count(key, 2)
    worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
    with reports._connect() as client:
        assert float(client.hget(reports._totals_key(), json.dumps(key))) == before + 2


def test_a_process_that_no_longer_reports_is_forgotten() -> None:
    with reports._connect() as client:
        now, _ = client.time()
        for name, at in (("here:1", now), ("here:2", now - 60)):
            report = {"program": "beat", "at": at, "values": {"resident_bytes": 5, "cpu_seconds": 1}}
            client.hset(reports._processes_key(), name, json.dumps(report))
        told = read_reports()
        assert told
        assert [one.process for one in told.processes if one.process.startswith("here:")] == ["here:1"]
        assert not client.hexists(reports._processes_key(), "here:2")
        client.hdel(reports._processes_key(), "here:1")


@pytest.mark.parametrize(
    ("seconds", "counts"), [((0.5,), [1, 1, 1]), ((1, 1.5, 7), [1, 2, 3]), ((), None)], ids=["one", "three", "none"]
)
def test_a_histogram_counts_up_to_each_bound(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...], counts: list[int] | None
) -> None:
    counted: dict[Any, float] = {}
    monkeypatch.setattr("taskhub.metrics.totals._declared", {})
    monkeypatch.setattr(
        "taskhub.metrics.totals.count", lambda key, amount: counted.update({key: counted.get(key, 0) + amount})
    )
    histogram = SharedHistogram("taskhub_test_seconds", "Seconds.", (1, 5), "kind")
    for value in seconds:
        histogram.observe(value, "walker")
    counted["taskhub_test_seconds_sum", "of another version", "with more labels"] = 1
    (family,) = shared_families(counted)
    found = {sample.labels["le"]: sample.value for sample in family.samples if "le" in sample.labels}
    assert found == ({} if counts is None else dict(zip(("1.0", "5.0", "+Inf"), counts, strict=True)))


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (queue_states._KINDS, {"kinds": ["walker"], "counted": 10, "heads": 10}),
        (queue_states._UNTAKEN, {"queues": ["walkers"], "kinds": ["walker"], "silent": worker_timeout(), "cap": 9}),
        (hub_metrics._UNREADY, {"counted": 10}),
    ],
    ids=["kinds", "untaken", "unready"],
)
def test_no_statement_reads_all_runs(statement: PreparedStatement, values: dict[str, Any]) -> None:
    """The table is empty, where PostgreSQL would rather read it from end to end than follow an index."""
    forget_statistics(Run)
    with connection.cursor() as cursor:
        statement.execute(cursor, values, first=PLAN_ONCE)
        cursor.execute(f"EXPLAIN {statement._execute}", values)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "on runs_run" in plan
    assert "Seq Scan on runs_run" not in plan
    assert "Sort" not in plan


def test_how_many_statements_it_takes(scrape: Any, django_assert_max_num_queries: Any) -> None:
    """However many kinds and queues there are."""
    scrape()
    with django_assert_max_num_queries(14):
        scrape()


def test_web_workers_and_beat_are_told_of_by_one_process(hub: Hub) -> None:
    person = hub.sign_up()
    nobody = {"webhook": "http://127.0.0.1:9/hook"}
    run = person.post("/js/walker_run", {"name": "echo", "ctx": {"value": 1}, "is_async": True, **nobody})
    assert run.status_code == 202, run.text
    assert person.post("/v1/fetch", {"url": f"{hub.url}/docs/"}).status_code == 200

    def told() -> Scrape | None:
        shown = Scrape(hub.admin.get("/metrics").text)
        programs = shown.values_of("taskhub_process_resident_bytes", "program")
        counted = [
            shown("taskhub_runs_ended_total", **WALKERS, state="SUCCESS"),
            shown("taskhub_run_seconds_count", kind="walker"),
            shown("taskhub_webhook_attempts_total", outcome="unanswered"),
            shown("taskhub_pages_total", outcome="done"),
            shown("taskhub_http_requests_total", method="POST", route="v1/fetch", status="200"),
        ]
        pools = shown.values_of("taskhub_database_pool_connections", "program")
        return shown if programs >= PROGRAMS and pools >= {"web", "worker:threads"} and all(counted) else None

    shown = crawler_client.until(told)
    assert len(shown.values_of("taskhub_process_resident_bytes", "process")) > len(PROGRAMS)
    assert not re.search(r'route="[^"]*[0-9a-f]{8}-', shown.text)  # a route, not a path


PROGRAMS = {"web", "beat", "worker:walkers", "worker:extraction", "worker:threads"}

# The files beside the documentation


def names_of(text: str) -> set[str]:
    """The names of an answer's samples. A family of labels that have no value yet has none to show."""
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return names


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((OPERATING / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def dashboard_expressions() -> list[str]:
    panels = json.loads((OPERATING / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_what_alerts_and_dashboard_ask_for_exists(scrape: Any) -> None:
    expressions = [*(rule["expr"] for rule in alerts()), *dashboard_expressions()]
    asked = {name for expression in expressions for name in re.findall(r"\btaskhub_\w+", expression)}
    assert len(asked) > 15
    assert asked - names_of(scrape().text) == set()


def test_each_metric_is_in_the_documentation_and_no_other(scrape: Any) -> None:
    written = set(re.findall(r"`(taskhub_\w+)`", (ROOT / "docs" / "operating.md").read_text()))
    found = {name.removesuffix("_bucket") for name in names_of(scrape().text) if not name.endswith(("_sum", "_count"))}
    assert written == found


def test_each_alert_has_its_entry_in_the_runbook() -> None:
    entries = re.findall(r"^### (Taskhub\w+)$", (ROOT / "docs" / "operating.md").read_text(), re.M)
    assert [rule["alert"] for rule in alerts()] == entries
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"


@pytest.fixture(scope="module")
def promtool() -> str:
    return required_program("promtool", "There is no promtool, which comes with Prometheus.")


@pytest.mark.parametrize(("check", "file"), [("rules", "alerts.yml"), ("config", "prometheus.yml")])
def test_prometheus_takes_the_files(promtool: str, check: str, file: str) -> None:
    subprocess.run([promtool, "check", check, file], cwd=OPERATING, check=True)


def test_prometheus_takes_the_metrics(promtool: str, scrape: Any) -> None:
    subprocess.run([promtool, "check", "metrics"], input=scrape().text.encode(), check=True)
