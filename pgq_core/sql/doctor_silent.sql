-- Workers that have not beaten for their lease time, and how many leases they still hold.
SELECT
    w.worker_id,
    w.name,
    extract(EPOCH FROM clock_timestamp() - w.beat_at)::double precision AS seconds,
    w.lease_seconds,
    (SELECT count(*) FROM pgq_leases AS l WHERE l.worker_id = w.worker_id) AS leases
FROM pgq_workers AS w
WHERE w.beat_at + w.lease_seconds * interval '1 second' < clock_timestamp()
ORDER BY w.beat_at;
