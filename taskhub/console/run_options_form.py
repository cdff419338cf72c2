"""The fields of a run's options, as every form has them that starts something."""

from typing import Any

from taskhub.console.schema_form import SchemaForm
from taskhub.errors import Problem
from taskhub.jsontools.schema import ObjectSchema
from taskhub.outbound import Refused
from taskhub.runs.run_options import FIELDS

_LABELS = {"expires_at": "Begins by", "nd": "Start node", "run_at": "Not before"}
_CONCURRENCY = {"examples": [{"key": "shop", "limit": 1, "policy": "wait"}]}


class RunOptionsForm(SchemaForm):
    """Options of a run among the fields of a call, and those that `more` names."""

    def __init__(self, call: ObjectSchema, sent: Any = None, *, more: tuple[str, ...] = ()) -> None:
        schema = call.schema()
        properties = {**schema["properties"], "concurrency": schema["properties"]["concurrency"] | _CONCURRENCY}
        super().__init__(
            {**schema, "properties": properties}, sent, names=(*FIELDS, *more), labels=_LABELS, prefix="run"
        )

    def add_problem(self, problem: Problem, work: SchemaForm, place: str) -> None:
        """Shows at its field what the call refused; what lies under `place` in the form of the work."""
        if isinstance(problem, Refused):  # of all that is sent the webhook alone is an address
            self.add_fault("/webhook", problem.detail)
            return
        for error in problem.errors or [{"detail": problem.detail}]:
            pointer, detail = str(error.get("pointer", "")), str(error["detail"])
            if pointer.startswith(place):
                work.add_fault(pointer.removeprefix(place), detail)
            else:
                self.add_fault(pointer, detail)
