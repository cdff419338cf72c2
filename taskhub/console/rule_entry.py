"""What people enter of a notification rule, sent as calls of `/notifications` are."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms

from taskhub.console.placed_form import LinesField, PlacedForm
from taskhub.errors import Conflict, Problem
from taskhub.runs.domain import HUB_EVENTS, NotificationEvent
from taskhub.runs.models.notification import LATE_AFTER_DEFAULT
from taskhub.runs.notifications.serializers import LATE_AFTER_MAX, QUIET_MAX, SLOW_AFTER_MAX
from taskhub.runs.run_kinds import all_kinds

EVENT_WORDS = {
    NotificationEvent.RUN_FAILED: "a run failed, after its last attempt",
    NotificationEvent.RUN_RECOVERED: "the same work succeeded again",
    NotificationEvent.RUN_SLOW: "a run takes longer than it should",
    NotificationEvent.SCHEDULE_MISSED: "a schedule was missed, or fired late",
    NotificationEvent.PROCESS_PENDING: "an extraction waits for credits",
    NotificationEvent.PROCESS_CHANGED: "an extraction found other records than before",
    NotificationEvent.CRAWLER_TIMEOUT: "a crawler gave no sign of life",
    NotificationEvent.WORKER_LOST: "a worker was lost",
    NotificationEvent.QUEUE_LATE: "what is in a queue waits too long",
}
FILTER_FIELDS = {"kind": "run_kind", "name": "run_name", "tag": "tag", "schedule": "schedule"}
FOR_STAFF = ("late_after", "all_owners")
TARGETS = [("email", "by e-mail"), ("webhook", "to a webhook")]


def _kinds() -> list[tuple[str, str]]:
    return [("", "all"), *((name, name) for name in sorted(kind.name for kind in all_kinds() if kind.notifies))]


class RuleEntry(PlacedForm):
    """A whole rule. What only staff may be told of shows to staff alone."""

    places: ClassVar[Mapping[str, str]] = {
        "/name": "name",
        "/on": "on",
        **{f"/filter/{name}": field for name, field in FILTER_FIELDS.items()},
        "/to": "target",
        "/to/webhook": "webhook",
        "/to/email": "email",
        **{f"/{name}": name for name in ("quiet", "slow_after", "enabled", *FOR_STAFF)},
    }
    name = forms.CharField(max_length=200, help_text="Your own. Its messages carry it.")
    on = forms.MultipleChoiceField(label="Tell me when", widget=forms.CheckboxSelectMultiple)
    target = forms.ChoiceField(label="Tell me", choices=TARGETS, initial="email", widget=forms.RadioSelect)
    email = LinesField(
        label="Addresses",
        required=False,
        help_text="Of e-mail, one a line.",
        widget=forms.Textarea(attrs={"rows": 2, "class": "text", "inputmode": "email", "spellcheck": "false"}),
    )
    webhook = forms.CharField(
        label="Address",
        required=False,
        max_length=2_000,
        help_text="It is sent each message, signed.",
        widget=forms.TextInput(attrs={"inputmode": "url", "spellcheck": "false"}),
    )
    run_kind = forms.ChoiceField(label="Kind", required=False, choices=_kinds)
    run_name = forms.CharField(label="Name", required=False, help_text="Of a walker, a task, a crawler...")
    tag = forms.CharField(required=False)
    schedule = forms.CharField(required=False, help_text="Its name.")
    slow_after = forms.IntegerField(
        label="Slow after", required=False, min_value=1, max_value=SLOW_AFTER_MAX, help_text="Seconds."
    )
    late_after = forms.IntegerField(
        label="A queue is late after",
        required=False,
        min_value=1,
        max_value=LATE_AFTER_MAX,
        initial=LATE_AFTER_DEFAULT,
        help_text="Minutes.",
    )
    quiet = forms.IntegerField(
        label="Quiet time",
        required=False,
        min_value=0,
        max_value=QUIET_MAX,
        initial=0,
        help_text="Minutes after a message in which more of the same are counted, and not sent.",
    )
    all_owners = forms.BooleanField(label="Of everybody's runs", required=False)
    enabled = forms.BooleanField(required=False, initial=True, help_text="If not, it is paused.")

    def __init__(self, *args: Any, viewer: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        told = [event for event in EVENT_WORDS if viewer.is_staff or event not in HUB_EVENTS]
        choices = [(str(event), f"{event}: {EVENT_WORDS[event]}") for event in told]
        self.fields["on"].choices = choices  # type: ignore[attr-defined]
        if not viewer.is_staff:
            for name in FOR_STAFF:
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        target = self.cleaned_data.get("target", "")
        if target in self.fields and not str(self.cleaned_data.get(target) or "").strip() and target not in self.errors:
            self.add_error(target, "This is required.")
        return self.cleaned_data

    @property
    def values(self) -> dict[str, Any]:
        """The whole rule as a call says it, once the form is valid."""
        given = self.cleaned_data
        emails = [line.strip() for line in given["email"].split("\n") if line.strip()]
        values = {
            "name": given["name"],
            "on": given["on"],
            "filter": {name: given[field] for name, field in FILTER_FIELDS.items() if given[field]},
            "to": {"email": emails} if given["target"] == "email" else {"webhook": given["webhook"]},
            "quiet": given["quiet"] or 0,
            "slow_after": given["slow_after"],
            "enabled": given["enabled"],
        }
        if "late_after" in given:
            values |= {"late_after": given["late_after"] or LATE_AFTER_DEFAULT, "all_owners": given["all_owners"]}
        return values

    def add_problem(self, problem: Problem) -> None:
        if isinstance(problem, Conflict):  # the name is taken, or there are too many
            self.add_error("name", problem.detail)
        else:
            super().add_problem(problem)


def initial_rule(shown: Mapping[str, Any]) -> dict[str, Any]:
    """What the form shows at first of a rule as calls show it."""
    to = shown["to"]
    target = {"target": "webhook", "webhook": to["webhook"]} if "webhook" in to else {"email": "\n".join(to["email"])}
    return {**shown, **{field: shown["filter"].get(name, "") for name, field in FILTER_FIELDS.items()}, **target}
