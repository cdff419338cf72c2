"""The form of a schedule in the admin: arguments as the documents print them, checked when they are saved."""

from typing import Any, ClassVar, cast

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django_celery_beat.models import PeriodicTask

from taskhub.errors import Problem, Rejected
from taskhub.runs.models import Schedule
from taskhub.runs.queue.webhook_events import checked_webhook
from taskhub.runs.run_kinds import all_targets
from taskhub.runs.scheduler.beat_schedules import KINDS
from taskhub.runs.scheduler.schedule_arguments import arguments_of, written_arguments
from taskhub.runs.scheduler.schedules import JITTER_MAX, ScheduleOptions, check_schedule
from taskhub.security.masking import MASK, hide, mask, masked_address, secrets_of

PREVIEW = "_preview"  # the button


class ScheduleForm(forms.ModelForm):
    """A periodic task with its schedule; each fault stands at its field."""

    task = forms.ChoiceField(help_text="What it starts.")
    arguments = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 24, "cols": 110, "spellcheck": "false", "class": "code"}),
    )
    missed = forms.ChoiceField(
        choices=Schedule.Missed.choices, label="Missed fires", help_text="Of fires that were due while no beat ran."
    )
    overlap = forms.ChoiceField(choices=Schedule.Overlap.choices, help_text="Of a fire while the last run goes on.")
    jitter = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=JITTER_MAX,
        initial=0,
        help_text="Seconds, up to which a run begins later, by chance.",
    )
    webhook = forms.URLField(
        required=False, max_length=2_000, assume_scheme="https", help_text="Is told of each run's end."
    )
    user: ClassVar[Any] = None  # who saves, set for each request

    class Meta:
        model = PeriodicTask
        fields: ClassVar = [
            *("name", "description", "enabled", "task", *KINDS, "start_time", "expires", "one_off"),
        ]
        help_texts: ClassVar = {
            "name": "Its runs carry it.",
            "interval": "One of interval, crontab, solar and clocked.",
            "crontab": "",
            "solar": "",
            "clocked": "Fires once; tick “one-off”, too.",
            "start_time": "No fire before it; intervals count from it.",
            "expires": "No fire after it.",
            "one_off": "It fires once, and is disabled then.",
        }
        labels: ClassVar = {"start_time": "Start", "expires": "End"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        schedule = schedule_of(self.instance)
        names = [(name, name) for target in all_targets() for name in target.tasks]
        older = [] if not self.instance.task or (self.instance.task,) * 2 in names else [(self.instance.task,) * 2]
        if "task" not in self.fields:
            return  # the page is only looked at
        self.fields["task"].choices = [*names, *older]  # type: ignore[attr-defined]
        self.fields["arguments"].help_text = _examples()
        if schedule is not None:
            self.initial.update(missed=schedule.missed, overlap=schedule.overlap, jitter=schedule.jitter)
            self.initial["webhook"] = self._shown_webhook(schedule)
        if self.instance.pk:
            self.initial["arguments"] = shown_arguments(self.instance, self.user)

    @property
    def owner(self) -> Any:
        """The schedule's owner; who saves it, where it had none, or one whose account is not active."""
        schedule = schedule_of(self.instance)
        return schedule.owner if schedule and schedule.owner and schedule.owner.is_active else self.user

    @property
    def written(self) -> str:
        """The arguments as they are to be: those that stand there, where they came back as they were shown."""
        sent = str(self.cleaned_data.get("arguments", "")).replace("\r\n", "\n")
        is_shown = self.instance.pk and sent == self.initial["arguments"].replace("\r\n", "\n")
        return _written_arguments(self.instance) if is_shown else sent

    @property
    def options(self) -> ScheduleOptions:
        """The schedule's options. A webhook that came back as it was shown stays as it is."""
        names = ("missed", "overlap", "jitter", "webhook")
        chosen: Any = {name: self.cleaned_data[name] for name in names if name in self.cleaned_data}
        schedule = schedule_of(self.instance)
        if schedule is not None and chosen.get("webhook") == self._shown_webhook(schedule):
            chosen["webhook"] = schedule.webhook
        return cast(ScheduleOptions, chosen)

    def _shown_webhook(self, schedule: Schedule) -> str:
        """Its address, which others than its owner see without its secrets."""
        is_own = self.user is not None and schedule.owner_id == self.user.pk
        return str(schedule.webhook) if is_own else masked_address(schedule.webhook)

    def clean_jitter(self) -> int:
        return self.cleaned_data["jitter"] or 0

    def clean_webhook(self) -> str:
        address = str(self.cleaned_data["webhook"])
        try:
            return address if address == self.initial.get("webhook") else checked_webhook(address)
        except Problem as problem:
            raise forms.ValidationError(problem.detail) from None

    def is_valid(self) -> bool:
        """Whether it is to be saved: a preview shows the page again, with what would be."""
        return super().is_valid() and PREVIEW not in self.data

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        written = self.written
        if MASK in written and MASK in self.initial.get("arguments", ""):
            self.add_error("arguments", "Secrets are shown as stars. Leave all as it is, or write the secrets, too.")
            return
        try:
            check_schedule(periodic=self.instance, owner=self.owner, written=written)
        except Rejected as refusal:
            for error in refusal.errors:
                field = error.get("field", "arguments")
                field = field if field in self.fields else None
                if field is None or field not in self.errors or field == "arguments":
                    self.add_error(field, _fault_text(error))


def _fault_text(error: dict[str, Any]) -> str:
    if "line" in error:
        return f"Line {error['line']}, column {error['column']}: {error['detail']}"
    return f"{error['path']}: {error['detail']}" if error.get("path") else str(error["detail"])


def _examples() -> SafeString:
    """The help text of the arguments: an example of each target."""
    shown = [(target.tasks[0], target.example) for target in all_targets()]
    return format_html(
        "JSON; comments and trailing commas are kept as they are written. {}",
        format_html_join("", "<details><summary>Arguments of {}</summary><pre>{}</pre></details>", shown),
    )


def schedule_of(row: PeriodicTask) -> Any:
    """Its schedule; None before the leader has read it."""
    return getattr(row, "schedule_row", None)


def _written_arguments(row: PeriodicTask) -> str:
    """The arguments as they were written; as JSON, where they came in another way than by the hub."""
    schedule = schedule_of(row)
    try:
        return written_arguments(periodic=row, written=schedule.written if schedule else "")
    except Rejected:
        return str(row.kwargs)


def shown_arguments(row: PeriodicTask, user: Any) -> str:
    """The arguments as they were written, for the schedule's owner; without secrets for everybody else."""
    schedule, written = schedule_of(row), _written_arguments(row)
    if user is not None and schedule is not None and schedule.owner_id == user.pk:
        return written
    try:
        return mask(hide(written, secrets_of(arguments_of(row))))
    except Rejected:
        return mask(written)
