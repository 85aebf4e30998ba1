-- One row per job with its state: where its pointer stands, else a lease without an outcome for
-- that attempt, else its last attempt.
CREATE VIEW pgq_job_states AS
SELECT
    j.id,
    j.queue,
    j.entrypoint,
    j.priority,
    j.created_at,
    coalesce(d.run_at, j.run_at) AS run_at,
    j.unique_key,
    j.concurrency_key,
    j.headers,
    j.payload,
    j.max_attempts,
    j.timeout,
    coalesce(r.attempt, d.attempt, b.attempt, h.attempt, a.attempt, 0) AS attempt,
    CASE
        WHEN r.job_id IS NOT NULL THEN 'ready'
        WHEN d.job_id IS NOT NULL THEN 'deferred'
        WHEN b.job_id IS NOT NULL THEN 'blocked'
        WHEN h.attempt IS NOT NULL THEN 'running'
        WHEN a.outcome IN ('succeeded', 'failed', 'cancelled') THEN a.outcome
        ELSE 'lost'
    END AS state,
    h.worker_id AS running_on,
    a.outcome AS last_outcome,
    a.started_at AS last_started_at,
    a.finished_at AS last_finished_at,
    a.error AS last_error,
    a.result AS last_result
FROM pgq_jobs AS j
LEFT JOIN pgq_ready AS r ON j.id = r.job_id
LEFT JOIN pgq_deferred AS d ON j.id = d.job_id
LEFT JOIN pgq_blocked AS b ON j.id = b.job_id
LEFT JOIN LATERAL (
    SELECT
        y.attempt,
        y.outcome,
        y.started_at,
        y.finished_at,
        y.error,
        y.result
    FROM pgq_attempts AS y
    WHERE y.job_id = j.id
    ORDER BY y.attempt DESC
    LIMIT 1
) AS a ON TRUE
LEFT JOIN (
    SELECT
        l.worker_id,
        u.job_id,
        u.attempt
    FROM pgq_leases AS l
    CROSS JOIN LATERAL unnest(l.job_ids, l.attempts) AS u (job_id, attempt)
) AS h ON j.id = h.job_id AND h.attempt > coalesce(a.attempt, 0);
