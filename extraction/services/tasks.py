"""Tasks: stored, changed, deleted."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from extraction.domain.destinations import parse_destinations, serialize_destinations
from extraction.models import ExtractionTask
from extraction.services.payloads import check_payload
from taskhub.errors import NotFound, Rejected
from taskhub.outbound import Refused, check_url, configured_policy

TASK_NAME_MAX = 200  # characters
DESCRIPTION_MAX = 10_000  # characters
STRUCTURE = frozenset({"id", "name", "webhook", "delivery", "payload", "description", "type"})
TYPE = "extract"


def create_task(*, owner: Any, given: Mapping[str, Any]) -> ExtractionTask:
    """From a payload alone, or from a task's structure that holds one. Raises `Rejected` or `Forbidden`."""
    values = _structure(given) if "payload" in given else {"payload": dict(given)}
    at = "/payload" if "payload" in given else ""
    payload = check_payload(values["payload"], owner, at)
    name = values.get("name") or payload.name
    return ExtractionTask.objects.create(
        owner=owner,
        payload=values["payload"],
        name=str(name),
        description=str(values.get("description", "")),
        webhook=str(values.get("webhook", "")),
        delivery=values.get("delivery", []),
    )


def update_task(*, task: ExtractionTask, given: Mapping[str, Any]) -> ExtractionTask:
    """Fields that are given replace the task's; its processes stay as they were run."""
    values = _structure(given)
    if values.pop("id", task.id) != task.id:
        raise Rejected("This is another task's id.", errors=[{"pointer": "/id", "detail": "Must be this task's id."}])
    if "payload" in values:
        check_payload(values["payload"], task.owner, "/payload")
    with transaction.atomic():
        row = lock_task(task)
        for name, value in values.items():
            setattr(row, name, value)
        row.save(update_fields=[*values] or ["name"])
    return row


def lock_task(task: ExtractionTask) -> ExtractionTask:
    """The task, held by the caller's transaction. Raises `NotFound` when it was deleted meanwhile."""
    row = ExtractionTask.objects.select_for_update(of=("self",)).filter(pk=task.pk, removed_at__isnull=True).first()
    if row is None:
        raise NotFound(f"There is no task {task.id}, or it is not yours.")
    return row


def _structure(given: Mapping[str, Any]) -> dict[str, Any]:
    faults = [_fault(name, "There is no such name here.") for name in given if name not in STRUCTURE][:20]
    faults += [
        _fault(name, f"Must be a text of at most {most} characters.")
        for name, most in (("name", TASK_NAME_MAX), ("description", DESCRIPTION_MAX), ("webhook", 2_000), ("id", 27))
        if name in given
        and not (isinstance(given[name], str) and len(given[name]) <= most and "\x00" not in given[name])
    ]
    if given.get("type", TYPE) != TYPE:
        faults.append(_fault("type", f"Must be {TYPE}."))
    if not faults and given.get("webhook"):
        faults += _address_faults(given["webhook"], "webhook")
    if faults:
        raise Rejected(f"The task is not valid. {faults[0]['pointer']}: {faults[0]['detail']}", errors=faults)
    values = {name: value for name, value in given.items() if name != "type"}
    if "delivery" in values:
        values["delivery"] = _delivery(values["delivery"])
    return values


def _delivery(value: Any) -> list[dict[str, Any]]:
    """Raises `Rejected` for what is wrong, and for servers that the gate would not call."""
    destinations = parse_destinations(value, "/delivery")
    for place, destination in enumerate(destinations):
        name = "host" if "host" in destination.options else "endpoint"
        if address := destination.options.get(name):
            at = f"delivery/{place}/{name}" if isinstance(value, list) else f"delivery/{name}"
            host = f"[{address}]" if name == "host" and ":" in address else address
            if faults := _address_faults(f"https://{host}/" if name == "host" else address, at):
                raise Rejected(faults[0]["detail"], errors=faults)
    return serialize_destinations(destinations)


def _address_faults(url: str, name: str) -> list[dict[str, str]]:
    try:
        check_url(url, configured_policy())
    except Refused as refusal:
        return [_fault(name, refusal.detail)]
    return []


def _fault(name: str, detail: str) -> dict[str, str]:
    return {"pointer": f"/{name}", "detail": detail}
