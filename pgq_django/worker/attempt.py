"""One attempt at a task: Django's signals and context around the function."""

from __future__ import annotations

import asyncio
import json
import traceback
from contextvars import ContextVar
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from pgq_core import Cancel, Job, Retry, Snooze
from pgq_core.errors import LeaseLost
from pgq_core.worker.completion import Completion
from pgq_django import statements
from pgq_django.arguments import storable
from pgq_django.compat import (
    Result,
    TaskContext,
    TaskError,
    TaskResultStatus,
    task_finished,
    task_started,
)
from pgq_django.exceptions import InvalidArgument
from pgq_django.worker.policy import Policy, box

VERDICTS = (Retry, Snooze, Cancel, LeaseLost, asyncio.CancelledError)  # no failures of the task

_pgq_context: ContextVar[Any] = ContextVar("pgq_context")


def current_context() -> Any:
    """pgq's context of the task that runs: `progress()`, `cancelled`, `job`; else LookupError."""
    return _pgq_context.get()


class Attempt:
    """Runs a task's function once, for a job on `using`."""

    def __init__(
        self, policy: Policy, job: Job, context: Any, using: str, sender: type, result: Result
    ) -> None:
        self.policy = policy
        self.job = job
        self.context = context
        self.using = using
        self.sender = sender
        self.result = result

    def run(self) -> Any:
        """A plain task, here and now."""
        _pgq_context.set(self.context)
        task_started.send_robust(self.sender, task_result=self.result)
        try:
            kept = self._atomically() if self.policy.options.atomic else self._keep(self._call())
        except VERDICTS:
            raise
        except BaseException as error:
            if self._is_over(error):
                task_finished.send_robust(self.sender, task_result=self.result)
            raise
        self._end(TaskResultStatus.SUCCESSFUL)
        task_finished.send_robust(self.sender, task_result=self.result)
        return kept

    async def arun(self) -> Any:
        """A coroutine task, on the loop."""
        _pgq_context.set(self.context)
        await task_started.asend_robust(self.sender, task_result=self.result)
        try:
            kept = self._keep(await self._call())
        except VERDICTS:
            raise
        except BaseException as error:
            if await sync_to_async(self._is_over)(error):
                await task_finished.asend_robust(self.sender, task_result=self.result)
            raise
        self._end(TaskResultStatus.SUCCESSFUL)
        await task_finished.asend_robust(self.sender, task_result=self.result)
        return kept

    def _call(self) -> Any:
        first: list[Any] = (
            [TaskContext(task_result=self.result)] if self.policy.task.takes_context else []
        )
        return self.policy.task.func(*first, *self.result.args, **self.result.kwargs)

    def _atomically(self) -> Any:
        """The task, its writes and the job's completion in one transaction on Django's connection.

        The completion is the last statement before COMMIT: earlier it would hold up a rescue.
        """
        completion = Completion(self.context)
        with transaction.atomic(using=self.using):
            kept = self._keep(self._call())
            values = completion.values(None if kept is None else json.dumps(kept))
            completion.check(statements.run(self.using, "finish", **values))
        completion.mark()
        box().in_the_loop(completion.settle)
        return kept

    def _keep(self, value: Any) -> Any:
        """The return value as JSON gives it back. Raises a TypeError that is not retried."""
        try:
            kept = storable("return value", value)
        except InvalidArgument as problem:
            error = TypeError(str(problem))  # the class Django's contract names
            self.policy.never_again(error)
            raise error from None
        object.__setattr__(self.result, "_return_value", kept)
        return kept

    def _is_over(self, error: BaseException) -> bool:
        """Note the error; whether it ends the task, because no attempt is left or wanted."""
        kind = type(error)
        self.result.errors.append(
            TaskError(
                exception_class_path=f"{kind.__module__}.{kind.__qualname__}",
                traceback="".join(traceback.format_exception(kind, error, error.__traceback__)),
            )
        )
        over = self.policy.is_last(error, self.result, self.job, self.context)
        if over:
            self._end(TaskResultStatus.FAILED)
        return over

    def _end(self, status: TaskResultStatus) -> None:
        object.__setattr__(self.result, "status", status)
        object.__setattr__(self.result, "finished_at", timezone.now())
