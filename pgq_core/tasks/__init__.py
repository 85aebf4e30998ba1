"""Typed tasks: a function's signature says what its jobs carry."""

from pgq_core.tasks.decorator import TaskDecorator
from pgq_core.tasks.settings import EntrypointSettings, Errors, JobSettings
from pgq_core.tasks.task import Task

__all__ = ["EntrypointSettings", "Errors", "JobSettings", "Task", "TaskDecorator"]
