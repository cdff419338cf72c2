"""What people enter of a schedule: its times, what it starts, and its terms; sent as calls of `/schedules` are."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.urls import reverse

from taskhub.console.json_editor import JsonEditor, faults_of
from taskhub.console.placed_form import LinesField
from taskhub.console.schema_form import SchemaForm
from taskhub.console.times_form import NEEDED, TimesForm, initial_times
from taskhub.errors import Conflict, Problem, Rejected
from taskhub.jsontools.jsonc import parse_jsonc
from taskhub.jsontools.schema import ObjectSchema
from taskhub.runs.models import Schedule
from taskhub.runs.run_kinds import all_targets
from taskhub.runs.run_options import LASTING_FIELDS
from taskhub.runs.scheduler.schedule_form import shown_arguments
from taskhub.runs.scheduler.scheduled_runs import plan_run
from taskhub.runs.scheduler.schedules import JITTER_MAX, NAME_MAX
from taskhub.runs.schedules.serializers import serialize_schedule

PLAIN = ("name", "kind", "arguments", "overlap", "missed", "jitter", "webhook", "enabled", "one_off")
_TIMES = frozenset({"times", "timezone", *(name for names in NEEDED.values() for name in names)})
_OPTIONS = ObjectSchema("ScheduledRunOptions", LASTING_FIELDS)


def _kinds() -> list[tuple[str, str]]:
    return [(target.kind, target.kind) for target in all_targets()]


class ScheduleEntry(TimesForm):
    """A whole schedule. `options` are those of its runs, a form made from their schema."""

    places: ClassVar[Mapping[str, str]] = {**TimesForm.places, **{f"/{name}": name for name in PLAIN}}
    name = forms.CharField(max_length=NAME_MAX, help_text="Your own. Its runs carry it.")
    kind = forms.ChoiceField(label="Starts", choices=_kinds)
    arguments = LinesField(required=False)
    overlap = forms.ChoiceField(
        label="When it is due while its last run goes on", choices=Schedule.Overlap.choices, initial="skip"
    )
    missed = forms.ChoiceField(
        label="Of times that came due while the hub was down", choices=Schedule.Missed.choices, initial="latest"
    )
    jitter = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=JITTER_MAX,
        initial=0,
        help_text="Seconds: each run begins so much later at most, by chance.",
    )
    webhook = forms.CharField(
        required=False,
        max_length=2_000,
        help_text="An address that is told of each run's end.",
        widget=forms.TextInput(attrs={"inputmode": "url", "spellcheck": "false"}),
    )
    enabled = forms.BooleanField(required=False, initial=True, help_text="If not, it is paused.")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        sent = self.data if self.is_bound else None
        self.argument_errors: list[Mapping[str, Any]] = []
        self.options = SchemaForm(_OPTIONS.schema(), sent, prefix="run", initial=self.initial)

    def is_valid(self) -> bool:
        return super().is_valid() & self.options.is_valid()

    @property
    def editor(self) -> JsonEditor:
        """The editor of the arguments, with the faults that were found in them."""
        text = str(self["arguments"].value() or "").replace("\r\n", "\n")
        editor = arguments_editor(text)
        if self.argument_errors:
            editor.faults = faults_of(text, Rejected(errors=self.argument_errors))
        return editor

    @property
    def values(self) -> dict[str, Any]:
        """The whole schedule as a call says it, once the form is valid."""
        given = self.cleaned_data
        plain = {name: given[name] for name in PLAIN} | {"jitter": given["jitter"] or 0}
        terms = {"when": self.when, "start": given["start"], "end": given["end"]}
        return {**plain, **terms, **self.options.values}

    @property
    def changed_values(self) -> dict[str, Any]:
        """Of these what was changed: the rest stays as it is, also what was shown with stars in place of secrets."""
        changed = {*self.changed_data, *self.options.changed_data}
        if changed & _TIMES or ("clocked" in changed and self.cleaned_data["times"] == "clocked"):
            changed |= {"when", "one_off"}
        if "timezone" in changed:  # in which the others are read
            changed |= {name for name in ("start", "end") if self.cleaned_data[name]}
        emptied: dict[str, Any] = {"tags": [], "metadata": {}, "priority": None, "concurrency": None}
        return {name: value for name, value in {**emptied, **self.values}.items() if name in changed}

    def add_problem(self, problem: Problem) -> None:
        if isinstance(problem, Conflict):  # somebody has the name already
            self.add_error("name", problem.detail)
        else:
            super().add_problem(problem)

    def add_faults(self, errors: Any) -> None:
        for error in errors:
            pointer = str(error.get("pointer", ""))
            if pointer == "/arguments":
                self.argument_errors.append({name: error[name] for name in error.keys() - {"pointer"}})
            if pointer.split("/")[1:2] and pointer.split("/")[1] in self.options.fields:
                self.options.add_fault(pointer, str(error["detail"]))
            else:
                super().add_faults([error])


def arguments_editor(text: str) -> JsonEditor:
    return JsonEditor(
        "arguments", "Arguments", text, "JSON; comments stay as they are written.", reverse("console:schedules-check")
    )


def checked_editor(kind: str, text: str, owner: Any) -> JsonEditor:
    """The editor of arguments with the faults for which a schedule of this owner could not start a run of the kind."""
    editor = arguments_editor(text)
    target = next((target for target in all_targets() if target.kind == kind), None)
    try:
        if target is not None:
            plan_run(target, parse_jsonc(text) if text.strip() else {}, owner, "")
    except Problem as problem:
        editor.faults = faults_of(text, problem)
    return editor


def initial_entry(schedule: Schedule, viewer: Any) -> dict[str, Any]:
    """What the form shows at first of a schedule: to others than its owner without secrets."""
    shown = serialize_schedule(schedule, viewer)
    arguments = shown_arguments(schedule.periodic, viewer).replace("\r\n", "\n")
    return {**shown, **initial_times(shown), "arguments": arguments}
