-- Workers that hold leases but have no row.
SELECT DISTINCT l.worker_id
FROM pgq_leases AS l
WHERE NOT EXISTS (SELECT FROM pgq_workers AS w WHERE w.worker_id = l.worker_id);
