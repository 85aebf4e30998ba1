-- The times of one job's body. Returns no row when the job is gone.
SELECT
    j.id,
    j.created_at,
    j.run_at
FROM pgq_jobs AS j
WHERE j.id = :id::bigint;
