"""Workers and beat report how they are, as web processes do by themselves."""

from typing import Any

from celery.signals import beat_init, worker_process_init, worker_ready

from taskhub.metrics.reports import begin_reports


@worker_ready.connect
def _begin_in_main_process(sender: Any, **_: Any) -> None:
    _begin(sender.hostname)


@worker_process_init.connect
def _begin(sender: str, **_: Any) -> None:
    """In each process that carries out runs; `sender` is the worker's node name, such as `walkers@host`."""
    begin_reports(f"worker:{sender.partition('@')[0]}")


@beat_init.connect
def _begin_in_beat(**_: Any) -> None:
    begin_reports("beat")
