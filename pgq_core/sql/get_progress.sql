-- What a job said of itself last.
SELECT
    p.attempt,
    p.fraction,
    p.message,
    p.updated_at
FROM pgq_progress AS p
WHERE p.job_id = :id;
