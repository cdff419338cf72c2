"""The Celery tasks of extraction."""

import sys
from typing import Any

from celery import shared_task
from celery.signals import worker_process_shutdown

from extraction.domain.kind_names import DELIVERY, EXTRACTION, REMOVAL, SCHEDULED_TASK
from extraction.services.deliveries import perform_delivery
from extraction.services.process_lifecycle import perform_extraction
from extraction.services.retention import perform_removal
from taskhub.errors import Rejected
from taskhub.runs.queue.worker_process import work


@shared_task(name=SCHEDULED_TASK, bind=True)
def extraction_run(self: Any, /, run_id: str = "", **arguments: Any) -> int:
    """Begins runs that wait, and works on slices of processes, whichever run it was notified of; returns how many."""
    if not run_id:
        raise Rejected("An extraction is started by a schedule of the hub, or by POST /v1/task/{id}/run.")
    # Here, for workers of other queues load this module, too, and what fetches pages takes time to load.
    from extraction.worker_loop import work_on_slices

    began = work(EXTRACTION, perform_extraction, node=self.request.hostname)
    return began + work_on_slices(node=self.request.hostname)


@shared_task(name="extraction.tasks.delivery", bind=True)
def delivery(self: Any, /, run_id: str) -> int:
    return work(DELIVERY, perform_delivery, node=self.request.hostname)


@shared_task(name="extraction.tasks.purge", bind=True)
def removal(self: Any, /, run_id: str) -> int:
    return work(REMOVAL, perform_removal, node=self.request.hostname)


@worker_process_shutdown.connect
def _stop_slices(**_: Any) -> None:
    if "extraction.worker_loop" in sys.modules:
        sys.modules["extraction.worker_loop"].stop_slices()
