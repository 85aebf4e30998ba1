-- The jobs in leases, at most 5000: those without an outcome run.
SELECT u.job_id
FROM pgq_leases AS l
CROSS JOIN LATERAL unnest(l.job_ids) AS u (job_id)
LIMIT 5000;
