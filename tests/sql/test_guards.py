"""Every guard is needed, and its absence is noticed: the schema is installed without it, and the
checks of test_interleavings.py, unchanged, must fail.

A guard that the schema's text no longer has makes its test fail, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from pgq_core.migrations import VERSION, script
from pgq_core.worker import lane
from tests.sql import marks
from tests.sql.marks import AtTheMark, LateClaim
from tests.sql.meeting import EITHER, LATTER, Edit, edited, meet
from tests.sql.pairs import (
    FinishAndRescue,
    FinishOfALostClaim,
    Pair,
    ParkAndHandOver,
    PruneAndRetry,
    TwoClaims,
    TwoLimitedClaims,
)
from tests.sql.scheduler import Broken
from tests.sql.test_machine import Machine, opened
from tests.support import Databases


@dataclass(frozen=True)
class Guard:
    """What is taken away, who notices, and what they say."""

    name: str
    edits: list[Edit]
    pair: type[Pair]
    says: str
    fields: dict[str, Any] = field(default_factory=dict)


# -- finish and rescue --------------------------------------------------------------------------

NO_LEASE = Edit(
    "            o.lease_id = ANY(v_held)\n            AND NOT EXISTS (", "            NOT EXISTS ("
)
NO_TOKEN = [
    Edit("                        AND y.token = s.token\n", ""),
    Edit("AND y.lease_id = s.lease_id AND y.token = s.token", "AND y.lease_id = s.lease_id"),
]
# One statement that locks the leases and looks for outcomes, in the snapshot from before the wait.
ONE_STATEMENT = [
    Edit(
        """
        SELECT l.lease_id FROM pgq_leases AS l
        WHERE l.worker_id = ANY(v_dead)
        FOR UPDATE SKIP LOCKED
    ) AS k;""",
        """
        SELECT l.lease_id FROM pgq_leases AS l
        WHERE l.worker_id = ANY(v_dead)
    ) AS k;""",
    ),
    Edit(
        """
        SELECT l.worker_id, l.claimed_at, u.*
        FROM pgq_leases AS l""",
        """
        SELECT l.worker_id, l.claimed_at, u.*
        FROM (
            SELECT * FROM pgq_leases AS y WHERE y.worker_id = ANY(v_dead) FOR UPDATE
        ) AS l""",
    ),
]
# Give back what was read to have no outcome, instead of what an outcome could be written for.
AS_READ = [
    Edit(
        """
        FROM written AS w
        INNER JOIN verdict AS v ON v.job_id = w.job_id AND v.attempt = w.attempt
        CROSS JOIN LATERAL (
            SELECT b.* FROM pgq_jobs AS b WHERE b.id = w.job_id OFFSET 0
        ) AS j
        WHERE w.outcome = 'lost'""",
        """
        FROM verdict AS v
        INNER JOIN pgq_jobs AS j ON j.id = v.job_id
        WHERE v.outcome = 'lost'""",
    ),
]

# -- claims, marks and floors ---------------------------------------------------------------------

FLOOR = "coalesce(least(p_settled, r.position - 1), p_settled)"
PICK = """
                LIMIT p_count
                FOR UPDATE SKIP LOCKED
            ) AS r
            LIMIT p_count"""
UNLOCKED = Edit(PICK, PICK.replace("\n                FOR UPDATE SKIP LOCKED", ""))
TAKE = """
            DELETE FROM pgq_ready AS y
            WHERE y.ctid = ANY(ARRAY(SELECT p.ctid FROM pick AS p))
            RETURNING y.lane_id, y.position, y.job_id, y.attempt, y.spent, y.crashes
        ),
"""
READ_AND_TAKE = Edit(
    TAKE,
    """
            SELECT y.* FROM pgq_ready AS y
            WHERE y.ctid = ANY(ARRAY(SELECT p.ctid FROM pick AS p))
        ),

        gone AS (
            DELETE FROM pgq_ready AS y USING took AS t
            WHERE y.lane_id = t.lane_id AND y.position = t.position
        ),
""",
)
PLAIN_READ = """
            WHERE y.lane_id = f.lane_id AND y.position > f.floor
            ORDER BY y.position
            LIMIT 1"""

# -- keys -----------------------------------------------------------------------------------------

NO_CLAIM_LOCK = Edit(
    "IF NOT pg_try_advisory_xact_lock(pgq_limit_key(v_lane.entrypoint)) THEN", "IF FALSE THEN"
)
NO_RELEASE_LOCK = Edit(
    "    v_limited text [];\nBEGIN\n    PERFORM pg_advisory_xact_lock(k.key)",
    "    v_limited text [];\nBEGIN\n    PERFORM k.key",
)

# -- retention ------------------------------------------------------------------------------------

NO_SECOND_LOOK = Edit(
    "            AND NOT EXISTS (SELECT FROM pgq_ready AS r WHERE r.job_id = j.id)\n", ""
)
NO_BODY_LOCK = Edit("        FOR UPDATE OF j SKIP LOCKED\n", "")

pytestmark = pytest.mark.timeout(300)
GUARDS = [
    Guard("finish by id", [NO_LEASE], FinishOfALostClaim, "without a lease", {"worker": 2}),
    Guard("finish without token", NO_TOKEN, FinishOfALostClaim, "without a lease"),
    Guard(
        "rescue in one statement", [*ONE_STATEMENT, *AS_READ], FinishAndRescue, "two holders",
        {"shut": False},
    ),
    Guard("floor moved on settling", [Edit(FLOOR, "p_settled")], AtTheMark, "never found"),
    Guard("floor moved over a claim", [Edit(FLOOR, "p_settled")], LateClaim, "never found|above a job"),
    Guard(
        "floor moved before settling",
        [Edit("pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= p_settle_xid", "TRUE")],
        AtTheMark, "above a job",
    ),
    Guard(
        "floor read past locks",
        [Edit(PLAIN_READ, PLAIN_READ + "\n            FOR UPDATE SKIP LOCKED")],
        LateClaim, "above a job",
    ),
    Guard("claim without a lock", [UNLOCKED], TwoClaims, "waited for another"),
    Guard("claim of what was read", [UNLOCKED, READ_AND_TAKE], TwoClaims, "two holders"),
    Guard(
        "park and hand over without a lock", [NO_CLAIM_LOCK, NO_RELEASE_LOCK], ParkAndHandOver,
        "parked behind a free key",
    ),
    Guard("count places without a lock", [NO_CLAIM_LOCK], TwoLimitedClaims, "too many hold"),
    Guard("prune without a second look", [NO_SECOND_LOOK], PruneAndRetry, "lost its body"),
    Guard("prune without locking", [NO_BODY_LOCK], PruneAndRetry, "lost its body"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a little late leaves the window soon."""
    monkeypatch.setattr(lane, "WINDOW", marks.WINDOW)


@pytest.mark.parametrize("guard", [pytest.param(guard, id=guard.name) for guard in GUARDS])
async def test_without_it_the_suite_fails(databases: Databases, guard: Guard) -> None:
    """A schema without this guard breaks an invariant, and that is seen."""
    with pytest.raises(Broken, match=guard.says):
        await meet(databases, guard.pair, EITHER, guard.edits, **guard.fields)


def test_without_it_the_model_fails_too(empty_database: str) -> None:
    """The machine over the verbs finds a floor that moved too early as well."""
    with psycopg.connect(empty_database) as connection:
        schema = edited(script(VERSION), [Edit(FLOOR, "p_settled")])
        connection.execute(schema.encode())
    with opened(empty_database) as bench, pytest.raises(AssertionError):
        run_state_machine_as_test(
            lambda: Machine(bench),
            settings=settings(
                max_examples=200,
                stateful_step_count=60,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.parametrize("edits", [ONE_STATEMENT, AS_READ], ids=["one statement", "as read"])
async def test_rescue_has_two_guards(databases: Databases, edits: list[Edit]) -> None:
    """Rescue looks for outcomes after it has the leases, and gives back only what it can write an
    outcome for: either alone keeps a finished job from running again."""
    assert (await meet(databases, FinishAndRescue, LATTER, edits, shut=False)).orders > 200


def test_an_edit_that_does_not_apply() -> None:
    """A guard that was rewritten is not silently left untested."""
    with pytest.raises(AssertionError, match="0 times in the schema"):
        edited(script(VERSION), [Edit("a guard from long ago", "")])
    with pytest.raises(AssertionError, match="times in the schema"):
        edited(script(VERSION), [Edit("BEGIN", "")])
