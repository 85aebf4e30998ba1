-- Cancel jobs. Returns per job: 'cancelled', 'requested', 'finished' or 'unknown'.
SELECT
    job_id,
    verdict
FROM pgq_cancel(:jobs, :reason);
