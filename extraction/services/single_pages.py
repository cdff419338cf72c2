"""Single processes: one thing of one page, without a task."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from extraction.domain.single_page_parser import PRODUCT
from extraction.models import Process
from extraction.services.processes import accept, create_process
from extraction.services.tasks import checked


def run_single(*, owner: Any, product: str, given: Mapping[str, Any]) -> Process:
    """A new process. Raises `Rejected` or `Forbidden`. Call `runs.enqueue(process.run)` after the commit."""
    value = {**given, PRODUCT: product}
    payload = checked(value, owner, single=True)
    with transaction.atomic():
        process = create_process(None, owner, value, payload, None)
        process.run = accept(process)
        process.save(update_fields=["run"])
        return process
