-- Every worker process with how long ago it beat and how many jobs it holds.
SELECT
    w.worker_id,
    w.name,
    w.started_at,
    w.lease_seconds,
    w.stalled_seconds,
    w.listener,
    w.running,
    w.info,
    extract(EPOCH FROM clock_timestamp() - w.beat_at)::double precision AS beat_age
FROM pgq_workers AS w
ORDER BY w.worker_id;
