-- One job as a task's result: body, state, and since when it runs. Returns no row when unknown.
SELECT
    s.id,
    s.queue,
    s.entrypoint,
    s.priority,
    s.headers,
    s.payload,
    s.max_attempts,
    s.timeout,
    s.state,
    s.attempt,
    s.running_on,
    s.created_at,
    j.run_at,
    s.last_result,
    (
        SELECT l.claimed_at
        FROM pgq_leases AS l
        WHERE l.worker_id = s.running_on AND s.id = ANY(l.job_ids)
        ORDER BY l.lease_id DESC
        LIMIT 1
    ) AS claimed_at
FROM pgq_job_states AS s
INNER JOIN pgq_jobs AS j ON s.id = j.id
WHERE s.id = :id::bigint;
