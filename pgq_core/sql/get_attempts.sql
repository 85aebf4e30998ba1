-- Every attempt of one job, in order.
SELECT
    a.job_id,
    a.attempt,
    a.outcome,
    a.worker_id,
    a.started_at,
    a.finished_at,
    a.error,
    a.result
FROM pgq_attempts AS a
WHERE a.job_id = :id
ORDER BY a.attempt;
