"""When schedules fire: the times that django-celery-beat's periodic tasks share."""

from typing import ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule

from taskhub.runs.scheduler.cron_fields import CRON_FIELDS
from taskhub.runs.scheduler.schedule_spec import clean_times
from taskhub.web.admin import BigTableAdmin


class CrontabForm(forms.ModelForm):
    """A crontab, whose fields are checked as schedules read them."""

    class Meta:
        model = CrontabSchedule
        fields: ClassVar = [*CRON_FIELDS, "timezone"]

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return excluded | set(CRON_FIELDS)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        try:
            clean_times(self.instance)
        except ValidationError as error:
            self.add_error(None, ValidationError({k: v for k, v in error.error_dict.items() if k not in self.errors}))


admin.site.unregister([ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule])


@admin.register(ClockedSchedule)
class ClockedAdmin(BigTableAdmin):
    list_display = ("clocked_time",)
    search_fields = ("clocked_time",)


@admin.register(CrontabSchedule)
class CrontabAdmin(BigTableAdmin):
    form = CrontabForm
    list_display = ("__str__", "human_readable")
    search_fields = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year", "timezone")


@admin.register(IntervalSchedule)
class IntervalAdmin(BigTableAdmin):
    list_display = ("__str__", "every", "period")
    search_fields = ("every", "period")


@admin.register(SolarSchedule)
class SolarAdmin(BigTableAdmin):
    list_display = ("__str__", "event", "latitude", "longitude")
    search_fields = ("event",)
