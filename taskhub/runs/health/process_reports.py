"""Workers and beat report how they are, as web processes do by themselves; processes of workers, also when they end."""

from typing import Any

from celery.signals import beat_init, worker_process_init, worker_process_shutdown, worker_ready

from taskhub.metrics.reports import begin_reports, end_reports
from taskhub.telemetry.spans import flush_spans


@worker_ready.connect
def _begin_in_main_process(sender: Any, **_: Any) -> None:
    _begin(sender.hostname)


@worker_process_init.connect
def _begin(sender: str, **_: Any) -> None:
    """In each process that carries out runs; `sender` is the worker's node name, such as `walkers@host`."""
    begin_reports(f"worker:{sender.partition('@')[0]}")


@worker_process_shutdown.connect
def _end(**_: Any) -> None:
    end_reports()
    flush_spans()


@beat_init.connect
def _begin_in_beat(**_: Any) -> None:
    begin_reports("beat")
