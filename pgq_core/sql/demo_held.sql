-- How many jobs a worker holds right now without an outcome, and the database's time.
SELECT
    count(*) AS held,
    clock_timestamp() AS now
FROM pgq_leases AS l
CROSS JOIN LATERAL unnest(l.job_ids, l.attempts) AS u (job_id, attempt)
WHERE
    l.worker_id = :worker
    AND NOT EXISTS (
        SELECT FROM pgq_attempts AS a
        WHERE a.job_id = u.job_id AND a.attempt = u.attempt
    );
