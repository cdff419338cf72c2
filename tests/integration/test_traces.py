"""Traces: from a call through the run that it starts to the calls that this makes, as a collector is sent them."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from celery.signals import worker_process_shutdown
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from sequences.services.sequence_execution import perform_sequence
from taskhub.outbound import Session, Unreachable
from taskhub.runs.models import LogLine, Run
from taskhub.runs.queue.webhook_events import WEBHOOK
from taskhub.runs.queue.worker_process import work
from taskhub.runs.webhooks.services import perform_delivery
from taskhub.telemetry import spans
from taskhub.telemetry.log_context import log_context
from taskhub.telemetry.spans import Span, flush_spans, span
from taskhub.telemetry.trace_context import current_traceparent, within_trace
from taskhub.web.front.application import Front
from tests.conftest import ROOT, Person
from tests.crawler_client import until
from tests.extraction_runs import DETAIL, LINKS, begun, carried
from tests.extraction_sites import Site, html
from tests.integration.outbound_servers import Serve, Server, answer, redirect
from tests.integration.test_front import ask, front  # noqa: F401 (a fixture)

pytestmark = pytest.mark.django_db(transaction=True)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"
NOT_SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["loopback"]


class Collector:
    """What a server was sent as OTLP over HTTP."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def spans(self) -> list[SentSpan]:
        """All that were sent, in the order of their begin, after this process has sent what it has."""
        flush_spans()
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.server.bodies]
        scopes = [scope for sent in requests for resource in sent.resource_spans for scope in resource.scope_spans]
        return sorted((one for scope in scopes for one in scope.spans), key=lambda one: one.start_time_unix_nano)


def batches() -> Any:
    """What has the spans that were not sent yet."""
    return spans._provider()._active_span_processor._span_processors[0]


def traced_to(url: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.TRACES = True
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    spans._provider.cache_clear()
    yield
    batches().span_exporter.shutdown()  # tries nothing again
    spans._provider().shutdown()
    spans._provider.cache_clear()


@pytest.fixture
def collector(serve: Serve, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    server = serve(answer(b"", "Content-Type: application/x-protobuf"))
    for _ in traced_to(server.url, settings, monkeypatch):
        yield Collector(server)


def parent_of(one: SentSpan) -> str:
    return one.parent_span_id.hex()


def values_of(one: SentSpan) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in one.attributes}


def traceparents(server: Server) -> list[str]:
    lines = [line for head in server.heads for line in head.splitlines() if line.lower().startswith("traceparent:")]
    return [line.partition(":")[2].strip() for line in lines]


def told_and_asked(front: Front, person: Person, serve: Serve, **headers: str) -> tuple[Server, Server]:  # noqa: F811
    """A sequence that asks one server, and whose end another is told of."""
    asked, told = serve(answer(b"{}")), serve(answer(b""))
    sent = b'{"requests": [{"method": "GET", "url": "%s/secret-path?key=secret"}]}' % asked.url.encode()
    target = f"/sequences/runs?webhook={told.url}/hook"
    headers |= {"Content-Type": "application/json", "Content-Length": str(len(sent)), **person.headers}
    accepted = ask(front, "POST", target, headers, sent)
    assert accepted.status == 202, accepted.body
    assert work("sequence", perform_sequence, node="sequences@test") == 1
    assert work(WEBHOOK, perform_delivery, node="webhooks@test") == 1
    return asked, told


def test_from_the_call_through_the_run_to_what_it_calls(
    front: Front,  # noqa: F811
    collector: Collector,
    colleague: Person,
    serve: Serve,
) -> None:
    asked, told = told_and_asked(front, colleague, serve, traceparent=CALLER)
    call, run, request, delivery, message = found = collector.spans()
    assert [one.name for one in found] == ["POST /sequences/runs", "run sequence", "GET", "run webhook", "POST"]
    assert [one.kind for one in found] == [SentSpan.SPAN_KIND_SERVER, *2 * (SentSpan.SPAN_KIND_CONSUMER, 3)]
    assert {one.trace_id.hex() for one in found} == {TRACE}
    assert parent_of(call) == CALLER.split("-")[2]
    for child, parent in ((run, call), (request, run), (delivery, run), (message, delivery)):
        assert parent_of(child) == parent.span_id.hex()
    for server, client in ((asked, request), (told, message)):
        assert traceparents(server) == [f"00-{TRACE}-{client.span_id.hex()}-01"]
    assert {one.status.code for one in found} == {Status.STATUS_CODE_UNSET}
    kept = Run.objects.get(kind="sequence")
    assert values_of(run) == {
        "taskhub.run.id": str(kept.pk),
        "taskhub.run.kind": "sequence",
        "taskhub.run.name": kept.name,
        "taskhub.run.attempt": 1,
    }
    expected = {"http.request.method": "GET", "server.address": "127.0.0.1", "server.port": asked.port}
    assert values_of(request) == {**expected, "http.response.status_code": 200}
    assert values_of(call)["http.response.status_code"] == 202
    assert b"secret" not in b"".join(collector.server.bodies)


def test_what_was_started_without_a_trace_begins_one(
    front: Front,  # noqa: F811
    collector: Collector,
    colleague: Person,
    serve: Serve,
) -> None:
    told_and_asked(front, colleague, serve)
    call, *others = collector.spans()
    assert parent_of(call) == ""
    assert [one.trace_id for one in others] == 4 * [call.trace_id]


def test_without_traces_a_traceparent_is_passed_on_as_it_came(
    front: Front,  # noqa: F811
    colleague: Person,
    serve: Serve,
) -> None:
    asked, told = told_and_asked(front, colleague, serve, traceparent=CALLER)
    assert traceparents(asked) == traceparents(told) == [CALLER]
    assert set(Run.objects.values_list("traceparent", flat=True)) == {CALLER}


def test_without_traces_and_without_a_traceparent_none_is_sent(
    front: Front,  # noqa: F811
    colleague: Person,
    serve: Serve,
) -> None:
    asked, told = told_and_asked(front, colleague, serve, traceparent="nonsense")
    assert traceparents(asked) == traceparents(told) == []


def test_what_the_caller_does_not_record_is_not_recorded(collector: Collector, serve: Serve) -> None:
    server = serve(answer())
    with within_trace(NOT_SAMPLED), Session() as session:
        session.get(server.url)
    assert collector.spans() == []
    (sent,) = traceparents(server)
    assert sent.startswith(f"00-{TRACE}-")
    assert sent.endswith("-00")


def test_each_hop_is_a_request_of_its_own(collector: Collector, serve: Serve) -> None:
    last = serve(answer(status="404 Not Found"))
    first = serve(redirect(last.url))
    with within_trace(CALLER), Session() as session:
        session.get(first.url)
    hops = collector.spans()
    assert [one.span_id.hex() for one in hops] == [
        text.split("-")[2] for text in traceparents(first) + traceparents(last)
    ]
    assert [one.status.code for one in hops] == [Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR]
    assert values_of(hops[1])["error.type"] == "404"


def test_a_traceparent_of_the_sequence_own_is_left_as_it_is(collector: Collector, serve: Serve) -> None:
    server = serve(answer())
    with within_trace(CALLER), Session() as session:
        session.get(server.url, headers={"traceparent": "mine"})
    assert traceparents(server) == ["mine"]
    assert len(collector.spans()) == 1


def test_a_request_that_fails_is_a_failed_span(collector: Collector) -> None:
    with within_trace(CALLER), Session() as session, pytest.raises(Unreachable):
        session.get("http://127.0.0.1:1/")
    (failed,) = collector.spans()
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert values_of(failed)["error.type"] == "Unreachable"


def test_a_run_that_fails_is_a_failed_span_without_its_secrets(
    front: Front,  # noqa: F811
    collector: Collector,
    colleague: Person,
    serve: Serve,
) -> None:
    asked = serve(answer(b"{}"))
    colleague.post(
        "/sequences/runs",
        {
            "requests": [
                {"method": "GET", "url": asked.url, "save_to": "a"},
                {"method": "GET", "url": "{{#.password}}"},
            ],
            "persistence": {"password": "c4n4ry"},
        },
    )
    assert work("sequence", perform_sequence, node="sequences@test") == 1
    run = collector.spans()[0]
    assert run.status.code == Status.STATUS_CODE_ERROR
    kept: Any = Run.objects.get()
    assert values_of(run)["error.type"] == kept.error["type"]
    assert run.status.message
    assert b"c4n4ry" not in b"".join(collector.server.bodies)


@pytest.mark.usefixtures("extracting_here")
def test_each_page_of_an_extraction_is_a_span_below_the_turn_of_its_slice(
    collector: Collector, owner: Person, site: Site
) -> None:
    site.pages["/"] = html('<li><a href="/a?key=c4n4ry">a</a></li>')
    with within_trace(CALLER):
        process = begun(owner, site, fields=[{**LINKS[0], "details": DETAIL}])
    carried(process)
    found = [one for one in collector.spans() if one.name in {"slice", "page"}]
    assert {one.trace_id.hex() for one in found} == {TRACE}
    slices = [one for one in found if one.name == "slice"]
    pages = [one for one in found if one.name == "page"]
    assert {parent_of(one) for one in slices} == {CALLER.split("-")[2]}
    assert values_of(slices[0]) == {"taskhub.run.id": str(process.run_id), "taskhub.process.id": process.id}
    assert {parent_of(one) for one in pages} <= {one.span_id.hex() for one in slices}
    there, missing = pages
    answered = {"server.address": "127.0.0.1", "http.response.status_code": 200}
    assert (values_of(there), there.status.code) == (answered, Status.STATUS_CODE_UNSET)
    assert values_of(missing) == {**answered, "http.response.status_code": 404, "error.type": "PageFailure"}
    assert missing.status.code == Status.STATUS_CODE_ERROR
    assert all("traceparent" not in {name.lower() for name in headers} for headers in site.seen.values())
    assert b"c4n4ry" not in b"".join(collector.server.bodies)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
def test_probes_make_no_spans(front: Front, collector: Collector, path: str) -> None:  # noqa: F811
    ask(front, "GET", path, {})
    assert collector.spans() == []


def test_a_call_that_fails_in_the_hub_is_a_failed_span(
    front: Front,  # noqa: F811
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskhub.web.openapi.document.DocumentView.get", lambda *_, **__: 1 / 0)
    assert ask(front, "GET", "/openapi.json", {}).status == 500
    (call,) = collector.spans()
    assert (call.name, call.status.code) == ("GET /openapi.json", Status.STATUS_CODE_ERROR)


def test_lines_of_the_log_name_the_trace(collector: Collector) -> None:
    with span("a", "SERVER", parent=CALLER):
        assert log_context() == {"trace": TRACE}
    assert log_context() == {}


def test_the_sdk_can_be_switched_off_by_its_own_variable(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    spans._provider.cache_clear()
    with span("a", "SERVER", parent=CALLER), span("b", "CLIENT"):
        assert current_traceparent() == CALLER
    with span("a", "SERVER", parent=""):
        assert current_traceparent() == ""
    assert collector.spans() == []


def test_a_process_of_a_worker_sends_what_it_has_before_it_ends(collector: Collector) -> None:
    with span("a", "CONSUMER"):
        pass
    worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
    assert len(collector.server.bodies) == 1


# A collector that does not take them


def keep_silent(server: Server, connection: Any) -> None:
    server.over.wait()


def test_a_silent_collector_holds_nobody_up(
    serve: Serve, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans end at once while it is silent, the queue takes no more than it holds, and the end of the process comes."""
    silent = serve(keep_silent)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100")
    monkeypatch.setattr(spans, "FLUSH_SECONDS", 0.05)
    for _ in traced_to(silent.url, settings, monkeypatch):
        for count in (10, 500):
            for _ in range(count):
                with span("a", "CLIENT"):
                    pass
            until(lambda: silent.connections)  # the first batch has left the queue, and no other does
        assert len(batches()._batch_processor._queue) == 20
        flush_spans()  # comes back
        silent.close()
    assert "Queue full" in caplog.text


def test_what_the_exporter_complains_of_is_no_line_of_a_run(
    collector: Collector, colleague: Person, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Span.end

    def end(one: Span) -> None:
        logging.getLogger("opentelemetry.sdk._shared_internal").warning("Queue full, dropping %s.", "Span")
        before(one)

    monkeypatch.setattr(Span, "end", end)
    colleague.post("/sequences/runs", {"requests": [{"method": "GET", "url": serve(answer(b"{}")).url}]})
    assert work("sequence", perform_sequence, node="sequences@test") == 1
    assert LogLine.objects.exists()
    assert not LogLine.objects.filter(message__contains="Queue full").exists()


NOTHING_LOADED = """
import os, sys
from taskhub.start import preload
preload.load()
from taskhub.telemetry.spans import flush_spans, span
with span("a", "CLIENT"): pass
flush_spans()
print(*(name for name in ("sdk.trace", "exporter") if f"opentelemetry.{name}" in sys.modules))
"""


@pytest.mark.parametrize(("traces", "loaded"), [("false", []), ("true", ["sdk.trace", "exporter"])])
def test_without_traces_nothing_that_makes_or_sends_spans_is_loaded(traces: str, loaded: list[str]) -> None:
    environment = {
        "PATH": "",
        "TASKHUB_TRACES": traces,
        "TASKHUB_SECRET_KEY": "k" * 50,
        "DATABASE_URL": "postgresql://nobody@localhost:1/none",
        "REDIS_URL": "redis://localhost:1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    }
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_LOADED], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == loaded
