-- Sweep up: keys without a body or past their time, cancel wishes of jobs that do not run, places of
-- jobs that have ended, rates long free, lanes listed twice. Returns nothing.
WITH keys AS (
    DELETE FROM pgq_locks AS l
    WHERE
        l.expires_at <= clock_timestamp()
        OR (
            NOT EXISTS (SELECT FROM pgq_jobs AS j WHERE j.id = l.job_id)
            AND l.expires_at IS NULL
        )
),

wishes AS (
    DELETE FROM pgq_cancels AS c
    WHERE
        c.requested_at < clock_timestamp() - interval '1 minute'
        AND NOT EXISTS (
            SELECT FROM pgq_leases AS l WHERE c.job_id = ANY(l.job_ids)
        )
        AND NOT EXISTS (SELECT FROM pgq_ready AS r WHERE r.job_id = c.job_id)
        AND NOT EXISTS (SELECT FROM pgq_deferred AS d WHERE d.job_id = c.job_id)
        AND NOT EXISTS (SELECT FROM pgq_blocked AS b WHERE b.job_id = c.job_id)
),

places AS (
    DELETE FROM pgq_holders AS h
    WHERE h.job_id = ANY(pgq_ended(ARRAY(SELECT y.job_id FROM pgq_holders AS y)))
),

rates AS (
    DELETE FROM pgq_rates AS r
    WHERE r.next_at < clock_timestamp() - interval '1 minute'
)

DELETE FROM pgq_lanes AS l
USING pgq_lanes AS older
WHERE older.lane_id = l.lane_id AND older.id < l.id;
