-- Take back the jobs of dead workers. Returns what was decided per job.
SELECT
    job_id,
    attempt,
    outcome,
    worker_id
FROM pgq_rescue(:workers);
