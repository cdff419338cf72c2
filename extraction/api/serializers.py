"""Makes answers of rows, with exactly the keys that dataflow_tasks.md prints."""

from typing import Any

from extraction.domain.process_status import STATE_WORDS, PageState
from extraction.models import CreditAccount, CreditEntry, ExtractionPage, ExtractionTask, Process, ProcessNote
from extraction.services.processes import process_summary
from extraction.services.signed_links import LOG, link_to
from extraction.services.tasks import TYPE
from taskhub.jsontools.field_types import format_timestamp
from taskhub.security.masking import mask, mask_all, masked_address, secrets_of


def task_of(task: ExtractionTask, viewer: Any) -> dict[str, Any]:
    """A task. Others than its owner see its payload and its webhook without secrets."""
    own = task.owner_id == viewer.pk
    return {
        "id": task.id,
        "name": task.name,
        "webhook": task.webhook if own else masked_address(task.webhook),
        "payload": task.payload if own else mask_all(task.payload, secrets_of(task.payload)),
        "description": task.description,
        "type": TYPE,
    }


def process_of(process: Process) -> dict[str, Any]:
    return process_summary(process) | {"logFile": link_to(process=process, content=LOG)}


def page_of(page: ExtractionPage, *, own: bool) -> dict[str, Any]:
    """A page of a process. Others than its owner see its address without secrets."""
    return {
        "url": page.url if own else mask(page.url),
        "state": STATE_WORDS[PageState(page.state)],
        "status": page.status,
        "attempt": page.attempt,
        "records": page.found,
        "bytes": page.bytes,
        "duration_ms": page.duration_ms,
        "cost": page.cost,
        "error": page.error or None,
        "fetched_at": format_timestamp(page.fetched_at) if page.fetched_at else None,
        "not_before": format_timestamp(page.not_before) if page.not_before else None,
    }


def warning_of(note: ProcessNote) -> dict[str, Any]:
    return {"code": note.code, "pointer": note.place, "detail": note.text, "at": format_timestamp(note.at)}


def credits_of(account: CreditAccount, entries: list[CreditEntry]) -> dict[str, Any]:
    return {"balance": account.balance, "entries": [entry_of(entry) for entry in entries]}


def entry_of(entry: CreditEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "amount": entry.amount,
        "balance": entry.balance,
        "process": entry.process or None,
        "note": entry.note,
        "at": format_timestamp(entry.at),
    }
