"""Spans of traces, for OpenTelemetry.

Without the setting `TRACES` there are none, and nothing of OpenTelemetry is loaded; a `traceparent` that came in is
passed on as it is. With it, spans wait in a queue of limited length for a thread that sends them to a collector (OTLP
over HTTP): whoever ends a span never waits, and what does not fit into the queue is dropped. Where the collector is,
which traces are recorded, and how long the queue is, say OpenTelemetry's own variables (`OTEL_...`).
"""

import atexit
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Literal

from django.conf import settings

from taskhub import __version__
from taskhub.telemetry.trace_context import current_traceparent, within_trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as RecordedSpan
    from opentelemetry.trace import SpanContext

Kind = Literal["SERVER", "CONSUMER", "CLIENT"]

FLUSH_SECONDS = 2.0  # for what is left when a process ends


class Span:
    """One operation of a trace. Without traces it has a `traceparent` to pass on, and keeps nothing."""

    def __init__(self, traceparent: str, recorded: "RecordedSpan | None" = None) -> None:
        self.traceparent = traceparent
        self._recorded = recorded

    @property
    def is_recorded(self) -> bool:
        return self._recorded is not None and self._recorded.is_recording()

    def describe(self, name: str = "", **attributes: str | int) -> None:
        """Gives it a name of few variants, and attributes; `__` in their names stands for a dot."""
        if self._recorded is not None:
            if name:
                self._recorded.update_name(name)
            self._recorded.set_attributes({key.replace("__", "."): value for key, value in attributes.items()})

    def fail(self, type: str, message: str = "") -> None:
        """Says that the operation failed. The message goes to the collector: it must hold no secrets."""
        if self._recorded is not None:
            from opentelemetry.trace import Status, StatusCode

            self._recorded.set_attribute("error.type", type)
            self._recorded.set_status(Status(StatusCode.ERROR, message or None))

    def end(self) -> None:
        if self._recorded is not None:
            self._recorded.end()


def begin_span(name: str, kind: Kind, *, parent: str) -> Span:
    """Begins a span, which its caller ends, under a `traceparent`; without one it begins a trace."""
    if not settings.TRACES:
        return Span(parent)
    from opentelemetry import trace

    context = trace.set_span_in_context(trace.NonRecordingSpan(_span_context(parent))) if parent else None
    tracer = _provider().get_tracer("taskhub", __version__)
    recorded = tracer.start_span(name, context, trace.SpanKind[kind])
    found = recorded.get_span_context()
    return Span(_text_of(found) if found.is_valid else parent, recorded)


def span(name: str, kind: Kind, *, parent: str | None = None) -> AbstractContextManager[Span]:
    """A span that is as long as the block, and fails with it; by default under that in which the caller works."""
    if parent is None:
        parent = current_traceparent()
        if not settings.TRACES:
            return nullcontext(Span(parent))
    return _begun_span(name, kind, parent)


@contextmanager
def _begun_span(name: str, kind: Kind, parent: str) -> Iterator[Span]:
    begun = begin_span(name, kind, parent=parent)
    try:
        with within_trace(begun.traceparent):
            yield begun
    except BaseException as error:
        begun.fail(type(error).__name__)
        raise
    finally:
        begun.end()


def flush_spans() -> None:
    """Sends what is left, before this process ends; waits `FLUSH_SECONDS` at most. Not every process calls what
    `atexit` has registered."""
    if _provider.cache_info().currsize:
        sending = threading.Thread(target=_provider().force_flush, name="spans", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)


def load() -> None:
    """Loads OpenTelemetry, if there are traces, so that what is forked later has it."""
    if settings.TRACES:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401


@cache
def _provider() -> "TracerProvider":
    """Made for the first span of a process. In a forked process it begins anew, with an empty queue, by itself."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = Resource.create({"service.name": "taskhub", "service.version": __version__})
    provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    atexit.register(flush_spans)
    return provider


def _span_context(traceparent: str) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _text_of(context: "SpanContext") -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
