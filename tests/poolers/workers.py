"""Workers beside the test: in this process, and in one that can be killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pgq_core import PgQueuer
from tests.support import eventually

VICTIM = """
import asyncio, json, sys
from pgq_core import PgQueuer

async def main(dsn, options):
    async with PgQueuer.connect(dsn) as pgq:
        @pgq.entrypoint("work")
        async def work(job):
            print(job.id, flush=True)
            await asyncio.sleep(600)
        await pgq.run(**options)

asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
"""


@asynccontextmanager
async def working(pgq: PgQueuer, **options: Any) -> AsyncIterator[None]:
    """A worker beside the test."""
    task = asyncio.create_task(pgq.run(**options))
    await eventually(pgq.queries.workers, what="the worker has registered")
    try:
        yield
    finally:
        pgq.stop()
        await task


class Victim:
    """A worker process that starts one job and then only waits to be killed."""

    def __init__(self, dsn: str, **options: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", VICTIM, dsn, json.dumps(options)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    async def started(self) -> int:
        """The id of the job it has started."""
        assert self._process.stdout is not None
        return int(await asyncio.to_thread(self._process.stdout.readline))

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()
