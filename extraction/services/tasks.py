"""Stores, finds and changes tasks. `retention` deletes them."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from extraction.domain.destinations import parse_destinations, serialize_destinations
from extraction.models import ExtractionTask
from extraction.services.payloads import check_payload
from taskhub.audit.services import record_change
from taskhub.errors import NotFound, Rejected, invalid
from taskhub.outbound import Refused, check_url, configured_policy
from taskhub.security.fingerprints import CheckVersion, fingerprint
from taskhub.security.masking import masked_places

TASK_NAME_MAX = 200  # characters
DESCRIPTION_MAX = 10_000  # characters
FIELDS = frozenset({"id", "name", "webhook", "delivery", "payload", "description", "type"})
TYPE = "extract"


def create_task(*, owner: Any, body: Mapping[str, Any]) -> ExtractionTask:
    """Creates a task. The body is a payload, or an object of the task's fields, `payload` among them.

    Raises `Rejected` or `Forbidden`.
    """
    values = _check_body(body) if "payload" in body else {"payload": dict(body)}
    at = "/payload" if "payload" in body else ""
    payload = check_payload(values["payload"], owner, at)
    name = values.get("name") or payload.name
    with transaction.atomic():
        task = ExtractionTask.objects.create(
            owner=owner,
            payload=values["payload"],
            name=str(name),
            description=str(values.get("description", "")),
            webhook=str(values.get("webhook", "")),
            delivery=values.get("delivery", []),
        )
        record_task("create", task, after=_values_of(task))
    return task


def update_task(
    *, task: ExtractionTask, body: Mapping[str, Any], check_version: CheckVersion | None = None
) -> ExtractionTask:
    """Replaces the fields that the body has; the task's processes stay as they were run. Raises `Rejected`, and what
    `check_version` raises."""
    values = _check_body(body)
    if values.pop("id", task.id) != task.id:
        raise invalid("/id", "Must be this task's id.", "This is another task's id.")
    if "payload" in values:
        check_payload(values["payload"], task.owner, "/payload")
    with transaction.atomic():
        row = lock_task(task)
        if check_version is not None:
            check_version(version_of(row))
        before = _values_of(row)
        for name, value in values.items():
            setattr(row, name, value)
        row.save(update_fields=[*values] or ["name"])
        record_task("change", row, before=before, after=_values_of(row))
    return row


def version_of(task: ExtractionTask) -> str:
    """What another change of a task makes another one."""
    return fingerprint(_values_of(task))


def _values_of(task: ExtractionTask) -> dict[str, Any]:
    values = {name: getattr(task, name) for name in ("name", "description", "payload", "webhook")}
    return values | {"delivery secrets": task.delivery}  # where results go, and with which credentials


def record_task(action: str, task: ExtractionTask, **values: Any) -> None:
    """Tells the audit log what was done with a task."""
    record_change(action, "extraction task", task.id, task.name, owner_id=task.owner_id, **values)


def find_task(*, id: str, user: Any) -> ExtractionTask | None:
    """The task of an id; None for one that never was, is deleted, or is another's."""
    task: ExtractionTask | None = ExtractionTask.objects.visible_to(user).select_related("owner").filter(id=id).first()
    return task


def visible_task(*, id: str, user: Any) -> ExtractionTask:
    """The task of an id. Raises `NotFound` where `find_task` finds none."""
    task = find_task(id=id, user=user)
    if task is None:
        raise NotFound(f"There is no task {id}, or it is not yours.")
    return task


def lock_task(task: ExtractionTask) -> ExtractionTask:
    """The task, held by the caller's transaction. Raises `NotFound` when it was deleted meanwhile."""
    row = ExtractionTask.objects.select_for_update(of=("self",)).filter(pk=task.pk, removed_at__isnull=True).first()
    if row is None:
        raise NotFound(f"There is no task {task.id}, or it is not yours.")
    return row


def _check_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a task's fields that a body has. Raises `Rejected` for all that is wrong but the payload."""
    faults = [_fault(name, "There is no such name here.") for name in body if name not in FIELDS][:20]
    faults += [
        _fault(name, f"Must be a text of at most {most} characters.")
        for name, most in (("name", TASK_NAME_MAX), ("description", DESCRIPTION_MAX), ("webhook", 2_000), ("id", 27))
        if name in body and not (isinstance(body[name], str) and len(body[name]) <= most and "\x00" not in body[name])
    ]
    if body.get("type", TYPE) != TYPE:
        faults.append(_fault("type", f"Must be {TYPE}."))
    if not faults and body.get("webhook"):
        faults += _address_faults(body["webhook"], "webhook")
    if faults:
        raise Rejected(f"The task is not valid. {faults[0]['pointer']}: {faults[0]['detail']}", errors=faults)
    given = {name: body.get(name) for name in ("payload", "delivery")}
    if stars := [{"pointer": place, "detail": "These are stars, not the secret."} for place in masked_places(given)]:
        raise Rejected("Secrets are missing.", errors=stars)
    values = {name: value for name, value in body.items() if name != "type"}
    if "delivery" in values:
        values["delivery"] = _check_delivery(values["delivery"])
    return values


def _check_delivery(value: Any) -> list[dict[str, Any]]:
    """Destinations as they are stored. Raises `Rejected` for faults, and for servers that the gate would not call."""
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
    """Why the gate would not call an address, if so, as a fault of the field `name`."""
    try:
        check_url(url, configured_policy())
    except Refused as refusal:
        return [_fault(name, refusal.detail)]
    return []


def _fault(name: str, detail: str) -> dict[str, str]:
    return {"pointer": f"/{name}", "detail": detail}
