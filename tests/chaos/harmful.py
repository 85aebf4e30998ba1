"""Jobs that take their process along, or keep it busy past its lease."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time

from pgq_core import Job, PgQueuer
from tests.chaos.teller import Teller


def register_harmful(pgq: PgQueuer, tell: Teller, lease: float) -> None:
    """All of them."""
    holding_the_gil = ctypes.PyDLL(None)

    @pgq.entrypoint("segfault")
    async def segfault(job: Job) -> None:
        with tell.told(job):
            await asyncio.sleep(0)
            if tell.harm(job, "segfault"):
                ctypes.string_at(0)

    @pgq.entrypoint("out_of_memory")
    async def out_of_memory(job: Job) -> None:
        with tell.told(job):
            await asyncio.sleep(0)
            if tell.harm(job, "out_of_memory"):
                os.kill(os.getpid(), signal.SIGKILL)

    @pgq.entrypoint("hang_in_c")
    async def hang_in_c(job: Job) -> None:
        with tell.told(job):
            if tell.harm(job, "hang_in_c"):
                holding_the_gil.usleep(int(2 * lease * 1e6))

    @pgq.entrypoint("block_the_loop")
    async def block_the_loop(job: Job) -> None:
        with tell.told(job):
            if tell.harm(job, "block_the_loop"):
                time.sleep(1.5 * lease)  # noqa: ASYNC251
