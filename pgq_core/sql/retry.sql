-- Put finished jobs back. Returns per job: 'retried', 'running', 'held' or 'unknown'.
SELECT
    job_id,
    verdict
FROM pgq_retry(:jobs, 0);
