"""The queue in Django's admin: jobs, workers, schedules, and an overview of it all."""

from django.contrib import admin

from pgq_django.admin.jobs import JobAdmin
from pgq_django.admin.schedules import ScheduleAdmin
from pgq_django.admin.workers import WorkerAdmin
from pgq_django.models import Job, Schedule, Worker

admin.site.register(Job, JobAdmin)
admin.site.register(Schedule, ScheduleAdmin)
admin.site.register(Worker, WorkerAdmin)

__all__ = ["JobAdmin", "ScheduleAdmin", "WorkerAdmin"]
