"""What the demo's workers run: `pgq-core worker pgq_core.demo.tasks:pgq`."""

from __future__ import annotations

import os
from typing import Any

from pgq_core.app import PgQueuer
from pgq_core.demo.files import digest
from pgq_core.models import Job

HASH, PING = "demo.hash_file", "demo.ping"

pgq = PgQueuer()


@pgq.entrypoint(HASH, no_retry_on=OSError)
def hash_file(job: Job) -> dict[str, Any]:
    """Hash and count one file; the payload is its path. What it returns is the job's result."""
    return digest(os.fsdecode(job.payload))._asdict()


@pgq.entrypoint(PING)
async def ping(_job: Job) -> None:
    """Nothing: only when it started is of interest."""
