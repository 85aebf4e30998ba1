"""One performance: open, torment, settle, judge."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pgq_core.embedded import EmbeddedServer
from tests.chaos.facts import Facts
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.judge import judge
from tests.chaos.oracle import read
from tests.chaos.recovery import recoveries
from tests.chaos.report import Result
from tests.chaos.stage import Stage
from tests.chaos.torment import torment

SETTINGS = {"max_connections": "80"}
PATIENCE = 180.0  # seconds to drain; nobody needs them but a crowded machine


async def perform(
    seconds: float,
    seed: int,
    faults: Sequence[Fault] = FAULTS,
    processes: int = 4,
    keep: Path | None = None,
) -> Result:
    """So many workers and as many producers, for so long. What the oracle wrote stays in `keep`."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(
        tcp=True, settings=SETTINGS
    ) as server:  # fmt: skip
        stage = Stage(server, keep or Path(folder), seed)
        drained = await play(stage, seconds, faults, processes)
        facts, version = await look(stage)
        if stage.queued:
            stage.notes.append(
                f"behind `rebuild` statements waited up to {stage.queued:.1f} s for a table's lock"
            )
        if keep is not None:
            facts.write(keep)
        story = read(stage.path)
        return Result(
            seed=seed,
            seconds=seconds,
            verdict=judge(facts, story, drained, faults),
            recovery=recoveries(story, stage.occurred, facts.cut),
            answers=stage.roads.proxy.done,
            deaths=sum(seat.deaths for seat in (*stage.workers, *stage.producers)),
            server=version,
            notes=stage.notes,
            lease=stage.lease,
        )


async def play(stage: Stage, seconds: float, faults: Sequence[Fault], processes: int) -> float:
    """From the first process to the last; returns the seconds it took until nothing was left to do."""
    try:
        await stage.open(processes)
        await torment(stage, seconds, faults)
        return await stage.settle(PATIENCE)
    finally:
        await stage.close()


async def look(stage: Stage) -> tuple[Facts, str]:
    """What the database says, and which server it is."""
    async with stage.admin() as connection:
        return await Facts.read(connection), await connection.fetchval("SHOW server_version")
