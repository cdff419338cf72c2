"""`/console/parts`: each part of which pages are made, in each of its states."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from taskhub.console.charts import BarChart, Series
from taskhub.console.console_view import ConsoleView
from taskhub.console.json_editor import JsonEditor, faults_of
from taskhub.console.json_tree import JsonView
from taskhub.errors import Rejected
from taskhub.runs.domain import State
from taskhub.runs.models import Run

EXAMPLE_JSON = {
    "name": "echo",
    "ctx": {"value": "hello", "tags": ["a", "b"], "none": None, "yes": True, "number": 12.5},
    "empty": {},
}
EDITED = """{
  // A comment, and a trailing comma.
  "name": "{{#.inputs.name}}",
  "tags": ["a", "b"],
  "count": -1,
}"""
WRONG = Rejected(errors=[{"path": "count", "detail": "This is a whole number from 1."}])


class PartsForm(forms.Form):
    """Each kind of field, one of them with an error."""

    name = forms.CharField(help_text="As it is shown in lists.")
    number = forms.IntegerField(min_value=1)
    kind = forms.ChoiceField(choices=[("walker", "walker"), ("sequence", "sequence")])
    text = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}))
    queues = forms.MultipleChoiceField(
        choices=[("walkers", "walkers"), ("sequences", "sequences")], widget=forms.CheckboxSelectMultiple
    )
    enabled = forms.BooleanField(required=False)


class PartsView(ConsoleView):
    for_staff = True

    def get(self, request: HttpRequest) -> HttpResponse:
        context = {
            "runs": [_example_run(number, state) for number, state in enumerate(State)],
            "form": PartsForm({"name": "nightly", "number": "-1", "kind": "walker", "text": "a\nb"}),
            "chart": BarChart(
                "Runs by hour",
                [f"{hour}:00" for hour in range(24)],
                [
                    Series("SUCCESS", [hour * 7 % 23 for hour in range(24)]),
                    Series("FAILURE", [hour % 3 for hour in range(24)]),
                ],
            ),
            "json": JsonView("example", EXAMPLE_JSON),
            "editor": JsonEditor("example", "Payload", EDITED, "JSON.", faults=faults_of(EDITED, WRONG)),
        }
        return render(request, "console/parts.html", context)


def _example_run(number: int, state: State) -> Run:
    """A run that is in no table."""
    now = timezone.now()
    ended: dict[str, Any] = {"finished_at": now} if state in {State.SUCCESS, State.FAILURE, State.REVOKED} else {}
    started = {} if state == State.PENDING else {"started_at": now - timedelta(seconds=83 * number)}
    error = {"type": "RuntimeError", "message": "no tea", "where": "walkers.py:12"} if state == State.FAILURE else None
    progress = {"done": 3, "total": 8, "message": "3 of 8"} if state == State.PROGRESS else None
    return Run(
        id=UUID(int=number), kind="walker", name="echo", state=state, created_at=now - timedelta(hours=number),
        error=error, progress=progress, **started, **ended,
    )  # fmt: skip
