-- Leases that belong to no worker: nobody runs their jobs.
SELECT
    l.worker_id,
    count(*) AS leases,
    sum(cardinality(l.job_ids))::bigint AS jobs,
    extract(EPOCH FROM clock_timestamp() - min(l.claimed_at))::double precision AS seconds
FROM pgq_leases AS l
WHERE NOT EXISTS (SELECT FROM pgq_workers AS w WHERE w.worker_id = l.worker_id)
GROUP BY l.worker_id
ORDER BY l.worker_id;
