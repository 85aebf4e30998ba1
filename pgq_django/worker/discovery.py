"""Which tasks a worker serves: those declared here, and those that waiting jobs name."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps

from pgq_core import PgQueuer
from pgq_core.worker import Worker
from pgq_django import catalogue
from pgq_django.exceptions import TaskGone
from pgq_django.schedules import rules
from pgq_django.worker.handlers import register

log = logging.getLogger("pgq_django")

LOOK_AGAIN = 5.0
SOON = 0.02


class Discovery:
    """Fills the registry, and keeps it filled while the worker runs."""

    def __init__(self, pgq: PgQueuer, using: str, *, schedules: bool = True) -> None:
        self.pgq = pgq
        self.using = using
        self.schedules = schedules
        self.complaints: dict[str, str] = {}
        self.grown = False

    def begin(self) -> None:
        """Import the `tasks` modules of all apps and register what they declare."""
        catalogue.import_tasks_modules()
        self._register(catalogue.known())
        self.grown = False
        if self.schedules:
            for rule in rules(self.using):
                if rule.name not in self.pgq.registry.schedules:
                    self.pgq.registry.add_schedule(rule)

    async def run(self, worker: Worker) -> None:
        """Look now and then at jobs nobody here serves: their module may be importable."""
        while not hasattr(worker, "crew"):  # noqa: ASYNC110  (before, it cannot be told of more)
            await asyncio.sleep(SOON)
        while True:
            try:
                await self.look()
                if self.grown:
                    await worker.serve_more()
                    self.grown = False
            except Exception:
                log.exception("looking for unknown tasks failed; trying again later")
            await asyncio.sleep(LOOK_AGAIN * random.uniform(0.5, 1.5))

    async def look(self) -> None:
        """One look: import what waiting jobs name, as far as it belongs to an installed app."""
        rows = await self.pgq.queries.driver.fetch(*self._unserved())
        for name in (row["entrypoint"] for row in rows):
            if apps.get_containing_app_config(name) is not None:
                await sync_to_async(self._try)(name)
            else:
                self._complain(name, "it belongs to no installed app")
        self._register(catalogue.known())

    def _unserved(self) -> tuple[str, Any]:
        from pgq_django.statements import load  # noqa: PLC0415

        statement = load("unserved", self.pgq.queries.schema)
        return statement.text, list(self.pgq.registry.entrypoints)

    def _try(self, name: str) -> None:
        try:
            task = catalogue.find(name)
        except TaskGone as error:
            self._complain(name, str(error))
        except Exception as error:  # noqa: BLE001  (whatever the user's module raises)
            self._complain(name, f"importing it raised {type(error).__name__}: {error}")
        else:
            self.complaints.pop(name, None)
            catalogue.note(task)

    def _complain(self, name: str, why: str) -> None:
        if self.complaints.get(name) != why:
            self.complaints[name] = why
            log.error("jobs of %s wait for a worker that knows it: %s", name, why)

    def _register(self, tasks: Iterable[Any]) -> None:
        for task in tasks:
            if task.module_path not in self.pgq.registry:
                register(self.pgq, task, self.using)
                self.grown = True
