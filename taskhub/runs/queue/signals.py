"""What the parts of the queue tell each other that do not know one another."""

from functools import partial
from typing import Any

from django.db import transaction
from django.dispatch import Signal

from taskhub.runs.models import Run

# There may be room for runs of an owner with a concurrency key, or a run asks for some: see `admission`.
admission_due = Signal()


def ask_for_admission(run: Run, **what: Any) -> None:
    """Has runs with the key of this one admitted, where there is room for them. `run_ids`: those that ask for it."""
    admission_due.send(Run, owner_id=run.owner_id, key=run.concurrency_key, **what)


def leave_room(run: Run) -> None:
    """After the commit others with its concurrency key, if it has one, may go on in its place."""
    if run.concurrency_key:
        transaction.on_commit(partial(ask_for_admission, run))
