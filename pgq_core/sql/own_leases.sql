-- The leases this process holds from :lowest on, as the database sees them.
SELECT
    l.lease_id,
    l.token,
    l.job_ids,
    l.attempts,
    l.spent,
    l.crashes
FROM pgq_leases AS l
WHERE l.worker_id = :worker AND l.lease_id >= :lowest
ORDER BY l.lease_id;
