-- How many jobs of an entrypoint have their last outcome, and the database's time.
SELECT
    count(*) AS done,
    clock_timestamp() AS now
FROM pgq_attempts AS a
INNER JOIN pgq_jobs AS j ON a.job_id = j.id
WHERE j.entrypoint = :entrypoint AND a.outcome IN ('succeeded', 'failed', 'cancelled');
