-- The results of jobs that succeeded.
SELECT DISTINCT ON (a.job_id)
    a.job_id,
    a.result
FROM pgq_attempts AS a
WHERE a.job_id = ANY(:jobs) AND a.outcome = 'succeeded'
ORDER BY a.job_id, a.attempt DESC;
