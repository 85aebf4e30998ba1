"""What must be true of every job when nobody is in the middle of anything."""

from __future__ import annotations

from typing import Any

from tests.sql.scheduler import Broken

# Where each job stands: exactly one pointer, or one lease without an outcome for that attempt, or a
# last outcome. What has no body, and outcomes that came after the last one, stand nowhere.
ACCOUNTS = """
SELECT
    b.id,
    j.id IS NOT NULL AS has_body,
    (
        SELECT count(*) FROM (
            SELECT r.job_id FROM pgq_ready AS r
            UNION ALL
            SELECT d.job_id FROM pgq_deferred AS d
            UNION ALL
            SELECT p.job_id FROM pgq_blocked AS p
        ) AS w
        WHERE w.job_id = b.id
    ) AS pointers,
    (
        SELECT count(*)
        FROM pgq_leases AS l
        CROSS JOIN LATERAL unnest(l.job_ids, l.attempts) AS u (id, attempt)
        WHERE u.id = b.id AND NOT EXISTS (
            SELECT FROM pgq_attempts AS a WHERE a.job_id = u.id AND a.attempt = u.attempt
        )
    ) AS holders,
    (SELECT array_agg(a.outcome ORDER BY a.attempt) FROM pgq_attempts AS a WHERE a.job_id = b.id)
        AS outcomes
FROM (
    SELECT y.id FROM pgq_jobs AS y
    UNION
    SELECT r.job_id FROM pgq_ready AS r
    UNION
    SELECT d.job_id FROM pgq_deferred AS d
    UNION
    SELECT p.job_id FROM pgq_blocked AS p
    UNION
    SELECT unnest(l.job_ids) FROM pgq_leases AS l
    UNION
    SELECT a.job_id FROM pgq_attempts AS a
) AS b
LEFT JOIN pgq_jobs AS j ON j.id = b.id
ORDER BY b.id
"""
OVER = ("succeeded", "failed", "cancelled")
CROWDED = """
SELECT h.entrypoint, h.scope, array_agg(h.job_id) AS jobs
FROM pgq_holders AS h
GROUP BY h.entrypoint, h.scope
HAVING count(*) > coalesce(
    (SELECT l.concurrency FROM pgq_limits AS l WHERE l.entrypoint = h.entrypoint), 1
)
"""
LEFT_BEHIND = """
SELECT b.job_id, b.scope
FROM pgq_blocked AS b
WHERE b.scope <> 'after' AND NOT EXISTS (
    SELECT FROM pgq_holders AS h WHERE h.entrypoint = b.entrypoint AND h.scope = b.scope
)
"""


async def balanced(on: Any) -> dict[int, list[str]]:
    """Every job stands in one place; returns their outcomes. Raises Broken."""
    outcomes: dict[int, list[str]] = {}
    for row in await on.fetch(ACCOUNTS):
        id_, places = row["id"], row["pointers"] + row["holders"]
        outcomes[id_] = history = row["outcomes"] or []
        over = bool(history) and history[-1] in OVER
        if not row["has_body"]:
            raise Broken(f"job {id_} has lost its body: {dict(row)}")
        if places > 1 or (history.count("succeeded") > 0 and places):
            raise Broken(f"job {id_} has two holders: {dict(row)}")
        if places == 0 and not over:
            raise Broken(f"job {id_} is lost: {dict(row)}")
        if history.count("succeeded") > 1:
            raise Broken(f"job {id_} was completed twice: {dict(row)}")
    return outcomes


async def fair(on: Any) -> None:
    """No limit is exceeded, and nobody waits behind a free key. Raises Broken."""
    if crowded := await on.fetch(CROWDED):
        raise Broken(f"too many hold a place: {crowded}")
    if behind := await on.fetch(LEFT_BEHIND):
        raise Broken(f"parked behind a free key: {behind}")
