"""When schedules fire: the times that django-celery-beat's periodic tasks share."""

from django.contrib import admin
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule

from taskhub.web.admin import BigTableAdmin

admin.site.unregister([ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule])


@admin.register(ClockedSchedule)
class ClockedAdmin(BigTableAdmin):
    list_display = ("clocked_time",)


@admin.register(CrontabSchedule)
class CrontabAdmin(BigTableAdmin):
    list_display = ("__str__", "human_readable")
    search_fields = ("timezone",)


@admin.register(IntervalSchedule)
class IntervalAdmin(BigTableAdmin):
    list_display = ("__str__", "every", "period")


@admin.register(SolarSchedule)
class SolarAdmin(BigTableAdmin):
    list_display = ("__str__", "event", "latitude", "longitude")
    search_fields = ("event",)
