"""One attempt at a task: Django's signals and context around the function."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from pgq_core import Job
from pgq_core.worker.completion import Completion
from pgq_django import statements
from pgq_django.arguments import storable
from pgq_django.compat import (
    Result,
    TaskContext,
    TaskResultStatus,
    task_finished,
    task_started,
)
from pgq_django.exceptions import InvalidArgument
from pgq_django.worker.ending import as_task_error, is_over, stops_named
from pgq_django.worker.policy import Policy, box

log = logging.getLogger("pgq_django")

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
            with stops_named(self.context, self.limit):
                kept = self._run()
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
        try:
            with stops_named(self.context, self.limit):
                await task_started.asend_robust(self.sender, task_result=self.result)
                kept = self._keep(await self._call())
        except BaseException as error:
            if await sync_to_async(self._is_over)(error):
                await task_finished.asend_robust(self.sender, task_result=self.result)
            raise
        self._end(TaskResultStatus.SUCCESSFUL)
        await task_finished.asend_robust(self.sender, task_result=self.result)
        return kept

    @property
    def limit(self) -> float | None:
        """Seconds this attempt may take."""
        return self.job.timeout or self.policy.entrypoint.timeout

    def _run(self) -> Any:
        return self._atomically() if self.policy.options.atomic else self._keep(self._call())

    def _call(self) -> Any:
        first: list[Any] = (
            [TaskContext(task_result=self.result)] if self.policy.task.takes_context else []
        )
        return self.policy.task.func(*first, *self.result.args, **self.result.kwargs)

    def _atomically(self) -> Any:
        """The task, its writes and the job's completion in one transaction on Django's connection.

        The completion is the last statement before COMMIT: earlier it would hold up a rescue.
        """
        completion, committed, kept = Completion(self.context), list[bool](), None
        try:
            with transaction.atomic(using=self.using):
                transaction.on_commit(lambda: committed.append(True), using=self.using)
                kept = self._keep(self._call())
                values = completion.values(None if kept is None else json.dumps(kept))
                completion.check(statements.run(self.using, "finish", **values))
        except Exception:  # once committed, it is an on_commit callback of the task's
            if not committed:
                raise
            log.exception("%s is done; a callback after its commit failed", self.result.id)
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
        self.result.errors.append(as_task_error(error, self.context))
        over = is_over(self.policy, error, self.result, self.context)
        if over:
            self._end(TaskResultStatus.FAILED)
        return over

    def _end(self, status: TaskResultStatus) -> None:
        object.__setattr__(self.result, "status", status)
        object.__setattr__(self.result, "finished_at", timezone.now())
