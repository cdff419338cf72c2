"""What the expressions of a run know of it and of the world: the run itself, the time, ids, and its owner's secrets."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sequences.domain.scope import RunContext
from sequences.domain.validation_errors import StepFailure
from sequences.services.secrets import secret_value
from sequences.services.step_recorder import StepRecorder
from taskhub.runs.models import Run


def run_context(run: Run, recorder: StepRecorder) -> RunContext:
    """`recorder` hides what the run reads of secrets, and what is made of them."""

    def secret(name: str) -> str:
        if name not in known:
            value = secret_value(run.owner_id, name)
            if value is None:
                raise StepFailure(f"There is no secret {name}.")
            recorder.hide_text(value)
            known[name] = value
        return known[name]

    known: dict[str, str] = {}
    return RunContext(
        _described(run),
        utc_now,
        lambda: str(uuid4()),
        secret,
        recorder.hide_text,
        recorder.holds_hidden,
    )


def utc_now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _described(run: Run) -> dict[str, Any]:
    return {
        "id": str(run.pk),
        "attempt": run.attempt,
        "due_at": run.due_at.astimezone(UTC).isoformat().replace("+00:00", "Z") if run.due_at else None,
        "schedule": run.schedule or None,
        "owner": str(run.owner_id) if run.owner_id else None,
    }
